package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"callrecordd/dialplan"
	"callrecordd/internal/directory"
)

func tenantCmd(e *environment) *cobra.Command {
	return noun[directory.Tenant]{
		name: "tenant", path: "tenants", about: "Tenants: who owns users, trunks and recordings",
		header: []string{"UUID", "NAME", "PARENT", "ASTERISK ID"},
		row:    func(t directory.Tenant) []string { return []string{t.UUID, t.Name, t.Parent, t.AsteriskID} },
		key:    func(t directory.Tenant) string { return t.UUID },
		names:  func(t directory.Tenant) []string { return []string{t.Name, t.AsteriskID} },
		flags: func(f *pflag.FlagSet) {
			f.String("name", "", "name")
			f.String("parent", "", "uuid of the tenant above (default: the master tenant)")
			f.String("asterisk-id", "", "tenantid of its PJSIP endpoints")
			f.String("announce-start", "", "sound that the parties hear when a recording of it begins (default: none for rules, a beep on demand)")
			f.String("announce-stop", "", "the same for when one ends or is paused")
		},
		apply: func(f *pflag.FlagSet, t *directory.Tenant) error {
			setString(f, "name", &t.Name)
			setString(f, "parent", &t.Parent)
			setString(f, "asterisk-id", &t.AsteriskID)
			setString(f, "announce-start", &t.Announce.Start)
			setString(f, "announce-stop", &t.Announce.Stop)
			return nil
		},
	}.command(e)
}

// ruleNames are the words of --record, with the flag each stands for.
func ruleNames(f *dialplan.Flags) map[string]*bool {
	return map[string]*bool{
		"outgoing-internal": &f.OutgoingInternal, "outgoing-external": &f.OutgoingExternal,
		"incoming-internal": &f.IncomingInternal, "incoming-external": &f.IncomingExternal,
	}
}

func ruleWords(f dialplan.Flags) string {
	var on []string
	for name, flag := range ruleNames(&f) {
		if *flag {
			on = append(on, name)
		}
	}
	slices.Sort(on)
	switch len(on) {
	case 0:
		return "none"
	case 4:
		return "all"
	}
	return strings.Join(on, ",")
}

// setRules replaces all four rules by those named: all, none, or some of them.
func setRules(f *dialplan.Flags, words []string) error {
	rules := ruleNames(f)
	for _, flag := range rules {
		*flag = false
	}
	for _, w := range words {
		switch flag, ok := rules[w]; {
		case ok:
			*flag = true
		case w == "all":
			for _, flag := range rules {
				*flag = true
			}
		case w == "none":
		default:
			return fmt.Errorf("--record %s: use all, none, or a list of outgoing-internal, outgoing-external, incoming-internal, incoming-external", w)
		}
	}
	return nil
}

func userCmd(e *environment) *cobra.Command { return userNoun().command(e) }

func userNoun() noun[directory.User] {
	return noun[directory.User]{
		name: "user", path: "users", about: "Users, their lines and their recording rules",
		header: []string{"UUID", "NAME", "LINES", "RECORDS", "*3", "TENANT"},
		row: func(u directory.User) []string {
			var lines []string
			for _, l := range u.Lines {
				lines = append(lines, strings.TrimSpace(l.Endpoint+" "+place(l.Exten, l.Context)))
			}
			return []string{u.UUID, u.Name(), strings.Join(lines, ", "), ruleWords(u.Flags), yesNo(u.Flags.OnDemand), u.TenantUUID}
		},
		key: func(u directory.User) string { return u.UUID },
		names: func(u directory.User) []string {
			names := []string{u.Name(), u.FirstName, fmt.Sprint(u.ID)}
			for _, l := range u.Lines {
				_, resource, _ := strings.Cut(l.Endpoint, "/")
				names = append(names, l.Endpoint, resource, l.Exten)
			}
			return names
		},
		flags: func(f *pflag.FlagSet) {
			f.String("first-name", "", "first name")
			f.String("last-name", "", "last name")
			f.String("tenant", "", "uuid of the tenant (default: the master tenant)")
			f.String("user-field", "", "tags of the user's calls, separated by commas")
			f.StringArray("line", nil, "a line as ENDPOINT or ENDPOINT=EXTENSION@CONTEXT, e.g. PJSIP/alice=1001@users; repeat for more; the first is the main line")
			f.StringSlice("record", nil, "what is recorded automatically: all, none, or some of outgoing-internal,outgoing-external,incoming-internal,incoming-external")
			f.Bool("on-demand", false, "may use *3 in a call")
			f.Bool("must-record", false, "has Asterisk itself record the calls while the daemon is away, if the dialplan has the safety net's line")
		},
		apply: applyUser,
	}
}

