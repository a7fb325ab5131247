package dialplan

import (
	"crypto/md5" //nolint:gosec // what Asterisk has; it keeps no secret
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The safety net (issue 4): while the daemon does not see Asterisk's events,
// Asterisk itself records the calls of users who must be recorded.
const (
	// SafetyContext is called, with the extension and the context that were
	// dialled, by dialplans that want the net.
	SafetyContext = "callrecord-safety"
	safetyUsers   = "callrecord-safety-users"
	// AliveVariable is the global that holds the time, in seconds since 1970, at
	// which the daemon last saw Asterisk's events.
	AliveVariable = "CALLRECORDD_ALIVE"
	// AliveEvery is how often it is set, AliveTime how long it counts.
	AliveEvery = 5 * time.Second
	AliveTime  = 15 * time.Second
)

// SafetyLine is what a dialplan has before its Dial: a call goes on as before
// where the context is not there.
const SafetyLine = "GosubIf(${DIALPLAN_EXISTS(" + SafetyContext + ",s,1)}?" + SafetyContext + ",s,1(${EXTEN},${CONTEXT}))"

// MustRecord is a user whom the net is for.
type MustRecord struct {
	Tenant    string   // uuid
	Endpoints []string // such as PJSIP/alice
	Places    []string // where it is called, such as 1001@users
}

// SafetyNet are the choices in the dialplan of the net.
type SafetyNet struct {
	Root  string // of the recordings; empty: no net at all
	Users []MustRecord
}

// SafetyUUID is the uuid of the recording that the net makes on a channel. The
// dialplan makes the same of the channel's uniqueid, so that the file can be
// found although nobody has noted it.
func SafetyUUID(uniqueid string) string {
	h := digest(uniqueid)
	return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-8" + h[17:20] + "-" + h[20:]
}

func digest(text string) string {
	sum := md5.Sum([]byte(text)) //nolint:gosec // see the import
	return hex.EncodeToString(sum[:])
}

// write appends the two contexts. A time that is as far ahead is not ours: the
// clock was set back. Who is dialled or dials is looked up by a
// digest, because endpoints may contain what an extension must not.
func (n SafetyNet) write(b *strings.Builder) {
	if n.Root == "" {
		return
	}
	fmt.Fprintf(b, `
; The safety net: in your own dialplan, before Dial, write
;   same => n,%[1]s
[%[2]s]
exten => s,1,GotoIf($[${EPOCH} - 0${%[3]s} < %.0[4]f & ${EPOCH} - 0${%[3]s} > -%.0[4]f]?done)
 same => n,Set(LOCAL(name)=${CHANNEL(name)})
 same => n,Set(LOCAL(key)=${MD5(${name:0:$[-1 - ${LEN(${CUT(name,-,${FIELDQTY(name,-)})})}]})})
 same => n,GotoIf(${DIALPLAN_EXISTS(%[5]s,${key},1)}?record)
 same => n,Set(LOCAL(key)=${MD5(${ARG1}@${ARG2})})
 same => n,GotoIf(${DIALPLAN_EXISTS(%[5]s,${key},1)}?record:done)
 same => n(record),Set(LOCAL(h)=${MD5(${UNIQUEID})})
 same => n,GotoIf($["${CALLRECORDD_NET}" = "${h}"]?done)
 same => n,Set(CALLRECORDD_NET=${h})
 same => n,Gosub(%[5]s,${key},1)
 same => n,MixMonitor(%[6]s/${GOSUB_RETVAL}/monitor/${h:0:8}-${h:8:4}-4${h:13:3}-8${h:17:3}-${h:20:12}.wav,bi(CALLRECORD_${h:0:8}_${h:8:4}_4${h:13:3}_8${h:17:3}_${h:20:12}))
 same => n(done),Return()

[%[5]s]
`, SafetyLine, SafetyContext, AliveVariable, AliveTime.Seconds(), safetyUsers, n.Root)
	var lines []string
	for _, u := range n.Users {
		for _, key := range slices.Concat(u.Endpoints, u.Places) {
			lines = append(lines, fmt.Sprintf("exten => %s,1,Return(%s)\n", digest(key), u.Tenant))
		}
	}
	slices.Sort(lines)
	for _, line := range slices.Compact(lines) {
		b.WriteString(line)
	}
}
