package e2e

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/google/uuid"

	"callrecordd/config"
	"callrecordd/internal/cdr"
	"callrecordd/internal/control"
	"callrecordd/internal/directory"
	"callrecordd/internal/recorder"
	"callrecordd/store"
)

// mailbox is a real SMTP server that keeps what it gets.
type mailbox struct {
	addr   *net.TCPAddr
	server *smtp.Server

	mu    sync.Mutex
	mails []letter
	// refuse is how many mails are refused before one is taken.
	refuse int
	err    *smtp.SMTPError
}

type letter struct{ from, to, data string }

func newMailbox(t testing.TB) *mailbox {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	m := &mailbox{addr: l.Addr().(*net.TCPAddr)}
	m.server = smtp.NewServer(m)
	m.server.Domain = "mail.example"
	done := make(chan struct{})
	go func() { defer close(done); _ = m.server.Serve(l) }()
	t.Cleanup(func() { must(t, m.server.Close()); <-done })
	return m
}

// NewSession implements smtp.Backend.
func (m *mailbox) NewSession(*smtp.Conn) (smtp.Session, error) { return &session{box: m}, nil }

type session struct {
	box *mailbox
	letter
}

func (s *session) Reset()        { s.letter = letter{} }
func (s *session) Logout() error { return nil }
func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	if s.box.refuse > 0 {
		s.box.refuse--
		return s.box.err
	}
	s.to = to
	return nil
}

func (s *session) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	s.data = string(data)
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	s.box.mails = append(s.box.mails, s.letter)
	return err
}

func (m *mailbox) letters() []letter {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.mails)
}

// vault is a daemon with stored calls. There is no Asterisk: what is shown here
// needs none.
type vault struct {
	*site
	mail  *mailbox
	store func(func(*store.Store)) // before the daemon runs, or between two runs
}

const (
	monday = "2026-03-02T10:00:00Z"
)

// newVault prepares a daemon; start it after calls were put there.
func newVault(t testing.TB, change ...func(*config.Config)) *vault {
	t.Helper()
	dir, err := os.MkdirTemp("", "cr") // a socket's path must be short
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	v := &vault{site: &site{t: t, users: map[string]directory.User{}, alone: true}, mail: newMailbox(t)}
	cfg := config.Default()
	cfg.Asterisk.ARIURL, cfg.Asterisk.AMIAddress = "http://127.0.0.1:9", "127.0.0.1:9" // nobody is there
	cfg.Asterisk.ARIPassword, cfg.Asterisk.AMIPassword = "x", "x"
	cfg.Asterisk.Journal = filepath.Join(dir, "master.db")
	cfg.Recordings.Root = filepath.Join(dir, "tenants")
	cfg.State.Dir, cfg.State.Socket = filepath.Join(dir, "state"), filepath.Join(dir, "c.sock")
	cfg.HTTP = config.HTTP{Listen: []string{"127.0.0.1:0"}, Streams: 100}
	cfg.Log.Level = "debug"
	cfg.Exports.KeepFree = 0
	cfg.Retention.Every = 0
	cfg.Mail.Host, cfg.Mail.Port, cfg.Mail.TLS = "127.0.0.1", v.mail.addr.Port, config.TLSNone
	cfg.Mail.FromName, cfg.Mail.FromAddress = "Wazo", "no-reply@wazo.community"
	for _, c := range change {
		c(&cfg)
	}
	v.cfg = cfg
	must(t, os.MkdirAll(cfg.Recordings.Root, 0o750))
	must(t, os.MkdirAll(cfg.State.Dir, 0o750))
	v.logs, err = os.Create(filepath.Join(dir, "log"))
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			data, _ := os.ReadFile(v.logs.Name())
			t.Logf("daemon log:\n%s", last(string(data), 12000))
		}
		v.logs.Close()
	})
	t.Cleanup(v.stop)
	v.store = func(fn func(*store.Store)) {
		t.Helper()
		if v.app != nil {
			t.Fatal("the daemon has the database")
		}
		s, err := store.Open(t.Context(), store.Options{Path: cfg.State.Database(), Now: time.Now, Log: slog.New(slog.DiscardHandler)})
		must(t, err)
		fn(s)
		must(t, s.Close())
	}
	return v
}

// tenant makes one below the master, or returns the master's uuid for "".
func (v *vault) tenant(name string) (id string) {
	v.t.Helper()
	v.store(func(s *store.Store) {
		d, err := directory.New(v.t.Context(), directory.Options{Repo: s, Now: time.Now, NewUUID: uuid.NewString})
		must(v.t, err)
		id = d.Book().Master().UUID
		if name == "" {
			return
		}
		made, err := d.CreateTenant(v.t.Context(), "test", directory.Tenant{Name: name})
		must(v.t, err)
		id = made.UUID
	})
	return id
}

// made is a call that is put into the database.
type made struct {
	id         int64
	tenant     string
	start      string
	direction  string
	from, to   string // names
	exten      string // of the destination
	user       string // source
	tags       []string
	recordings int
	noFile     bool
}

