package dialplan

import (
	"fmt"
	"path"
	"strings"
)

// FeatureApplication is the name under which `*3` is known to Asterisk: the
// key in features.conf and the value of DYNAMIC_FEATURES.
const FeatureApplication = "callrecord"

// ToggleEvent is the UserEvent that a press of `*3` produces (asterisk-facts 3).
const ToggleEvent = "CallRecordToggle"

// Snippet is a piece of Asterisk configuration.
type Snippet struct {
	// File is the file below Asterisk's configuration directory that has to
	// contain Text, directly or through an include.
	File string
	// Text is complete and ends with a newline.
	Text string
}

// SnippetOptions are the values an installation chooses. The zero value is
// completed by the defaults which the files in etc/asterisk show.
type SnippetOptions struct {
	HTTPAddress string // bindaddr of Asterisk's HTTP server, default 127.0.0.1
	HTTPPort    int    // default 8088
	ARIUser     string // default callrecordd
	ARIPassword string // default change-me
	AMIAddress  string // default 127.0.0.1
	AMIPort     int    // default 5038
	AMIUser     string // default callrecordd
	AMIPassword string // default change-me
	ToggleCode  string // default *3
	// FeaturesPath is the file with *26, default DefaultFeaturesPath.
	FeaturesPath string
}

func (o SnippetOptions) withDefaults() SnippetOptions {
	def := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	def(&o.HTTPAddress, "127.0.0.1")
	def(&o.ARIUser, "callrecordd")
	def(&o.ARIPassword, "change-me")
	def(&o.AMIAddress, "127.0.0.1")
	def(&o.AMIUser, "callrecordd")
	def(&o.AMIPassword, "change-me")
	def(&o.ToggleCode, "*3")
	def(&o.FeaturesPath, DefaultFeaturesPath)
	if o.HTTPPort == 0 {
		o.HTTPPort = 8088
	}
	if o.AMIPort == 0 {
		o.AMIPort = 5038
	}
	return o
}

// Snippets returns what Asterisk needs for callrecordd, one entry a file, in a
// fixed order (design 4). etc/asterisk holds the same texts with the defaults.
func Snippets(o SnippetOptions) []Snippet {
	o = o.withDefaults()
	return []Snippet{
		{"http.conf", fmt.Sprintf(`; ARI is served by Asterisk's own HTTP server; loopback is enough for us.
[general]
enabled=yes
bindaddr=%s
bindport=%d
`, o.HTTPAddress, o.HTTPPort)},
		{"ari.conf", fmt.Sprintf(`[general]
enabled=yes

; read_only must be no: *26 answers its call and tones are whispered over ARI.
[%s]
type=user
read_only=no
password=%s
`, o.ARIUser, o.ARIPassword)},
		{"manager.conf", fmt.Sprintf(`[general]
enabled=yes
bindaddr=%s
port=%d

; MixMonitor and Reload need class system, stop, mute and Setvar need call.
; There is no read class: a session that receives events makes Asterisk format every one.
[%s]
secret=%s
deny=0.0.0.0/0.0.0.0
permit=127.0.0.1/255.255.255.255
write=system,call
`, o.AMIAddress, o.AMIPort, o.AMIUser, o.AMIPassword)},
		{"features.conf", fmt.Sprintf(`; One line and one global make %[2]s work on every call; no dialplan is edited.
[applicationmap](+)
%[1]s => %[2]s,self,UserEvent(%[3]s)

; Another code, once one was chosen through the API: the daemon writes this file.
#tryinclude "%[4]s"
`, FeatureApplication, o.ToggleCode, ToggleEvent, ToggleFile(o.FeaturesPath))},
		{"extensions.conf", fmt.Sprintf(`; Joined with # if other dynamic features are in use: a#b#%[1]s
[globals](+)
DYNAMIC_FEATURES=%[1]s

; *26, or the number that the daemon was told, at the end of extensions.conf.
; Each context in which telephones dial needs the line
;   include => %[2]s
#tryinclude "%[3]s"
`, FeatureApplication, FeaturesContext, o.FeaturesPath)},
		{"cel.conf", "[general](+)\n" + CELSettings()},
		{"cel_sqlite3_custom.conf", celSQLiteConf()},
	}
}

// ToggleFile is where the daemon writes the line of features.conf, beside the
// file with *26.
func ToggleFile(featuresPath string) string {
	return path.Join(path.Dir(featuresPath), "callrecord-applicationmap.conf")
}

// ToggleText is what it writes there: the last line of a name is in force.
func ToggleText(code string) string {
	return "; Written by callrecordd, which writes it anew: change nothing here.\n[applicationmap](+)\n" + ToggleLine(code)
}

// ToggleLine is the key that Asterisk listens to, and what its press does.
func ToggleLine(code string) string {
	return fmt.Sprintf("%s => %s,self,UserEvent(%s)\n", FeatureApplication, code, ToggleEvent)
}

// JournalColumns are the columns of the journal table after AcctId, in the
// order of the module's configuration. A count that differs from the table's
// disables the module with one warning, so both come from this list.
func JournalColumns() []string {
	return []string{
		"eventtype", "eventtime", "cidname", "cidnum", "cidani", "cidrdnis", "ciddnid",
		"exten", "context", "channame", "appname", "appdata", "accountcode",
		"uniqueid", "linkedid", "userfield", "peer", "extra",
	}
}

// journalValues maps a column to what Asterisk writes there (cel_sqlite3_custom
// evaluates it for each event on a channel that stands for the event).
func journalValues() []string {
	return []string{
		"${eventtype}", "${eventtime}", "${CALLERID(name)}", "${CALLERID(num)}", "${CALLERID(ANI)}",
		"${CALLERID(RDNIS)}", "${CALLERID(DNID)}", "${CHANNEL(exten)}", "${CHANNEL(context)}",
		"${CHANNEL(channame)}", "${CHANNEL(appname)}", "${CHANNEL(appdata)}", "${CHANNEL(accountcode)}",
		"${CHANNEL(uniqueid)}", "${CHANNEL(linkedid)}", "${CHANNEL(userfield)}", "${BRIDGEPEER}", "${eventextra}",
	}
}

func celSQLiteConf() string {
	values := journalValues()
	for i, v := range values {
		values[i] = "'" + v + "'"
	}
	return fmt.Sprintf(`; busy_timeout: an INSERT that waits longer is dropped, and with it a call's row.
[master]
table = cel
columns = %s
values = %s
busy_timeout = 10000
`, strings.Join(JournalColumns(), ", "), strings.Join(values, ", "))
}

// JournalSchema creates the journal table the way callrecordd needs it
// (asterisk-facts 4): AUTOINCREMENT, because without it ids are used again
// after the newest row was deleted, and WAL, so that a reader never makes
// Asterisk drop a row. The file's PRAGMA user_version is set to a random
// journal id by whoever creates it.
func JournalSchema() string {
	return "PRAGMA journal_mode=WAL;\n" +
		"CREATE TABLE IF NOT EXISTS cel (AcctId INTEGER PRIMARY KEY AUTOINCREMENT, " +
		strings.Join(JournalColumns(), ", ") + ");\n"
}
