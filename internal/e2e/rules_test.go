package e2e

import (
	"cmp"
	"database/sql"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"callrecordd/config"
	"callrecordd/dialplan"
	"callrecordd/internal/call"
	"callrecordd/internal/directory"
	"callrecordd/internal/lab"
	"callrecordd/internal/recorder"
)

// The numbers of the tests are the rows of recording-rules 7.

// speaking is long enough for a second of each tone in the file.
const speaking = 1400 * time.Millisecond

var (
	noFlags  = dialplan.Flags{}
	allFlags = dialplan.Flags{OutgoingInternal: true, OutgoingExternal: true, IncomingInternal: true, IncomingExternal: true}
	outInt   = dialplan.Flags{OutgoingInternal: true}
	outExt   = dialplan.Flags{OutgoingExternal: true}
	inInt    = dialplan.Flags{IncomingInternal: true}
	inExt    = dialplan.Flags{IncomingExternal: true}
)

// but returns the automatic flags that f lacks: all others.
func but(f dialplan.Flags) dialplan.Flags {
	return dialplan.Flags{
		OutgoingInternal: !f.OutgoingInternal, OutgoingExternal: !f.OutgoingExternal,
		IncomingInternal: !f.IncomingInternal, IncomingExternal: !f.IncomingExternal,
	}
}

// newCalmSite is a site whose daemon must not log an error: no alarm, no
// panic, nothing that could not be stored.
func newCalmSite(t *testing.T, change ...func(*config.Config)) *site {
	t.Helper()
	s := newSite(t, change...)
	s.calm()
	return s
}

// sub is the site for a sub-test, so that failures and contexts are its own.
func (s *site) sub(t *testing.T) *site {
	c := *s
	c.t = t
	return &c
}

// cdrOf returns the one CDR that a call makes.
func (s *site) cdrOf(do func()) cdrView {
	s.t.Helper()
	n := len(s.cdrs())
	do()
	return s.waitCDRs(n + 1)[n]
}

// speak is a whole call between two phones that both have something to say.
func (s *site) speak(from, to *lab.Phone, exten string) cdrView {
	s.t.Helper()
	return s.cdrOf(func() {
		caller, _ := s.talk(from, to, exten)
		must(s.t, caller.Talk(within(s.t), speaking))
		s.hangup(caller)
	})
}

// rows reads the daemon's database as an auditor would, without writing.
func (s *site) rows(query string, args []any, dest ...any) (n int) {
	s.t.Helper()
	db, err := sql.Open("sqlite3", "file:"+s.cfg.State.Database()+"?mode=ro&_query_only=true&_busy_timeout=5000")
	must(s.t, err)
	defer func() { must(s.t, db.Close()) }()
	r, err := db.QueryContext(within(s.t), query, args...)
	must(s.t, err)
	defer r.Close()
	for r.Next() {
		must(s.t, r.Scan(dest...))
		n++
	}
	must(s.t, r.Err())
	return n
}

// count is the number that the query returns.
func (s *site) count(query string, args ...any) (n int) {
	s.t.Helper()
	s.rows(query, args, &n)
	return n
}

// claim is the wish of one party that its talk be recorded.
type claim struct {
	user   string
	reason dialplan.Reason
}

