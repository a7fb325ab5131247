// Package config owns the daemon's settings: the struct with its defaults,
// reading them from a file and the environment, checking them, and the text of
// the sample file, which is generated from the struct.
//
// It is the only package that sees viper, and it must not import anything of
// ours: whoever needs a setting gets its value from internal/app.
package config

import (
	"log/slog"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"time"
)

// DefaultPath is where the packaged service keeps its configuration.
const DefaultPath = "/etc/callrecordd/callrecordd.yaml"

// Config is everything an administrator can set. The tags are the keys of the
// file and the comments of the sample; the values of Default are the defaults.
// live marks what a reload puts into force.
type Config struct {
	Asterisk   Asterisk   `mapstructure:"asterisk" doc:"How to reach Asterisk, and what it writes."`
	Recordings Recordings `mapstructure:"recordings" doc:"Where recordings are kept."`
	OnDemand   OnDemand   `mapstructure:"on_demand" doc:"Recording on demand: what users do during a call, *3 by default."`
	State      State      `mapstructure:"state" doc:"Where the daemon keeps its own data."`
	HTTP       HTTP       `mapstructure:"http" doc:"The HTTP API. Every request needs a token."`
	Accounts   Accounts   `mapstructure:"accounts" doc:"People and programs that log in."`
	Exports    Exports    `mapstructure:"exports" doc:"Archives of many recordings."`
	Mail       Mail       `mapstructure:"mail" doc:"Mails about exports."`
	Webhooks   Webhooks   `mapstructure:"webhooks" doc:"Events that are sent to other servers (callrecordd webhook). docs/events.md describes them."`
	Retention  Retention  `mapstructure:"retention" doc:"How long things are kept, in days, by tenants that have not chosen themselves (callrecordd retention). 0 is for ever."`
	Ledger     Ledger     `mapstructure:"ledger" doc:"The ledger of events, which proves what was recorded (callrecordd verify). docs/ledger.md describes it."`
	Audit      Audit      `mapstructure:"audit" doc:"Whether what had to be recorded is in files (callrecordd audit). docs/audit.md has the details."`
	Alarms     Alarms     `mapstructure:"alarms" doc:"What is an alarm, and what is done about it. docs/alarms.md describes all alarms."`
	Journal    Journal    `mapstructure:"journal" doc:"How the journal of calls (asterisk.journal) is read."`
	Log        Log        `mapstructure:"log" doc:"What the daemon says on its standard error."`
}

// Asterisk is the way to Asterisk's interfaces.
type Asterisk struct {
	ARIURL          string   `mapstructure:"ari_url" doc:"Asterisk's HTTP server: bindaddr and bindport in http.conf, with its prefix if there is one."`
	ARIUser         string   `mapstructure:"ari_user" doc:"The user in ari.conf; it needs read_only=no."`
	ARIPassword     Secret   `mapstructure:"ari_password" doc:"Its password. Set this or ari_password_file."`
	ARIPasswordFile string   `mapstructure:"ari_password_file" doc:"A file that contains nothing but the password, or the name of a credential of the service (LoadCredential=)." example:"/etc/callrecordd/ari_password"`
	App             string   `mapstructure:"app" doc:"The name under which the daemon registers with Asterisk. Two daemons on one Asterisk need two names."`
	AMIAddress      string   `mapstructure:"ami_address" doc:"Asterisk's manager: bindaddr and port in manager.conf."`
	AMIUser         string   `mapstructure:"ami_user" doc:"The user in manager.conf; it needs write=system,call."`
	AMIPassword     Secret   `mapstructure:"ami_password" doc:"Its secret. Set this or ami_password_file."`
	AMIPasswordFile string   `mapstructure:"ami_password_file" doc:"A file that contains nothing but the secret, or the name of a credential of the service (LoadCredential=)." example:"/etc/callrecordd/ami_password"`
	Journal         string   `mapstructure:"journal" doc:"The SQLite file into which Asterisk writes its call events (cel_sqlite3_custom.conf)."`
	Technologies    []string `mapstructure:"technologies" doc:"Channel technologies of telephones and trunks. Others (Local, Snoop, ...) are no parties of a call."`
}

