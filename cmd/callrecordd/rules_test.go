package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/app"
	"callrecordd/internal/cdr"
	"callrecordd/internal/control"
	"callrecordd/internal/directory"
	"callrecordd/internal/recorder"
	"callrecordd/internal/replay"
	"callrecordd/internal/why"
	"callrecordd/store"
)

// past puts calls of alice to bob into the store, one a second, each with its
// decision by the rules of then, and returns their CDRs' ids.
func (h *host) past(st *store.Store, alice, bob directory.User, start time.Time, n int) []int64 {
	h.t.Helper()
	var cdrs []cdr.CDR
	var events []recorder.Event
	for i := range n {
		began, a, b := start.Add(time.Duration(i)*time.Second), fmt.Sprintf("17.%d1", i), fmt.Sprintf("17.%d2", i)
		in := dialplan.Input{Parties: []dialplan.Party{
			{Leg: a, Endpoint: "PJSIP/alice", Role: dialplan.RoleCaller, Kind: dialplan.KindUser, UserUUID: alice.UUID, Tenant: alice.TenantUUID},
			{Leg: b, Endpoint: "PJSIP/bob", Role: dialplan.RolePeer, Kind: dialplan.KindUser, UserUUID: bob.UUID, Tenant: bob.TenantUUID},
		}}
		events = append(events, recorder.Event{At: began, Kind: recorder.EventDecision, Call: a, Data: recorder.DecisionData{
			Change: "began", Input: in, Decision: dialplan.Decide(in),
		}})
		cdrs = append(cdrs, cdr.CDR{
			TenantUUID: alice.TenantUUID, Start: began, End: began.Add(time.Second), CallStatus: cdr.StatusAnswered, ConversationID: a,
			LinkedIDs: []string{a}, Uniqueids: []string{a, b}, Journal: cdr.JournalRange{ID: 1, Boot: start}, Source: cdr.SourceJournal,
		})
	}
	ids, err := st.SaveCDRs(h.t.Context(), cdrs, cdr.Checkpoint{})
	if err := errors.Join(err, st.AppendEvents(h.t.Context(), events...)); err != nil {
		h.t.Fatal(err)
	}
	return ids
}

// settled is a host with a daemon's socket, alice, bob, and a store for the past.
func settled(t *testing.T) (h *host, st *store.Store, alice, bob directory.User) {
	h = newHost(t)
	h.daemon(func(o *control.Options) {
		st = h.store
		o.Routes = app.Decided{Store: st, Directory: o.Directory}.Routes()
	})
	alice = h.user("user", "create", "--first-name", "Alice", "--line", "PJSIP/alice=1001@users")
	bob = h.user("user", "create", "--first-name", "Bob", "--line", "PJSIP/bob=1002@users")
	return h, st, alice, bob
}

func TestCDRWhy(t *testing.T) {
	h, st, alice, bob := settled(t)
	id := h.past(st, alice, bob, time.Now().Add(-time.Hour), 1)[0]
	out := h.run("cdr", "why", fmt.Sprint(id))
	for _, want := range []string{
		"Talk of Alice and Bob began. Not recorded: Alice does not ask for it, the rule for outgoing internal calls is off;",
		"WHAT HAPPENED", "Alice, caller: no, none.flags_off", "Bob, peer: no, none.flags_off",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	var got why.Answer
	if err := json.Unmarshal([]byte(h.run("cdr", "why", fmt.Sprint(id), "-o", "json")), &got); err != nil || len(got.Steps) != 1 || got.Steps[0].Input == nil {
		t.Errorf("%+v %v", got, err)
	}
	h.fails("there is no CDR 4711", "cdr", "why", "4711")
	h.fails(`"x" is no id of a CDR`, "cdr", "why", "x")
}

func TestRulesReplay(t *testing.T) {
	h, st, alice, bob := settled(t)
	start := time.Now().Add(-24 * time.Hour).Truncate(time.Second)
	since := start.Format(time.RFC3339)
	const calls = 2500 // more than two parts
	ids := h.past(st, alice, bob, start, calls)
	replayed := func(args ...string) (string, error) {
		out, _, err := h.try(append([]string{"rules", "replay", "--since", since}, args...)...)
		return out, err
	}
	if out, err := replayed(); err != nil || out != "2500 decisions, 0 calls would differ\n" {
		t.Errorf("nothing has changed since: %s %v", out, err)
	}
	// What is in force now counts without --with, and only without.
	h.run("user", "set", "alice", "--record", "outgoing-internal")
	out, err := replayed("--until", start.Add(2*time.Second).Format(time.RFC3339))
	if lines := strings.Split(out, "\n"); !errors.Is(err, errTold) || len(lines) != 5 || lines[3] != "2 decisions, 2 calls would differ" ||
		!strings.HasPrefix(lines[0], "CDR ") || !strings.HasPrefix(lines[1], fmt.Sprint(ids[0])+" ") ||
		!strings.HasSuffix(lines[2], "would be recorded         Alice: none.flags_off → rule.out.internal") {
		t.Errorf("alice's rule of now: %v\n%s", err, out)
	}
	file := filepath.Join(t.TempDir(), "settings.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("users: {1002: {incoming_internal: true}}") // bob, by his number
	out, err = replayed("--with", file, "-o", "json")
	var all struct {
		Differences []replay.Difference `json:"differences"`
		Decisions   int                 `json:"decisions"`
		Calls       int                 `json:"calls"`
	}
	if wrong := json.Unmarshal([]byte(out), &all); wrong != nil || !errors.Is(err, errTold) || all.Decisions != calls || all.Calls != calls || len(all.Differences) != calls {
		t.Fatalf("%v %v %.200s", wrong, err, out)
	}
	for i, d := range all.Differences {
		if d.CDRID != ids[i] || d.Effect != replay.WouldRecord || len(d.Parties) != 1 || d.Parties[0].Name != "Bob" || d.Parties[0].Would != dialplan.RuleInInternal {
			t.Fatalf("difference %d is %+v", i, d)
		}
	}
	out, _ = replayed("--with", file, "-o", "csv", "--tenant", alice.TenantUUID)
	if lines := strings.Split(out, "\n"); len(lines) != calls+2 || lines[0] != "CDR,TIME,EFFECT,HOW" {
		t.Errorf("%d lines of CSV: %.200s", len(lines), out)
	}
	// A uuid that the directory does not have any more is one all the same.
	write(`{"users": {"11111111-1111-4111-8111-111111111111": {"on_demand": true}}}`)
	if out, err := replayed("--with", file); err != nil || out != "2500 decisions, 0 calls would differ\n" {
		t.Errorf("nobody's: %s %v", out, err)
	}
	var branch directory.Tenant
	if err := json.Unmarshal([]byte(h.run("tenant", "create", "--name", "branch", "-o", "json")), &branch); err != nil {
		t.Fatal(err)
	}
	if out, err := replayed("--tenant", "branch"); err != nil || out != "0 decisions, 0 calls would differ\n" {
		t.Errorf("another tenant: %s %v", out, err)
	}
	write("users: {zoe: {on_demand: true}}")
	h.fails(`there is no user "zoe"`, "rules", "replay", "--since", since, "--with", file)
	write("users: {bob: {incoming: true}}")
	h.fails("incoming", "rules", "replay", "--since", since, "--with", file)
	h.fails("no such file", "rules", "replay", "--since", since, "--with", file+".not")
	h.fails("--since", "rules", "replay")
	h.fails("nothing lies between", "rules", "replay", "--since", since, "--until", since)
}