// put stores calls and the files of their recordings, and returns the uuids.
func (v *vault) put(list ...made) (uuids [][]string) {
	v.t.Helper()
	v.store(func(s *store.Store) { uuids = v.putInto(s, list...) })
	return uuids
}

func (v *vault) putInto(s *store.Store, list ...made) (uuids [][]string) {
	v.t.Helper()
	for _, m := range list {
		start, err := time.Parse(time.RFC3339, orText(m.start, monday))
		must(v.t, err)
		hook := fmt.Sprintf("%d.%d", start.Unix(), m.id)
		var own []string
		c := cdr.CDR{
			ID: m.id, TenantUUID: m.tenant, Start: start, Answer: start, End: start.Add(5 * time.Second),
			CallDirection: orText(m.direction, "internal"), CallStatus: "answered", ConversationID: hook,
			SourceName: m.from, DestinationName: m.to, DestinationExtension: m.exten, SourceUserUUID: m.user,
			Uniqueids: []string{hook}, LinkedIDs: []string{hook}, Source: cdr.SourceJournal,
			Participants: []cdr.Participant{{UserUUID: m.user, Role: cdr.RoleSource, Tags: m.tags}},
		}
		_, err = s.SaveCDRs(v.t.Context(), []cdr.CDR{c}, cdr.Checkpoint{Journal: 1, Position: m.id})
		must(v.t, err)
		for i := range m.recordings {
			r := recorder.Recording{
				UUID: uuid.NewString(), TenantUUID: m.tenant, Hook: hook, State: recorder.Ready,
				IntentAt: start, StartedAt: start.Add(time.Duration(i) * time.Second), EndedAt: start.Add(5 * time.Second),
			}
			data := wavOf(time.Second, byte(m.id))
			sum := sha256.Sum256(data)
			r.Bytes, r.SHA256 = int64(len(data)), hex.EncodeToString(sum[:])
			must(v.t, s.InsertIntent(v.t.Context(), r))
			if !m.noFile {
				v.write(r.UUID, m.tenant, data)
			}
			own = append(own, r.UUID)
		}
		uuids = append(uuids, own)
	}
	return uuids
}