// recorded checks that the call has exactly one recording, which these
// parties wanted, on the leg of the first, and in which these tones are heard
// and no other. It returns the recording and the file.
func (s *site) recorded(cdr cdrView, claims []claim, tones ...float64) (rec recView, media string) {
	s.t.Helper()
	if len(cdr.Recordings) != 1 {
		s.t.Fatalf("the call has %d recordings: %+v", len(cdr.Recordings), cdr.Recordings)
	}
	rec = cdr.Recordings[0]
	if rec.State != "ready" || rec.Cause != "" || rec.Reason != string(claims[0].reason) || rec.Follows != "" {
		s.t.Errorf("recording is %+v, want it ready by %s", rec, claims[0].reason)
	}
	var hook, hookName, stored string
	if n := s.rows("SELECT hook, hook_name, claims FROM recordings WHERE uuid = ?", []any{rec.UUID}, &hook, &hookName, &stored); n != 1 {
		s.t.Fatalf("recording %s has %d rows", rec.UUID, n)
	}
	var list []struct {
		Leg      string          `json:"leg"`
		UserUUID string          `json:"user_uuid"`
		Reason   dialplan.Reason `json:"reason"`
	}
	must(s.t, json.Unmarshal([]byte(stored), &list))
	var got []claim
	for _, c := range list {
		for name, u := range s.users {
			if u.UUID == c.UserUUID {
				got = append(got, claim{name, c.Reason})
			}
		}
	}
	if !slices.Equal(got, claims) || len(list) != len(claims) {
		s.t.Errorf("claims are %+v, want %+v", list, claims)
	}
	if want := "PJSIP/" + claims[0].user; call.Endpoint(hookName) != want || list[0].Leg != hook {
		s.t.Errorf("the recorder sits on %s (%s), want the leg of %s, %+v", hookName, hook, want, list)
	}
	media = s.media(cdr, rec)
	s.hears(media, tones...)
	for _, hz := range []float64{toneA, toneB, toneC, lab.MusicHz, lab.AnnouncementHz} {
		if !slices.Contains(tones, hz) {
			if err := lab.CheckNoTone(media, hz); err != nil {
				s.t.Error(err)
			}
		}
	}
	return rec, media
}

// decision returns what was decided when the call's talk began, by endpoint.
// There must be exactly one decision: nothing has changed during the call.
func (s *site) decision(cdr cdrView) map[string]dialplan.Reason {
	s.t.Helper()
	var data string
	s.eventually("a decision is stored", func() error {
		n := s.rows("SELECT data FROM events WHERE kind = ? AND call = ?", []any{recorder.EventDecision, cdr.ConversationID}, &data)
		if n != 1 {
			return fmt.Errorf("call %s has %d decisions", cdr.ConversationID, n)
		}
		return nil
	})
	var d recorder.DecisionData
	must(s.t, json.Unmarshal([]byte(data), &d))
	out := make(map[string]dialplan.Reason)
	records := false
	for i, v := range d.Decision.Verdicts {
		p := d.Input.Parties[i]
		out[strings.TrimPrefix(p.Endpoint, "PJSIP/")] = v.Reason
		records = records || v.Records
		for _, u := range s.users {
			if u.UUID == p.UserUUID && p.Tenant == "" {
				s.t.Errorf("decision without its tenant: %s", data)
			}
		}
	}
	if d.Records != records || d.Change != call.Began.String() {
		s.t.Errorf("decision is %s", data)
	}
	return out
}

func (s *site) decided(cdr cdrView, want map[string]dialplan.Reason) {
	s.t.Helper()
	if got := s.decision(cdr); !maps.Equal(got, want) {
		s.t.Errorf("decided %v, want %v", got, want)
	}
}

// ruleCase is a call between two phones under some flags.
type ruleCase struct {
	name            string
	alice, bob      dialplan.Flags
	from, to, exten string
	claims          []claim // none: not recorded
	decision        map[string]dialplan.Reason
}

func (s *site) runRules(t *testing.T, phones map[string]*lab.Phone, cases []ruleCase) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := s.sub(t)
			s.rules("alice", c.alice)
			s.rules("bob", c.bob)
			files := s.files()
			cdr := s.speak(phones[c.from], phones[c.to], c.exten)
			s.decided(cdr, c.decision)
			if len(c.claims) > 0 {
				s.recorded(cdr, c.claims, toneA, toneB)
				if n := len(s.files()) - len(files); n != 1 {
					t.Errorf("%d new files, want one", n)
				}
				return
			}
			if len(cdr.Recordings) > 0 || !slices.Equal(s.files(), files) {
				t.Errorf("recorded: %+v, files %v", cdr.Recordings, s.files())
			}
			if n, m := s.count("SELECT count(*) FROM recordings"), len(files); n != m {
				t.Errorf("%d recordings are stored and there are %d files", n, m)
			}
		})
	}
}