// Recordings is the place of the audio files.
type Recordings struct {
	Root  string `mapstructure:"root" doc:"Files are <root>/<tenant uuid>/monitor/<recording uuid>.wav. Must be on a local file system; Asterisk and the daemon both write there. If you change it, change ReadWritePaths= of the service as well."`
	Pause string `mapstructure:"pause" live:"yes" doc:"What a pause leaves in the file: mute is silence, so that its time line stays; cut is nothing."`

	Orphans      string        `mapstructure:"orphans" live:"yes" doc:"What is done with files that no recording knows: report only tells of them; repair puts those back that were renamed, and marks recordings whose file is gone; adopt also makes recordings of files that are named like ours, which their tenant then keeps as long as all others; quarantine also moves the rest to <root>/<tenant uuid>/quarantine. Nothing is ever removed."`
	OrphansEvery time.Duration `mapstructure:"orphans_every" doc:"How often such files, and recordings whose file is gone, are looked for, at least 1m. 0 is never: callrecordd recording orphans does it then."`
}

// OnDemand is recording by users during a call.
type OnDemand struct {
	Source         string `mapstructure:"source" doc:"How a press is noticed: feature is the line in features.conf; dtmf collects the digits of calls and is for an Asterisk whose features.conf cannot be changed. It sees them only where Asterisk itself handles the audio, and the other party hears them."`
	Code           string `mapstructure:"code" live:"yes" doc:"The code with source dtmf. With feature it is the one in features.conf."`
	Cycle          string `mapstructure:"cycle" live:"yes" doc:"What a press does to a recording that its user has started: pause makes it pause and the next one go on; stop makes it end."`
	FollowTransfer bool   `mapstructure:"follow_transfer" live:"yes" doc:"Whether a recording that a user has started goes on for the others when that user has left the call."`
	Tones          bool   `mapstructure:"tones" live:"yes" doc:"Whether the parties hear a beep when a recording on demand starts, pauses, goes on or stops, and who may not start one an error tone. Announcements of a tenant are heard in any case."`
}

// The words of Recordings.Orphans.
const (
	OrphansReport     = "report"
	OrphansRepair     = "repair"
	OrphansAdopt      = "adopt"
	OrphansQuarantine = "quarantine"
)

// The words of Recordings.Pause, OnDemand.Source and OnDemand.Cycle.
const (
	PauseMute     = "mute"
	PauseCut      = "cut"
	SourceFeature = "feature"
	SourceDTMF    = "dtmf"
	CyclePause    = "pause"
	CycleStop     = "stop"
)

// State is the place of what the daemon itself keeps.
type State struct {
	Dir    string `mapstructure:"dir" doc:"The database, the lock file, and the dialplan of *26 that Asterisk includes: asterisk/callrecord-features.conf. Asterisk must be able to read that, as the same user or in the same group."`
	Socket string `mapstructure:"socket" doc:"The unix socket of the command line. Who may open it may change everything."`
}

// HTTP is the API's server.
type HTTP struct {
	Listen      []string `mapstructure:"listen" doc:"Addresses of CDRs and recordings (call-logd), as host:port. On every address all services are found below /api/<service>/ as well."`
	ListenAuth  []string `mapstructure:"listen_auth" doc:"The same of tokens and accounts (auth). [] for none."`
	ListenConfd []string `mapstructure:"listen_confd" doc:"The same of users, groups and queues (confd)."`
	ListenCalld []string `mapstructure:"listen_calld" doc:"The same of calls that go on (calld)."`

	ListenWebhookd   []string `mapstructure:"listen_webhookd" doc:"The same of subscriptions to events (webhookd)."`
	ListenWebsocketd []string `mapstructure:"listen_websocketd" doc:"The same of the stream of events (websocketd)."`
	Streams          int      `mapstructure:"streams" doc:"How many clients may follow events at the same time, 1 to 10000. An account may have a quarter of them."`

	ListenTLS      []string `mapstructure:"listen_tls" doc:"Addresses with HTTPS, such as \":443\", where all services are found below /api/<service>/. callrecordd setup makes a certificate for it."`
	Certificate    string   `mapstructure:"certificate" doc:"The certificate for HTTPS with those that vouch for it, as PEM. It is read again when it changes." example:"/etc/callrecordd/certificate.pem"`
	CertificateKey string   `mapstructure:"certificate_key" doc:"Its key, as PEM, or the name of a credential of the service." example:"/etc/callrecordd/certificate_key.pem"`
	TrustedProxies []string `mapstructure:"trusted_proxies" doc:"Addresses or networks of reverse proxies in front, such as 127.0.0.1. Their X-Script-Name and X-Forwarded-* headers count, nobody else's."`
}