func applyUser(f *pflag.FlagSet, u *directory.User) error {
	setString(f, "first-name", &u.FirstName)
	setString(f, "last-name", &u.LastName)
	setString(f, "tenant", &u.TenantUUID)
	setString(f, "user-field", &u.UserField)
	setBool(f, "on-demand", &u.Flags.OnDemand)
	setBool(f, "must-record", &u.MustRecord)
	if f.Changed("record") {
		words, _ := f.GetStringSlice("record") // declared above
		if err := setRules(&u.Flags, words); err != nil {
			return err
		}
	}
	if !f.Changed("line") {
		return nil
	}
	lines, _ := f.GetStringArray("line") // declared above
	u.Lines = nil
	for i, s := range lines {
		endpoint, place, _ := strings.Cut(s, "=")
		exten, context, _ := strings.Cut(place, "@")
		u.Lines = append(u.Lines, directory.Line{Endpoint: endpoint, Exten: exten, Context: context, Main: i == 0})
	}
	return nil
}

// place is how people write where something is called, empty if nowhere.
func place(exten, context string) string {
	if exten == "" {
		return ""
	}
	return exten + "@" + context
}

// placedFlags are the options that groups and queues share.
func placedFlags(f *pflag.FlagSet) {
	f.String("name", "", "name")
	f.String("label", "", "what people call it")
	f.String("tenant", "", "uuid of the tenant (default: the master tenant)")
	f.String("exten", "", "the extension that leads to it")
	f.String("context", "", "the context of the extension")
	f.Bool("on-demand", false, "who answers may use *3, whatever their own permission says")
	autoFlag(f)
}

// autoFlag is the option of what goes before the users' rules.
func autoFlag(f *pflag.FlagSet) {
	f.String("auto-record", "", "the calls that it leads to: always or never recorded, or inherit, which leaves it to the users' rules")
}

func setAuto(f *pflag.FlagSet, v *dialplan.AutoRecord) {
	text := string(*v)
	setString(f, "auto-record", &text)
	*v = dialplan.AutoRecord(text)
}

func groupCmd(e *environment) *cobra.Command { return groupNoun().command(e) }

func groupNoun() noun[directory.Group] {
	return noun[directory.Group]{
		name: "group", path: "groups", about: "Ring groups: extensions whose Dial rings several",
		header: []string{"UUID", "NAME", "EXTENSION", "*3", "RECORDS", "TENANT"},
		row: func(g directory.Group) []string {
			return []string{g.UUID, g.Name, place(g.Exten, g.Context), yesNo(g.DTMFRecordToggle), string(g.AutoRecord), g.TenantUUID}
		},
		key:   func(g directory.Group) string { return g.UUID },
		names: func(g directory.Group) []string { return []string{g.Name, g.Label, g.Exten} },
		flags: placedFlags,
		apply: func(f *pflag.FlagSet, g *directory.Group) error {
			setString(f, "name", &g.Name)
			setString(f, "label", &g.Label)
			setString(f, "tenant", &g.TenantUUID)
			setString(f, "exten", &g.Exten)
			setString(f, "context", &g.Context)
			setBool(f, "on-demand", &g.DTMFRecordToggle)
			setAuto(f, &g.AutoRecord)
			return nil
		},
	}
}

func queueCmd(e *environment) *cobra.Command { return queueNoun().command(e) }