// Rows 1, 2 and 6, and the regression of 2021: external outgoing calls were
// not recorded when the flag for them was the only one that was on.
func TestCallersRules(t *testing.T) {
	t.Parallel()
	s := newCalmSite(t)
	phones := map[string]*lab.Phone{
		"alice": s.phone("alice", lab.Manual()), "bob": s.phone("bob", lab.AutoAnswer(0)), "trunk": s.trunk(lab.AutoAnswer(0)),
	}
	const outside = lab.PrefixOut + "0309876543"
	type reasons = map[string]dialplan.Reason
	s.runRules(t, phones, []ruleCase{{
		name: "internal flag, internal call", alice: outInt, from: "alice", to: "bob", exten: "1002",
		claims:   []claim{{"alice", dialplan.RuleOutInternal}},
		decision: reasons{"alice": dialplan.RuleOutInternal, "bob": dialplan.NoneFlagsOff},
	}, {
		name: "internal flag, external call", alice: outInt, from: "alice", to: "trunk", exten: outside,
		decision: reasons{"alice": dialplan.NoneFlagsOff, "trunk-a": dialplan.NoneNoUser},
	}, {
		name: "external flag, internal call", alice: outExt, from: "alice", to: "bob", exten: "1002",
		decision: reasons{"alice": dialplan.NoneFlagsOff, "bob": dialplan.NoneFlagsOff},
	}, {
		name: "external flag, external call", alice: outExt, from: "alice", to: "trunk", exten: outside,
		claims:   []claim{{"alice", dialplan.RuleOutExternal}},
		decision: reasons{"alice": dialplan.RuleOutExternal, "trunk-a": dialplan.NoneNoUser},
	}, {
		name: "every other flag, internal call", alice: but(outInt), bob: but(inInt), from: "alice", to: "bob", exten: "1002",
		decision: reasons{"alice": dialplan.NoneFlagsOff, "bob": dialplan.NoneFlagsOff},
	}, {
		name: "both want it", alice: outInt, bob: inInt, from: "alice", to: "bob", exten: "1002",
		claims:   []claim{{"alice", dialplan.RuleOutInternal}, {"bob", dialplan.RuleInInternal}},
		decision: reasons{"alice": dialplan.RuleOutInternal, "bob": dialplan.RuleInInternal},
	}})
}

// Rows 3 and 4.
func TestCalleesRules(t *testing.T) {
	t.Parallel()
	s := newCalmSite(t)
	phones := map[string]*lab.Phone{
		"alice": s.phone("alice", lab.Manual()), "bob": s.phone("bob", lab.AutoAnswer(0)), "trunk": s.trunk(lab.Manual()),
	}
	const did = lab.PrefixDID + "1002"
	type reasons = map[string]dialplan.Reason
	s.runRules(t, phones, []ruleCase{{
		name: "internal flag, call from a user", bob: inInt, from: "alice", to: "bob", exten: "1002",
		claims:   []claim{{"bob", dialplan.RuleInInternal}},
		decision: reasons{"alice": dialplan.NoneFlagsOff, "bob": dialplan.RuleInInternal},
	}, {
		name: "internal flag, call from a trunk", bob: inInt, from: "trunk", to: "bob", exten: did,
		decision: reasons{"trunk-a": dialplan.NoneNoUser, "bob": dialplan.NoneFlagsOff},
	}, {
		name: "external flag, call from a user", bob: inExt, from: "alice", to: "bob", exten: "1002",
		decision: reasons{"alice": dialplan.NoneFlagsOff, "bob": dialplan.NoneFlagsOff},
	}, {
		name: "external flag, call from a trunk", bob: inExt, from: "trunk", to: "bob", exten: did,
		claims:   []claim{{"bob", dialplan.RuleInExternal}},
		decision: reasons{"trunk-a": dialplan.NoneNoUser, "bob": dialplan.RuleInExternal},
	}, {
		name: "a trunk has no rules of its own", alice: allFlags, bob: noFlags, from: "trunk", to: "bob", exten: did,
		decision: reasons{"trunk-a": dialplan.NoneNoUser, "bob": dialplan.NoneFlagsOff},
	}, {
		name: "every other flag, call from a trunk", bob: but(inExt), from: "trunk", to: "bob", exten: did,
		decision: reasons{"trunk-a": dialplan.NoneNoUser, "bob": dialplan.NoneFlagsOff},
	}})
}