// Accounts are the rules of logins.
type Accounts struct {
	UserPolicy    []string      `mapstructure:"user_policy" doc:"What every account may do, beside its policies. Without it: see its own calls and what concerns its own account, and control the recording of its own calls." example:"[\"call-logd.users.me.#\", \"auth.users.me.#\"]"`
	MaxSessions   int           `mapstructure:"max_sessions" doc:"How many tokens an account may have at a time, 1 to 10000. Accounts of purpose internal may have any number."`
	TokenLifetime time.Duration `mapstructure:"token_lifetime" doc:"How long a token is valid if whoever logs in does not say, 1m to 87600h."`
}

// Exports are archives of recordings.
type Exports struct {
	Dir          string        `mapstructure:"dir" doc:"Where archives are kept until retention removes them. Without it: the folder exports in state.dir. Elsewhere it needs ReadWritePaths= of the service." example:"/srv/exports"`
	Workers      int           `mapstructure:"workers" doc:"How many archives are written at the same time, 1 to 16."`
	KeepFree     int           `mapstructure:"keep_free" doc:"Megabytes that must stay free on that disk. An export that would take them fails."`
	LinkLifetime time.Duration `mapstructure:"link_lifetime" doc:"How long the link in the mail works."`
	Link         string        `mapstructure:"link" doc:"Address under which others reach the API, for the link in the mail. Without it: https and the host that the request named." example:"https://pbx.example.com/api/call-logd"`
}

// Mail is the way to an SMTP server, and what is written.
type Mail struct {
	Host            string        `mapstructure:"host" doc:"The SMTP server."`
	Port            int           `mapstructure:"port" doc:"Its port."`
	TLS             string        `mapstructure:"tls" doc:"offered uses STARTTLS if the server has it; required sends nothing without; implicit is TLS from the first byte; none never uses it."`
	Username        string        `mapstructure:"username" doc:"Who logs in. Without it nobody does." example:"callrecordd"`
	Password        Secret        `mapstructure:"password" doc:"The password. Set this or password_file, or neither."`
	PasswordFile    string        `mapstructure:"password_file" doc:"A file that contains nothing but the password, or the name of a credential of the service (LoadCredential=)." example:"/etc/callrecordd/mail_password"`
	Timeout         time.Duration `mapstructure:"timeout" doc:"How long the server may take."`
	FromName        string        `mapstructure:"from_name" doc:"Who writes."`
	FromAddress     string        `mapstructure:"from_address" doc:"The address of who writes."`
	Subject         string        `mapstructure:"subject" doc:"Subject of the mail about a finished export. Here and in the bodies {{export_uuid}}, {{tenant_uuid}}, {{hostname}}, {{files}} and others stand for values."`
	BodyFile        string        `mapstructure:"body_file" doc:"A file with the text; {{link}} is the address of the archive. Without it there is one built in." example:"/etc/callrecordd/export_mail.txt"`
	FailureSubject  string        `mapstructure:"failure_subject" doc:"Subject of the mail about an export that failed."`
	FailureBodyFile string        `mapstructure:"failure_body_file" doc:"A file with the text about a failure; {{cause}} says why." example:"/etc/callrecordd/export_failed_mail.txt"`
}

// The words of Mail.TLS.
const (
	TLSNone     = "none"
	TLSOffered  = "offered"
	TLSRequired = "required"
	TLSImplicit = "implicit"
)

// Webhooks is how events are sent to other servers.
type Webhooks struct {
	AllowPrivate bool          `mapstructure:"allow_private" doc:"Whether they may go to this machine and to private networks. Whoever may subscribe can then reach servers there that trust this machine. Link-local addresses, with the metadata services of clouds, are refused in any case."`
	Workers      int           `mapstructure:"workers" doc:"How many servers are talked to at the same time, 1 to 64."`
	Timeout      time.Duration `mapstructure:"timeout" doc:"How long one may take, 1s to 1m."`
	Attempts     int           `mapstructure:"attempts" doc:"After how many attempts an event is given up, 1 to 100. The time between them doubles, from 1s to 15m: 20 are about 2 hours. Later events of the same subscription wait meanwhile."`
	Keep         time.Duration `mapstructure:"keep" doc:"How long events that were sent or given up can be looked at and sent again, at least 1h."`
}

