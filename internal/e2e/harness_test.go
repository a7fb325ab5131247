package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"callrecordd/config"
	"callrecordd/dialplan"
	"callrecordd/internal/app"
	"callrecordd/internal/control"
	"callrecordd/internal/directory"
	"callrecordd/internal/lab"
)

// patience bounds every wait of a test: long enough for a loaded machine, and
// nothing waits that long unless it is broken.
const patience = 20 * time.Second

// site is a PBX with the daemon beside it.
type site struct {
	t      testing.TB
	pbx    *lab.PBX
	cfg    config.Config
	app    *app.App
	client *control.Client
	token  string
	users  map[string]directory.User
	logs   *os.File
	alone  bool   // there is no Asterisk on purpose
	addr   string // of the API, if the daemon is a process of its own
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// within is a context for one step of a test.
func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// newPBX starts a private Asterisk that ends with the test.
func newPBX(t testing.TB, cfg lab.Config, change ...func(*lab.Install)) *lab.PBX {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute) // the first run downloads
	defer cancel()
	install, err := lab.Ensure(ctx, lab.EnsureOptions{})
	must(t, err)
	for _, c := range change {
		c(&install)
	}
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	pbx, err := lab.Start(ctx, install, cfg)
	must(t, err)
	t.Cleanup(func() {
		stop, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := pbx.Stop(stop); err != nil {
			t.Errorf("stop asterisk: %v", err)
		}
		if t.Failed() {
			t.Logf("asterisk log:\n%s", last(pbx.Log(), 8000))
		}
	})
	return pbx
}

func last(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}

// newSite starts a PBX and the daemon, with the lab's users in the directory
// and no rule at all.
func newSite(t testing.TB, change ...func(*config.Config)) *site {
	t.Helper()
	s := siteAt(t, newPBX(t, lab.Config{}), change...)
	s.start()
	s.populate()
	return s
}

// siteAt is a daemon beside a PBX, not yet started. It is stopped with the test.
func siteAt(t testing.TB, pbx *lab.PBX, change ...func(*config.Config)) *site {
	t.Helper()
	s := &site{t: t, pbx: pbx, users: make(map[string]directory.User)}
	dir := t.TempDir()
	s.cfg = siteConfig(s.pbx, dir)
	// The first daemon of a PBX keeps its state where Asterisk looks for *26.
	if own := filepath.Dir(filepath.Dir(pbx.FeaturesPath)); !exists(own) {
		must(t, os.Mkdir(own, 0o750))
		s.cfg.State.Dir = own
	}
	for _, c := range change {
		c(&s.cfg)
	}
	must(t, os.MkdirAll(s.cfg.Recordings.Root, 0o750)) // as `make install` does
	var err error
	s.logs, err = os.Create(filepath.Join(dir, "log"))
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			data, _ := os.ReadFile(s.logs.Name())
			t.Logf("daemon log:\n%s", last(string(data), 20000))
		}
		s.logs.Close()
	})
	t.Cleanup(s.stop)
	return s
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func siteConfig(pbx *lab.PBX, dir string) config.Config {
	cfg := config.Default()
	cfg.Asterisk.ARIURL = strings.TrimSuffix(pbx.ARIURL, "/ari")
	cfg.Asterisk.ARIUser = pbx.ARIUser
	cfg.Asterisk.ARIPassword = config.Secret(pbx.ARIPassword)
	cfg.Asterisk.AMIAddress = pbx.AMIAddr
	cfg.Asterisk.AMIUser = pbx.AMIUser
	cfg.Asterisk.AMIPassword = config.Secret(pbx.AMIPassword)
	cfg.Asterisk.Journal = pbx.JournalPath
	cfg.Recordings.Root = filepath.Join(dir, "tenants")
	cfg.State.Dir = filepath.Join(dir, "state")
	cfg.State.Socket = filepath.Join(dir, "control.sock")
	cfg.HTTP = config.HTTP{Listen: []string{"127.0.0.1:0"}, Streams: 100}
	cfg.Log.Level = "debug"
	// A machine whose disk is nearly full is no reason for an alarm in a test.
	cfg.Alarms.DiskLowPercent, cfg.Alarms.DiskCriticalPercent, cfg.Alarms.DiskLowTime, cfg.Alarms.DiskCriticalTime = 0, 0, 0, 0
	return cfg
}

func (s *site) start() {
	s.t.Helper()
	s.open()
	s.eventually("the daemon is ready", func() error {
		if st := s.app.Status(); !st.Ready {
			return fmt.Errorf("status: %s", st.Summary)
		}
		return nil
	})
}