// Row 11: rules are read when a talk begins, and a running call stays as it is.
func TestRulesAreReadForEachCall(t *testing.T) {
	t.Parallel()
	s := newCalmSite(t)
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
	first := s.cdrOf(func() {
		caller, _ := s.talk(alice, bob, "1002")
		s.rules("alice", outInt)
		must(t, caller.Talk(within(t), speaking))
		s.hangup(caller)
	})
	s.decided(first, map[string]dialplan.Reason{"alice": dialplan.NoneFlagsOff, "bob": dialplan.NoneFlagsOff})
	s.none(1)

	second := s.cdrOf(func() {
		caller, callee := s.talk(alice, bob, "1002")
		must(t, caller.Talk(within(t), speaking))
		s.rules("alice", noFlags)
		caller.Play(toneC) // what is said after the change
		must(t, callee.WaitTone(within(t), toneC))
		must(t, caller.Talk(within(t), speaking))
		s.hangup(caller)
	})
	s.recorded(second, []claim{{"alice", dialplan.RuleOutInternal}}, toneA, toneB, toneC)

	third := s.speak(alice, bob, "1002")
	s.decided(third, map[string]dialplan.Reason{"alice": dialplan.NoneFlagsOff, "bob": dialplan.NoneFlagsOff})
	if len(third.Recordings) > 0 || len(s.files()) != 1 {
		t.Errorf("the third call is recorded: %+v, files %v", third.Recordings, s.files())
	}
}

// Row 16.
func TestRecordingsLieWithTheTenantOfTheFirstClaimant(t *testing.T) {
	t.Parallel()
	s := newCalmSite(t)
	var branch directory.Tenant
	s.do("POST", "tenants", directory.Tenant{Name: "branch"}, &branch)
	s.do("PATCH", "users/"+s.users["dave"].UUID, map[string]string{"tenant_uuid": branch.UUID}, nil)
	master := s.users["bob"].TenantUUID
	if master == "" || master == branch.UUID {
		t.Fatalf("tenants %q and %q", master, branch.UUID)
	}
	bob, dave := s.phone("bob", lab.AutoAnswer(0)), s.phone("dave", lab.AutoAnswer(0))

	for i, c := range []struct {
		name             string
		bob, dave        dialplan.Flags
		from, to         *lab.Phone
		exten            string
		tenant, ofCaller string
		claims           []claim
	}{
		{"the caller's", noFlags, outInt, dave, bob, "1002", branch.UUID, branch.UUID, []claim{{"dave", dialplan.RuleOutInternal}}},
		{"the callee's", inInt, noFlags, dave, bob, "1002", master, branch.UUID, []claim{{"bob", dialplan.RuleInInternal}}},
		{"both", inInt, outInt, dave, bob, "1002", branch.UUID, branch.UUID, []claim{{"dave", dialplan.RuleOutInternal}, {"bob", dialplan.RuleInInternal}}},
		{"the other way", outInt, noFlags, bob, dave, "1004", master, master, []claim{{"bob", dialplan.RuleOutInternal}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := s.sub(t)
			s.rules("bob", c.bob)
			s.rules("dave", c.dave)
			caller, _ := s.talk(c.from, c.to, c.exten)
			must(t, caller.Talk(within(t), speaking))
			s.hangup(caller)
			list := s.waitAllCDRs(i + 1)
			cdr := list[i]
			rec, _ := s.recorded(cdr, c.claims, toneA, toneB)
			if cdr.TenantUUID != c.ofCaller {
				t.Errorf("the CDR belongs to tenant %s, want the caller's, %s", cdr.TenantUUID, c.ofCaller)
			}
			path := filepath.Join(s.cfg.Recordings.Root, c.tenant, "monitor", rec.UUID+".wav")
			if !slices.Contains(s.files(), path) || !recorder.ValidUUID(rec.UUID) {
				t.Fatalf("no %s in %v", path, s.files())
			}
			name := regexp.MustCompile(fmt.Sprintf(`^\d{4}-\d\d-\d\dT\d\d_\d\d_\d\dUTC-%d-%s\.wav$`, cdr.ID, rec.UUID))
			if !name.MatchString(rec.Filename) {
				t.Errorf("file name is %s", rec.Filename)
			}
			file, err := os.Stat(path)
			must(t, err)
			monitor, err := os.Stat(filepath.Dir(path))
			must(t, err)
			tenant, err := os.Stat(filepath.Dir(filepath.Dir(path)))
			must(t, err)
			if monitor.Mode()&fs.ModeSetgid == 0 {
				t.Errorf("%s has mode %s, want setgid", filepath.Dir(path), monitor.Mode())
			}
			for _, i := range []fs.FileInfo{file, monitor, tenant} {
				if i.Mode().Perm()&0o007 != 0 {
					t.Errorf("the world may use %s: %s", i.Name(), i.Mode())
				}
			}
		})
	}
	if len(s.files()) != 4 {
		t.Errorf("files: %v", s.files())
	}
	if list := s.cdrs(); len(list) != 1 || list[0].DestinationExtension != "1004" {
		t.Errorf("the master tenant alone sees %+v, want its own user's call", list)
	}
	s.stop()
	if r := s.verified(); !r.Clean || r.CDRs != 4 || r.Files != 4 || r.SinceCheckpoint != 0 {
		t.Errorf("what the daemon leaves behind: %+v", r)
	}
}