// Retention are the defaults of tenants without an own choice.
type Retention struct {
	CDRDays       int           `mapstructure:"cdr_days" doc:"CDRs, and with them their recordings."`
	ExportDays    int           `mapstructure:"export_days" doc:"Archives."`
	RecordingDays int           `mapstructure:"recording_days" doc:"Recordings; their CDRs stay."`
	Every         time.Duration `mapstructure:"every" doc:"How often what is too old is looked for. 0 is never: callrecordd retention purge does it then."`
}

// Ledger is how the ledger is signed.
type Ledger struct {
	Key    string        `mapstructure:"key" doc:"The file with the private key that signs checkpoints. It is made if it is not there. Without it: the systemd credential ledger.key if there is one, else ledger.key in state.dir." example:"/etc/callrecordd/ledger.key"`
	Anchor string        `mapstructure:"anchor" doc:"A file to which each checkpoint is appended, on write-once storage or another machine: who changes the database cannot change that. It needs ReadWritePaths= of the service." example:"/mnt/worm/callrecordd.anchor"`
	Every  time.Duration `mapstructure:"every" doc:"How often a checkpoint is made if there is anything new, 10s to 24h."`
}

// Audit is the coverage audit.
type Audit struct {
	Tolerance time.Duration `mapstructure:"tolerance" doc:"How much may be missing at the beginning, at the end or between without being counted, 100ms to 10s. Asterisk writes up to 256ms late, and clocks are read at different moments."`
	Dir       string        `mapstructure:"dir" doc:"Where the nightly reports are kept; without it in state.dir." example:"/var/lib/callrecordd/audits"`
	KeepDays  int           `mapstructure:"keep_days" doc:"How long, in days. 0 is for ever."`
}

// Journal is the follower of Asterisk's call events.
type Journal struct {
	Poll time.Duration `mapstructure:"poll" doc:"How often new rows are looked for, 10ms to 10s."`
	Keep time.Duration `mapstructure:"keep" live:"yes" doc:"Rows that have been read are deleted from the journal when they are older than this, which keeps the file from growing for ever. At least 1h. 0 keeps all, for example because other programs read the file too."`
}

// Log is the daemon's log.
type Log struct {
	Level  string `mapstructure:"level" live:"yes" doc:"debug, info, warn or error."`
	Format string `mapstructure:"format" doc:"text, json or auto. auto is text on a terminal and under systemd, else json."`
}

// Default returns a Config with every default; only the passwords are missing.
func Default() Config {
	return Config{
		Asterisk: Asterisk{
			ARIURL:       "http://127.0.0.1:8088",
			ARIUser:      "callrecordd",
			App:          "callrecordd",
			AMIAddress:   "127.0.0.1:5038",
			AMIUser:      "callrecordd",
			Journal:      "/var/log/asterisk/master.db",
			Technologies: []string{"PJSIP", "SIP", "IAX2", "DAHDI", "SCCP", "MGCP"},
		},
		Recordings: Recordings{Root: "/var/lib/wazo/sounds/tenants", Pause: PauseMute, Orphans: OrphansRepair, OrphansEvery: 24 * time.Hour},
		OnDemand:   OnDemand{Source: SourceFeature, Code: "*3", Cycle: CyclePause, Tones: true},
		State:      State{Dir: "/var/lib/callrecordd", Socket: "/run/callrecordd/control.sock"},
		HTTP: HTTP{
			Listen: []string{"127.0.0.1:9298"}, ListenAuth: []string{"127.0.0.1:9497"},
			ListenConfd: []string{"127.0.0.1:9486"}, ListenCalld: []string{"127.0.0.1:9500"},
			ListenWebhookd: []string{"127.0.0.1:9300"}, ListenWebsocketd: []string{"127.0.0.1:9502"}, Streams: 200,
			ListenTLS: []string{}, TrustedProxies: []string{},
		},
		Accounts: Accounts{UserPolicy: []string{}, MaxSessions: 100, TokenLifetime: 2 * time.Hour},
		Exports:  Exports{Workers: 2, KeepFree: 1024, LinkLifetime: 48 * time.Hour},
		Mail: Mail{
			Host: "localhost", Port: 25, TLS: TLSOffered, Timeout: 10 * time.Second,
			FromName: "Call recording", FromAddress: "no-reply@localhost.localdomain",
			Subject: "Your export is ready", FailureSubject: "Your export has failed",
		},
		Webhooks:  Webhooks{Workers: 8, Timeout: 10 * time.Second, Attempts: 20, Keep: 7 * 24 * time.Hour},
		Retention: Retention{CDRDays: 365, ExportDays: 2, RecordingDays: 365, Every: time.Hour},
		Ledger:    Ledger{Every: 5 * time.Minute},
		Audit:     Audit{Tolerance: 500 * time.Millisecond, KeepDays: 400},
		Journal:   Journal{Poll: 150 * time.Millisecond, Keep: 7 * 24 * time.Hour},
		Log:       Log{Level: "info", Format: "auto"},
		Alarms: Alarms{
			DiskLowPercent: 10, DiskCriticalPercent: 3, DiskLowTime: 24 * time.Hour, DiskCriticalTime: 2 * time.Hour,
			HangUpAfter: 10 * time.Second,
		},
	}
}

