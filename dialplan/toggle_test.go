package dialplan

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// table reads a truth table. The tables were written from the sentences of
// design 6, not by the functions that they judge.
func table[T any](t *testing.T, name string) []T {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var rows []T
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&rows); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return rows
}

// TestMayToggle: who may press `*3`, over role, kind of endpoint, what led to
// the party, and the settings of its user, of the queue and of the group.
func TestMayToggle(t *testing.T) {
	type row struct {
		Kind  EndpointKind `json:"kind"`
		Role  Role         `json:"role"`
		Via   string       `json:"via"`
		User  bool         `json:"user"`
		Queue bool         `json:"queue"`
		Group bool         `json:"group"`
		Want  Reason       `json:"want"`
	}
	seen := make(map[row]bool)
	for _, r := range table[row](t, "may_toggle.json") {
		p := Party{Kind: r.Kind, Role: r.Role, Flags: Flags{OnDemand: r.User}, QueueToggle: r.Queue, GroupToggle: r.Group}
		switch r.Via {
		case "none":
		case "queue":
			p.Queue = "q"
		case "group":
			p.Group = "g"
		case "both":
			p.Queue, p.Group = "q", "g"
		default:
			t.Fatalf("via %q is unknown", r.Via)
		}
		if ok, reason := MayToggle(p); reason != r.Want || ok != (r.Want == OnDemand) {
			t.Errorf("%+v: got %t, %s", r, ok, reason)
		}
		r.Want = ""
		seen[r] = true
	}
	if want := 4 * 3 * 4 * 8; len(seen) != want {
		t.Errorf("the table has %d different cases, want %d: kinds × roles × via × three settings", len(seen), want)
	}
}

// TestFlip: what *26 makes of each mix of the four flags. The permission for
// `*3` stays as it is.
func TestFlip(t *testing.T) {
	type row struct{ Before, After Flags }
	seen := make(map[Flags]bool)
	for _, r := range table[row](t, "flip.json") {
		for _, onDemand := range []bool{false, true} {
			before, after := r.Before, r.After
			before.OnDemand, after.OnDemand = onDemand, onDemand
			if got := Flip(before); got != after {
				t.Errorf("%+v becomes %+v, want %+v", before, got, after)
			}
		}
		seen[r.Before] = true
	}
	if len(seen) != 16 {
		t.Errorf("the table has %d different mixes, want 16", len(seen))
	}
}

// TestAutoRecord: what groups, queues and trunks say goes before the users'
// rules, over who calls, what led to the peer, and the peer's own rules.
func TestAutoRecord(t *testing.T) {
	type row struct {
		Caller     string `json:"caller"`
		Queue      string `json:"queue"`
		Group      string `json:"group"`
		Peer       bool   `json:"peer"`
		WantCaller Reason `json:"want_caller"`
		WantPeer   Reason `json:"want_peer"`
	}
	on := Flags{OutgoingInternal: true, IncomingInternal: true, IncomingExternal: true}
	seen := make(map[row]bool)
	for _, r := range table[row](t, "auto_record.json") {
		caller := Party{Leg: "a", Role: RoleCaller, Kind: KindUser}
		switch setting, trunk := strings.CutPrefix(r.Caller, "trunk "); {
		case trunk:
			caller.Kind, caller.TrunkAuto = KindTrunk, AutoRecord(setting)
		case r.Caller == "user on":
			caller.Flags = on
		}
		peer := Party{Leg: "b", Role: RolePeer, Kind: KindUser}
		if r.Peer {
			peer.Flags = on
		}
		if r.Queue != "none" {
			peer.Queue, peer.QueueAuto = "q", AutoRecord(r.Queue)
		}
		if r.Group != "none" {
			peer.Group, peer.GroupAuto = "g", AutoRecord(r.Group)
		}
		for i, want := range []Reason{r.WantCaller, r.WantPeer} {
			got := Decide(Input{Parties: []Party{caller, peer}}).Verdicts[i]
			records := want == AlwaysReason || strings.HasPrefix(string(want), "rule.")
			if got.Reason != want || got.Records != records {
				t.Errorf("%+v: party %d gets %+v", r, i+1, got)
			}
		}
		r.WantCaller, r.WantPeer = "", ""
		seen[r] = true
	}
	if want := 5 * 4 * 4 * 2; len(seen) != want {
		t.Errorf("the table has %d different cases, want %d", len(seen), want)
	}
}
