package dialplan

import (
	"slices"
	"strings"
)

// CELEvents are the events that the journal needs, each by its name: ALL would
// put DTMF digits, card numbers among them, into it (asterisk-facts 4). All
// supported versions know them; one unknown name disables CEL as a whole.
func CELEvents() []string {
	return []string{
		"CHAN_START", "CHAN_END", "HANGUP", "ANSWER", "APP_START", "APP_END", "BRIDGE_ENTER", "BRIDGE_EXIT",
		"PARK_START", "PARK_END", "BLINDTRANSFER", "ATTENDEDTRANSFER", "PICKUP", "FORWARD",
		"LOCAL_OPTIMIZE", "LINKEDID_END", "USER_DEFINED",
	}
}

// CELApplications are those whose APP_START and APP_END the journal needs.
func CELApplications() []string {
	return []string{"dial", "queue", "voicemail", "park", "confbridge", "page", "pickup", "pickupchan"}
}

// CELSettings are the lines of cel.conf's section [general].
func CELSettings() string {
	var b strings.Builder
	b.WriteString("enable=yes\napps=" + strings.Join(CELApplications(), ",") + "\n")
	for chunk := range slices.Chunk(CELEvents(), 8) {
		b.WriteString("events=" + strings.Join(chunk, ",") + "\n")
	}
	return b.String()
}

// JournalConf is the text of cel_sqlite3_custom.conf.
func JournalConf() string { return celSQLiteConf() }

// Modules are the modules of Asterisk that we use, without ".so". Those that
// they need themselves Asterisk loads with them.
func Modules() []string {
	return []string{
		"res_ari", "res_ari_applications", "res_ari_asterisk", "res_ari_bridges", "res_ari_channels",
		"res_ari_device_states", "res_ari_endpoints", "res_ari_events", "res_ari_playbacks",
		"res_stasis", "res_stasis_playback", "res_stasis_snoop", "app_stasis",
		"app_mixmonitor", "app_userevent", "cel_sqlite3_custom",
	}
}