// Proxies are the trusted proxies; what Validate would refuse is left out.
func (h HTTP) Proxies() []netip.Prefix {
	var out []netip.Prefix
	for _, text := range h.TrustedProxies {
		if p, err := parseProxy(text); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// parseProxy reads an address or a network.
func parseProxy(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return addr.Unmap().Prefix(addr.Unmap().BitLen())
	}
	p, err := netip.ParsePrefix(text)
	return p.Masked(), err
}

// Database is the path of the daemon's database.
func (s State) Database() string { return filepath.Join(s.Dir, "callrecordd.db") }

// RefreshKey is the path of the key from which refresh tokens are derived. It
// is not in the database, so that a copy of that gives nobody a way in.
func (s State) RefreshKey() string { return filepath.Join(s.Dir, "refresh.key") }

// ToggleFile is the path of the line of features.conf that Asterisk includes.
func (s State) ToggleFile() string {
	return filepath.Join(filepath.Dir(s.Features()), "callrecord-applicationmap.conf")
}

// Features is the path of the dialplan that Asterisk includes. It has a folder
// of its own, so that a right to read it opens nothing else.
func (s State) Features() string { return filepath.Join(s.Dir, "asterisk", "callrecord-features.conf") }

// ExportsDir is where archives are kept.
func (c Config) ExportsDir() string {
	if c.Exports.Dir != "" {
		return c.Exports.Dir
	}
	return filepath.Join(c.State.Dir, "exports")
}

// AuditDir is where the nightly reports are kept.
func (c Config) AuditDir() string {
	if c.Audit.Dir != "" {
		return c.Audit.Dir
	}
	return filepath.Join(c.State.Dir, "audits")
}

// SlogLevel is Level for slog; a level that Validate would refuse is info.
func (l Log) SlogLevel() slog.Level {
	var level slog.Level
	if err := level.UnmarshalText([]byte(l.Level)); err != nil {
		return slog.LevelInfo
	}
	return level
}

// Redacted returns a copy that contains no password: one that is set is "***".
func (c Config) Redacted() Config {
	for _, f := range fields(&c) {
		if list, ok := reflect.TypeAssert[[]string](f.value); ok {
			f.value.Set(reflect.ValueOf(slices.Clone(list)))
		}
		if s, ok := reflect.TypeAssert[Secret](f.value); ok {
			f.value.SetString(s.String())
		}
	}
	return c
}

// Map returns all values in force by section and key, without passwords, for
// those who read them as JSON. The key debug is what tools for Wazo look at.
func (c Config) Map() map[string]any {
	c = c.Redacted()
	out := map[string]any{"debug": c.Log.SlogLevel() <= slog.LevelDebug}
	for _, f := range fields(&c) {
		section, ok := out[f.section].(map[string]any)
		if !ok {
			section = map[string]any{}
			out[f.section] = section
		}
		switch v := f.value.Interface().(type) {
		case time.Duration:
			section[f.name] = v.String()
		case []string:
			section[f.name] = append([]string{}, v...)
		default:
			section[f.name] = v
		}
	}
	return out
}