// waitAllCDRs is waitCDRs for the calls of all tenants.
func (s *site) waitAllCDRs(n int) (list []cdrView) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("%d CDRs of all tenants", n), func() error {
		var out struct {
			Items []cdrView `json:"items"`
		}
		s.getJSON("/1.0/cdr?recurse=true&direction=asc", &out)
		if list = out.Items; len(list) != n {
			return fmt.Errorf("there are %d CDRs: %+v", len(list), list)
		}
		for _, c := range list {
			for _, r := range c.Recordings {
				if r.State != "ready" {
					return fmt.Errorf("recording %s is %s", r.UUID, r.State)
				}
			}
		}
		return nil
	})
	slices.SortFunc(list, func(a, b cdrView) int { return cmp.Compare(a.Start, b.Start) })
	return list
}

func (s *site) getJSON(path string, out any) {
	s.t.Helper()
	resp := s.get(path, nil)
	if resp.StatusCode != http.StatusOK {
		s.t.Fatalf("GET %s: %s", path, resp.Status)
	}
	must(s.t, json.NewDecoder(resp.Body).Decode(out))
}

// fields checks fields of the CDR as a client gets it, nil standing for null,
// and what must be true of every CDR.
func (s *site) fields(cdr cdrView, want map[string]any) {
	s.t.Helper()
	var got map[string]any
	s.getJSON(fmt.Sprintf("/1.0/cdr/%d", cdr.ID), &got)
	for key, v := range want {
		value, ok := got[key]
		if !ok || !reflect.DeepEqual(value, v) {
			s.t.Errorf("%s is %#v (there: %t), want %#v", key, value, ok, v)
		}
	}
	moment := func(key string) (at time.Time) {
		text, _ := got[key].(string)
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil && got[key] != nil {
			s.t.Errorf("%s is %v", key, got[key])
		}
		return at
	}
	start, answer, end := moment("start"), moment("answer"), moment("end")
	if start.IsZero() || end.Before(start) || time.Since(start) > 5*time.Minute {
		s.t.Errorf("the call is from %s to %s", start, end)
	}
	if got["answered"] != !answer.IsZero() {
		s.t.Errorf("answered is %v and answer %v", got["answered"], got["answer"])
	}
	if answer.IsZero() {
		if got["duration"] != nil {
			s.t.Errorf("an unanswered call lasted %v", got["duration"])
		}
		return
	}
	if answer.Before(start) || answer.After(end) || got["duration"] != float64(int(end.Sub(answer).Seconds())) {
		s.t.Errorf("start %s, answer %s, end %s, duration %v", start, answer, end, got["duration"])
	}
}