// open starts the daemon, whatever its state then is.
func (s *site) open() {
	s.t.Helper()
	a, err := app.Start(within(s.t), app.Options{
		Config: s.cfg, Version: "test", Log: slog.New(slog.NewTextHandler(s.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	must(s.t, err)
	s.app = a
	s.client, err = control.Connect(within(s.t), s.cfg.State.Socket, "test")
	must(s.t, err)
}

func (s *site) stop() {
	if s.app == nil {
		return
	}
	if err := s.app.Stop(); err != nil {
		s.t.Errorf("stop the daemon: %v", err)
	}
	s.app = nil
}

// eventually waits for a state; the last reason is the failure.
func (s *site) eventually(what string, check func() error) {
	s.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("%s: not within %s: %v", what, patience, err)
		}
	}
}

// populate puts the lab's users, trunk, queue and group into the directory.
func (s *site) populate() {
	s.t.Helper()
	for _, u := range lab.DefaultUsers() {
		s.users[u.Name] = s.create("users", directory.User{
			FirstName: strings.ToUpper(u.Name[:1]) + u.Name[1:],
			Lines:     []directory.Line{{Endpoint: "PJSIP/" + u.Name, Exten: u.Number, Context: lab.ContextUsers, Main: true}},
		})
	}
	s.do("POST", "trunks", directory.Trunk{Name: "trunk-a", Endpoint: "PJSIP/trunk-a"}, nil)
	s.do("POST", "queues", directory.Queue{Name: lab.QueueName, Exten: lab.ExtenQueue, Context: lab.ContextUsers}, nil)
	s.do("POST", "groups", directory.Group{Name: "sales", Label: "Sales", Exten: lab.ExtenGroup, Context: lab.ContextUsers}, nil)
	var token control.NewToken
	s.do("POST", "tokens", control.TokenRequest{Description: "test", ACL: []string{"call-logd.#"}}, &token)
	s.token = token.Secret
}

func (s *site) create(path string, u directory.User) directory.User {
	s.t.Helper()
	var made directory.User
	s.do("POST", path, u, &made)
	return made
}

func (s *site) do(method, path string, in, out any) {
	s.t.Helper()
	must(s.t, s.client.Do(within(s.t), method, path, in, out))
}

// rules replaces a user's flags.
func (s *site) rules(user string, f dialplan.Flags) {
	s.t.Helper()
	s.do("PATCH", control.Path("users", s.users[user].UUID), map[string]any{"flags": f}, nil)
}

// phone registers a user's phone that ends with the test.
func (s *site) phone(user string, in lab.Incoming) *lab.Phone {
	s.t.Helper()
	p, err := lab.NewPhone(within(s.t), s.pbx, lab.Account{User: user})
	must(s.t, err)
	p.OnIncoming(in)
	s.t.Cleanup(p.Close)
	return p
}

func (s *site) trunk(in lab.Incoming) *lab.Phone {
	s.t.Helper()
	p, err := lab.NewTrunk(within(s.t), s.pbx, "trunk-a")
	must(s.t, err)
	p.OnIncoming(in)
	s.t.Cleanup(p.Close)
	return p
}

// The tones of the parties, far enough apart for the filter.
const (
	toneA = 440.0
	toneB = 740.0
	toneC = 1040.0
)

// talk lets from dial exten; to answers by itself. Both hear each other when
// it returns.
func (s *site) talk(from, to *lab.Phone, exten string) (caller, callee *lab.Call) {
	s.t.Helper()
	caller, err := from.Dial(within(s.t), exten)
	must(s.t, err)
	callee, err = to.WaitCall(within(s.t))
	must(s.t, err)
	must(s.t, caller.WaitAnswered(within(s.t)))
	caller.Play(toneA)
	callee.Play(toneB)
	must(s.t, caller.WaitTone(within(s.t), toneB))
	must(s.t, callee.WaitTone(within(s.t), toneA))
	return caller, callee
}

// hangup ends the call and waits until Asterisk has forgotten it.
func (s *site) hangup(c *lab.Call) {
	s.t.Helper()
	must(s.t, c.Hangup(within(s.t)))
	must(s.t, s.pbx.WaitIdle(within(s.t)))
}

// cdrView is what a client sees of a call.
type cdrView struct {
	ID                   int64          `json:"id"`
	TenantUUID           string         `json:"tenant_uuid"`
	ConversationID       string         `json:"conversation_id"`
	Start                string         `json:"start"`
	End                  string         `json:"end"`
	Answered             bool           `json:"answered"`
	CallDirection        string         `json:"call_direction"`
	CallStatus           string         `json:"call_status"`
	SourceExtension      string         `json:"source_extension"`
	SourceName           string         `json:"source_name"`
	SourceUserUUID       string         `json:"source_user_uuid"`
	DestinationExtension string         `json:"destination_extension"`
	DestinationUserUUID  string         `json:"destination_user_uuid"`
	DestinationDetails   map[string]any `json:"destination_details"`
	RequestedExtension   string         `json:"requested_extension"`
	Recordings           []recView      `json:"recordings"`
}

type recView struct {
	UUID          string   `json:"uuid"`
	State         string   `json:"state"`
	Cause         string   `json:"cause"`
	Detail        string   `json:"detail"`
	Reason        string   `json:"reason"`
	Follows       string   `json:"follows"`
	Filename      string   `json:"filename"`
	MediaDuration *float64 `json:"media_duration"`
}

func (s *site) address() string {
	if s.addr != "" {
		return s.addr
	}
	return s.app.Addresses()[0]
}

func (s *site) get(path string, header http.Header) *http.Response {
	s.t.Helper()
	req, err := http.NewRequestWithContext(within(s.t), "GET", "http://"+s.address()+path, nil)
	must(s.t, err)
	maps.Copy(req.Header, header)
	req.Header.Set("X-Auth-Token", s.token)
	resp, err := http.DefaultClient.Do(req)
	must(s.t, err)
	s.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func (s *site) cdrs() []cdrView {
	s.t.Helper()
	resp := s.get("/1.0/cdr?direction=asc", nil)
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		s.t.Fatalf("list CDRs: %s %s", resp.Status, body)
	}
	var out struct {
		Items []cdrView `json:"items"`
		Total int       `json:"total"`
	}
	must(s.t, json.NewDecoder(resp.Body).Decode(&out))
	if out.Total != len(out.Items) {
		s.t.Fatalf("total is %d with %d items", out.Total, len(out.Items))
	}
	return out.Items
}

// waitCDRs returns the CDRs once there are n with all recordings final.
func (s *site) waitCDRs(n int) []cdrView {
	s.t.Helper()
	var list []cdrView
	s.eventually(fmt.Sprintf("%d CDRs with final recordings", n), func() error {
		list = s.cdrs()
		if len(list) != n {
			return fmt.Errorf("there are %d CDRs: %+v", len(list), list)
		}
		for _, c := range list {
			for _, r := range c.Recordings {
				switch r.State {
				case "ready", "missing", "empty", "interrupted":
				default:
					return fmt.Errorf("recording %s is %s", r.UUID, r.State)
				}
			}
		}
		return nil
	})
	return list
}

// files are all recordings on disk.
func (s *site) files() []string {
	s.t.Helper()
	list, err := filepath.Glob(filepath.Join(s.cfg.Recordings.Root, "*", "monitor", "*.wav"))
	must(s.t, err)
	return list
}

// media downloads a recording into a file.
func (s *site) media(cdr cdrView, rec recView) string {
	s.t.Helper()
	resp := s.get(fmt.Sprintf("/1.0/cdr/%d/recordings/%s/media", cdr.ID, rec.UUID), nil)
	body, err := io.ReadAll(resp.Body)
	must(s.t, err)
	if resp.StatusCode != http.StatusOK {
		s.t.Fatalf("download: %s %s", resp.Status, body)
	}
	path := filepath.Join(s.t.TempDir(), rec.Filename)
	must(s.t, os.WriteFile(path, body, 0o600))
	return path
}

// hears checks that each tone is in the recording for a second or more.
func (s *site) hears(path string, hz ...float64) {
	s.t.Helper()
	audio, err := lab.ReadWAV(path)
	must(s.t, err)
	for _, f := range hz {
		var total time.Duration
		for _, span := range lab.Tones(audio, []float64{f}) {
			total += span.To - span.From
		}
		if total < time.Second {
			s.t.Errorf("%s: %.0f Hz is heard for %s only, of %s", filepath.Base(path), f, total, audio.Duration())
		}
	}
}

// one returns the only recording of the only call.
func (s *site) one() (cdrView, recView) {
	s.t.Helper()
	list := s.waitCDRs(1)
	if len(list[0].Recordings) != 1 {
		s.t.Fatalf("the call has %d recordings: %+v", len(list[0].Recordings), list[0].Recordings)
	}
	return list[0], list[0].Recordings[0]
}

// none checks that nothing was recorded in any of n calls.
func (s *site) none(n int) []cdrView {
	s.t.Helper()
	list := s.waitCDRs(n)
	for _, c := range list {
		if len(c.Recordings) > 0 {
			s.t.Errorf("call %d has recordings: %+v", c.ID, c.Recordings)
		}
	}
	if files := s.files(); len(files) > 0 {
		s.t.Errorf("files: %v", files)
	}
	return list
}