func queueNoun() noun[directory.Queue] {
	return noun[directory.Queue]{
		name: "queue", path: "queues", about: "Queues, by their names in queues.conf",
		header: []string{"UUID", "NAME", "EXTENSION", "*3", "RECORDS", "TENANT"},
		row: func(q directory.Queue) []string {
			return []string{q.UUID, q.Name, place(q.Exten, q.Context), yesNo(q.DTMFRecordToggle), string(q.AutoRecord), q.TenantUUID}
		},
		key:   func(q directory.Queue) string { return q.UUID },
		names: func(q directory.Queue) []string { return []string{q.Name, q.Label, q.Exten} },
		flags: placedFlags,
		apply: func(f *pflag.FlagSet, q *directory.Queue) error {
			setString(f, "name", &q.Name)
			setString(f, "label", &q.Label)
			setString(f, "tenant", &q.TenantUUID)
			setString(f, "exten", &q.Exten)
			setString(f, "context", &q.Context)
			setBool(f, "on-demand", &q.DTMFRecordToggle)
			setAuto(f, &q.AutoRecord)
			return nil
		},
	}
}

func trunkCmd(e *environment) *cobra.Command { return trunkNoun().command(e) }

func trunkNoun() noun[directory.Trunk] {
	return noun[directory.Trunk]{
		name: "trunk", path: "trunks", about: "Trunks: endpoints that lead outside",
		header: []string{"UUID", "NAME", "ENDPOINT", "RECORDS", "TENANT"},
		row: func(t directory.Trunk) []string {
			return []string{t.UUID, t.Name, t.Endpoint, string(t.AutoRecord), t.TenantUUID}
		},
		key:   func(t directory.Trunk) string { return t.UUID },
		names: func(t directory.Trunk) []string { return []string{t.Name, t.Endpoint} },
		flags: func(f *pflag.FlagSet) {
			f.String("name", "", "name (default: the endpoint's)")
			f.String("endpoint", "", "e.g. PJSIP/provider")
			f.String("tenant", "", "uuid of the tenant (default: the master tenant)")
			autoFlag(f)
		},
		apply: func(f *pflag.FlagSet, t *directory.Trunk) error {
			setString(f, "name", &t.Name)
			setString(f, "endpoint", &t.Endpoint)
			setString(f, "tenant", &t.TenantUUID)
			setAuto(f, &t.AutoRecord)
			return nil
		},
	}
}

func deviceCmd(e *environment) *cobra.Command {
	return noun[directory.Device]{
		name: "device", path: "devices", about: "Devices: internal endpoints that are nobody's", fixed: true,
		header: []string{"ENDPOINT"},
		row:    func(d directory.Device) []string { return []string{d.Endpoint} },
		key:    func(d directory.Device) string { return d.Endpoint },
		names:  func(directory.Device) []string { return nil },
		flags:  func(f *pflag.FlagSet) { f.String("endpoint", "", "e.g. PJSIP/door") },
		apply: func(f *pflag.FlagSet, d *directory.Device) error {
			setString(f, "endpoint", &d.Endpoint)
			return nil
		},
	}.command(e)
}

func featureCmd(e *environment) *cobra.Command {
	return noun[directory.Feature]{
		name: "feature", path: "features", about: "Features: the numbers that telephones dial, such as *26", given: true,
		header: []string{"UUID", "FEATURE", "EXTENSION", "ENABLED"},
		row: func(f directory.Feature) []string {
			return []string{f.UUID, f.Name, f.Exten, yesNo(f.Enabled)}
		},
		key:   func(f directory.Feature) string { return f.UUID },
		names: func(f directory.Feature) []string { return []string{f.Name, f.Exten} },
		flags: func(f *pflag.FlagSet) {
			f.String("exten", "", "the number, of the digits 0 to 9, * and #")
			f.Bool("enabled", false, "whether it does anything; the number of a disabled feature is answered with \"disabled\"")
		},
		apply: func(f *pflag.FlagSet, v *directory.Feature) error {
			setString(f, "exten", &v.Exten)
			setBool(f, "enabled", &v.Enabled)
			return nil
		},
	}.command(e)
}
