package dialplan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// What `*26` is called, in the directory and in Asterisk (design 4).
const (
	// FeatureSwitch is Wazo's name of the feature.
	FeatureSwitch = "callrecord"
	// DefaultSwitchExten is its number unless somebody chose another.
	DefaultSwitchExten = "*26"
	// SwitchArgument is the first argument of StasisStart for such a call; the
	// second, if there is one, are the digits of a lamp key.
	SwitchArgument = "toggle"
	// FeaturesContext is what contexts of telephones include.
	FeaturesContext = "callrecord-features"
	// DefaultFeaturesPath is where the daemon writes that context by default.
	DefaultFeaturesPath = "/var/lib/callrecordd/asterisk/callrecord-features.conf"
)

// SwitchTime is how long Asterisk leaves a call of `*26` to the daemon. Then
// it says that it is sorry, for at most sorryTime: the call ends within ten
// seconds whatever the daemon does.
const (
	SwitchTime = 7 * time.Second
	sorryTime  = 2 * time.Second
	// SettleTime is between answer and sound: telephones swallow the first
	// moments, and "activated" is the end of "de-activated".
	SettleTime = 500 * time.Millisecond
)

// The sounds of `*26`, all of Asterisk's core set.
const (
	SoundOn       = "activated"
	SoundOff      = "de-activated"
	SoundDisabled = "disabled"
	SoundRefused  = "feature-not-avail-line"
	SoundSorry    = "im-sorry"
)

// toggleContext is where a call of `*26` goes on. It is a context of its own:
// an extension T in the included one would be everybody's.
const toggleContext = "callrecord-toggle"

// Features are the choices in the dialplan of `*26`.
type Features struct {
	App     string // name of the Stasis application
	Exten   string // such as *26
	Enabled bool
	Net     SafetyNet
}

var extenPattern = regexp.MustCompile(`^[0-9*#]{1,40}$`)

// CheckExten refuses what cannot be the number of a feature: it is 2 to 40 of
// the keys of a telephone (recording-rules 5.5) and begins with * or #. What
// begins with a digit would take calls to numbers that only begin like it, since
// the keys of lamps follow the number (LampClash).
func CheckExten(exten string) error {
	switch {
	case !extenPattern.MatchString(exten):
		return fmt.Errorf("%q is not 1 to 40 of the digits 0 to 9, * and #", exten)
	case len(exten) < 2 || exten[0] != '*' && exten[0] != '#':
		return fmt.Errorf("%q does not begin with * or # and another key: it would take calls to all numbers that begin so", exten)
	}
	return nil
}

// LampClash says whether the number of a feature, or the keys of its lamps,
// would take calls to an extension.
func LampClash(feature, exten string) bool {
	rest, ok := strings.CutPrefix(exten, feature)
	return ok && (rest == "" || len(rest) > 1 && (rest[0] == '*' || rest[0] >= '0' && rest[0] <= '9'))
}

var appPattern = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// Dialplan returns the text of the file that Asterisk includes, and an
// extension in it, at FeaturesContext, that is there exactly as long as
// Asterisk runs with this very text.
//
// Behind the number follow the keys of lamps: the extension of a user, or a
// star and the user's integer id in the directory, as in *261001 and *26*42.
// Their state is that of LampDevice.
func (f Features) Dialplan() (text, marker string, err error) {
	if err := CheckExten(f.Exten); err != nil {
		return "", "", fmt.Errorf("dialplan of *26: extension %w", err)
	}
	if !appPattern.MatchString(f.App) {
		return "", "", fmt.Errorf("dialplan of *26: %q is no application name", f.App)
	}
	var b strings.Builder
	rest := fmt.Sprintf("${EXTEN:%d}", len(f.Exten))
	key := "_" + f.Exten + "[0-9*]." // one of them, and one or more
	fmt.Fprintf(&b, "[%s]\n", FeaturesContext)
	for _, exten := range []string{f.Exten, key} {
		if !f.Enabled {
			fmt.Fprintf(&b, "exten => %s,1,Set(TIMEOUT(absolute)=%.0f)\n same => n,Answer(%d)\n same => n,Playback(%s)\n same => n,Hangup()\n",
				exten, SwitchTime.Seconds(), SettleTime.Milliseconds(), SoundDisabled)
			continue
		}
		// The dot of a pattern takes any character, and a comma that somebody
		// was transferred to would choose the priority.
		fmt.Fprintf(&b, "exten => %s,1,Set(TIMEOUT(absolute)=%.0f)\n same => n,Goto(%s,${FILTER(0-9*#,${EXTEN})},1)\n",
			exten, SwitchTime.Seconds(), toggleContext)
	}
	fmt.Fprintf(&b, "exten => %s,hint,%s%s\n", key, lampPrefix, rest)
	if f.Enabled {
		f.toggle(&b, key, rest)
	}
	f.Net.write(&b)
	sum := sha256.Sum256([]byte(b.String()))
	marker = "v-" + hex.EncodeToString(sum[:6])
	fmt.Fprintf(&b, "\n; Tells whether this version is loaded.\n[%s](+)\nexten => %s,1,Hangup()\n", FeaturesContext, marker)
	return "; Written by callrecordd, which overwrites it: callrecordd feature set " + FeatureSwitch + "\n" + b.String(), marker, nil
}