func orText(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

func (v *vault) path(tenant, uuid string) string {
	return filepath.Join(v.cfg.Recordings.Root, tenant, "monitor", uuid+".wav")
}

func (v *vault) write(uuid, tenant string, data []byte) {
	v.t.Helper()
	must(v.t, os.MkdirAll(filepath.Dir(v.path(tenant, uuid)), 0o750))
	must(v.t, os.WriteFile(v.path(tenant, uuid), data, 0o640))
}

// wavOf is a playable file: 8 kHz, 16 bit, one channel, all samples the same.
func wavOf(d time.Duration, sample byte) []byte {
	n := int(d.Seconds()*8000) * 2
	b := make([]byte, 44+n)
	copy(b, "RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data")
	put := func(at, v int) { b[at], b[at+1], b[at+2], b[at+3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24) }
	put(4, 36+n)
	put(40, n)
	for i := 44; i < len(b); i++ {
		b[i] = sample
	}
	return b
}

// run starts the daemon in this process and makes a token that may do all.
func (v *vault) run() {
	v.t.Helper()
	v.open()
	v.token = v.newToken("", "call-logd.#")
}

func (v *vault) newToken(tenant string, acl ...string) string {
	v.t.Helper()
	var token control.NewToken
	v.do("POST", "tokens", control.TokenRequest{Description: "test", TenantUUID: tenant, ACL: acl}, &token)
	return token.Secret
}

// reply is an answer of the API.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// ask sends a request. body nil is none, text is sent as it is, anything else
// as JSON; headers come in pairs and override the token.
func (v *vault) ask(method, path string, body any, headers ...string) reply {
	v.t.Helper()
	var r io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		r = strings.NewReader(b)
	case io.Reader:
		r = b
	default:
		data, err := json.Marshal(b)
		must(v.t, err)
		r = bytes.NewReader(data)
	}
	if !strings.HasPrefix(path, "http") {
		path = "http://" + v.address() + path
	}
	req, err := http.NewRequestWithContext(within(v.t), method, path, r)
	must(v.t, err)
	req.Header.Set("X-Auth-Token", v.token)
	for pair := range slices.Chunk(headers, 2) {
		req.Header.Set(pair[0], pair[1])
		if pair[1] == "" {
			req.Header.Del(pair[0])
		}
	}
	resp, err := http.DefaultClient.Do(req)
	must(v.t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	must(v.t, err)
	return reply{resp.StatusCode, resp.Header, data}
}

// is checks the status and the error id ("" for none).
func (r reply) is(t testing.TB, status int, id string) map[string]any {
	t.Helper()
	var p struct {
		ID      string         `json:"error_id"`
		Details map[string]any `json:"details"`
	}
	if len(r.body) > 0 && r.body[0] == '{' {
		_ = json.Unmarshal(r.body, &p)
	}
	if r.status != status || p.ID != id {
		t.Errorf("got %d %s, want %d %s", r.status, last(string(r.body), 400), status, id)
	}
	return p.Details
}

func (r reply) into(t testing.TB, v any) {
	t.Helper()
	if r.status >= 300 {
		t.Fatalf("got %d %s", r.status, r.body)
	}
	must(t, json.Unmarshal(r.body, v))
}

// exported is an export as the API shows it.
type exported struct {
	UUID        string `json:"uuid"`
	TenantUUID  string `json:"tenant_uuid"`
	UserUUID    string `json:"user_uuid"`
	RequestedAt string `json:"requested_at"`
	Filename    string `json:"filename"`
	Status      string `json:"status"`
	Cause       string `json:"cause"`
	Files       int    `json:"files"`
	Missing     int    `json:"missing"`
}

// export asks for one and waits until it has ended.
func (v *vault) export(query string, body any, headers ...string) exported {
	v.t.Helper()
	r := v.ask("POST", "/1.0/cdr/recordings/media/export"+query, body, headers...)
	var made struct {
		UUID string `json:"uuid"`
	}
	r.into(v.t, &made)
	if r.status != http.StatusAccepted || r.header.Get("Location") != "/1.0/exports/"+made.UUID {
		v.t.Errorf("created: %d, Location %q", r.status, r.header.Get("Location"))
	}
	return v.ended(made.UUID)
}

func (v *vault) ended(uuid string) (e exported) {
	v.t.Helper()
	v.eventually("the export has ended", func() error {
		v.ask("GET", "/1.0/exports/"+uuid, nil).into(v.t, &e)
		if e.Status != "finished" && e.Status != "error" {
			return fmt.Errorf("it is %s", e.Status)
		}
		return nil
	})
	return e
}

// entries downloads an archive and returns what is in it.
func (v *vault) entries(e exported, headers ...string) map[string][]byte {
	v.t.Helper()
	r := v.ask("GET", "/1.0/exports/"+e.UUID+"/download", nil, headers...)
	if r.status != http.StatusOK {
		v.t.Fatalf("download of %+v: %d %s", e, r.status, r.body)
	}
	return unzip(v.t, r.body)
}

// unzip returns what is in an archive but the proofs, which clients leave alone.
func unzip(t testing.TB, data []byte) map[string][]byte {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	must(t, err)
	out := map[string][]byte{}
	for _, f := range z.File {
		if f.Method != zip.Store {
			t.Errorf("%s is compressed", f.Name)
		}
		r, err := f.Open()
		must(t, err)
		out[f.Name], err = io.ReadAll(r) // checks the checksum, too
		must(t, err)
	}
	if proofs, there := out["proofs.json"]; there && !json.Valid(proofs) {
		t.Errorf("proofs.json: %s", last(string(proofs), 500))
	}
	delete(out, "proofs.json")
	return out
}

var entryName = regexp.MustCompile(`^([0-9]+)/20[0-9-]{8}T[0-9_]{8}UTC-([0-9]+)-[0-9a-f-]{36}\.wav$`)

// cdrsIn are the ids of the CDRs whose recordings are in an archive.
func cdrsIn(t testing.TB, entries map[string][]byte) string {
	t.Helper()
	var ids []string
	for name := range entries {
		m := entryName.FindStringSubmatch(name)
		if m == nil || m[1] != m[2] {
			t.Errorf("entry %q", name)
			continue
		}
		ids = append(ids, m[1])
	}
	slices.Sort(ids)
	return strings.Join(ids, " ")
}

// events returns the kinds of events with the prefix, with status, of one thing.
func (v *vault) events(kind, contains string) (out []store.Event) {
	v.t.Helper()
	v.stop()
	v.store(func(s *store.Store) {
		list, err := s.Events(v.t.Context(), store.EventFilter{Kind: kind})
		must(v.t, err)
		for _, e := range list {
			if strings.Contains(string(e.Data.(json.RawMessage)), contains) || e.Recording == contains {
				out = append(out, e)
			}
		}
	})
	return out
}

// linkIn is the link of a mail, on its one line.
func (v *vault) linkIn(mail string) *url.URL {
	v.t.Helper()
	link := regexp.MustCompile(`(?m)^https?://\S+/download\?\S+`).FindString(strings.ReplaceAll(mail, "\r\n", "\n"))
	u, err := url.Parse(link)
	must(v.t, err)
	if link == "" {
		v.t.Fatalf("no link in:\n%s", mail)
	}
	return u
}

// statuses are those that an export went through, of the event table.
func (v *vault) statuses(uuid string) string {
	v.t.Helper()
	var got []string
	for _, ev := range v.events("export.", uuid) {
		_, rest, _ := strings.Cut(fmt.Sprintf("%s", ev.Data), `"status":"`)
		status, _, _ := strings.Cut(rest, `"`)
		got = append(got, status)
	}
	return strings.Join(got, " ")
}