// toggle writes the call itself. Who was sent here by another telephone is
// refused: a transfer must not switch the rules of the one transferred.
func (f Features) toggle(b *strings.Builder, key, rest string) {
	fmt.Fprintf(b, "\n[%s]\n", toggleContext)
	for _, e := range [][2]string{{f.Exten, ""}, {key, "," + rest}} {
		fmt.Fprintf(b, "exten => %s,1,GotoIf($[\"${BLINDTRANSFER}\" != \"\"]?refused,1)\n same => n,Stasis(%s,%s%s)\n same => n,Goto(sorry,1)\n",
			e[0], f.App, SwitchArgument, e[1])
	}
	fmt.Fprintf(b, `; Nobody there (STASISSTATUS=FAILED), or the daemon let go of the call.
exten => sorry,1,Answer(%[1]d)
 same => n,Playback(%[2]s)
 same => n,Hangup()
; It has done nothing for %.0[3]f seconds. Whoever comes here again has heard enough.
exten => T,1,GotoIf($["${CALLRECORD_SORRY}" != ""]?over,1)
 same => n,Set(CALLRECORD_SORRY=1)
 same => n,Set(TIMEOUT(absolute)=%.0[4]f)
 same => n,Goto(sorry,1)
exten => over,1,Hangup()
exten => refused,1,Answer(%[1]d)
 same => n,Playback(%[5]s)
 same => n,Hangup()
`, SettleTime.Milliseconds(), SoundSorry, SwitchTime.Seconds(), sorryTime.Seconds(), SoundRefused)
}

// lampPrefix begins the names of our device states.
const lampPrefix = "Custom:" + FeatureSwitch

// LampDevice is the device state behind a lamp key; key are the digits after
// the number of the feature.
func LampDevice(key string) string { return lampPrefix + key }

// LampKey is the reverse of LampDevice; ok is false for foreign devices.
func LampKey(device string) (key string, ok bool) {
	key, ok = strings.CutPrefix(device, lampPrefix)
	return key, ok && keyPattern.MatchString(key)
}

var keyPattern = regexp.MustCompile(`^\*?[0-9]+$`)

// Lit says whether the lamp of a user with these flags is on: with all four,
// so that a lamp that is off means that *26 switches on.
func Lit(f Flags) bool {
	return f.OutgoingInternal && f.OutgoingExternal && f.IncomingInternal && f.IncomingExternal
}

// LampKeys are the keys of a user's lamp: those of its extensions that consist
// of digits, and its integer id in the directory, which is nobody else's.
func LampKeys(id int64, extens ...string) []string {
	keys := []string{fmt.Sprintf("*%d", id)}
	for _, e := range extens {
		if digitsPattern.MatchString(e) && !slices.Contains(keys, e) {
			keys = append(keys, e)
		}
	}
	return keys
}

// digitsPattern: an extension with a star could be taken for an id.
var digitsPattern = regexp.MustCompile(`^[0-9]{2,40}$`)
