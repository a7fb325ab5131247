package cdr

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the expected CDRs of recorded calls anew; read them before you commit")

// recordedCalls are the calls that internal/live has recorded on a real
// Asterisk, one of each shape.
const recordedCalls = "../live/testdata/*.cel.jsonl"

// laboratory is the directory of internal/lab's PBX.
type laboratory struct{}

func (laboratory) Endpoint(endpoint string) Endpoint {
	for i, name := range []string{"Alice", "Bob", "Carol", "Dave"} {
		if endpoint == "PJSIP/"+strings.ToLower(name) {
			return Endpoint{
				Kind: EndpointUser, UserUUID: "u-" + strings.ToLower(name), UserName: name, TenantUUID: "tenant",
				LineID: int64(i + 1), Exten: fmt.Sprint(1001 + i), Context: "users",
			}
		}
	}
	if endpoint == "PJSIP/trunk-a" {
		return Endpoint{Kind: EndpointTrunk, TenantUUID: "tenant"}
	}
	return Endpoint{Kind: EndpointUnknown}
}

func (l laboratory) UserAt(exten, context string) (Endpoint, bool) {
	for _, name := range []string{"alice", "bob", "carol", "dave"} {
		if ep := l.Endpoint("PJSIP/" + name); ep.Exten == exten && ep.Context == context {
			return ep, true
		}
	}
	return Endpoint{}, false
}

func (laboratory) Queue(name string) (Queue, bool) {
	return Queue{ID: 7, Label: "Support", TenantUUID: "tenant", Exten: "3000", Context: "users"}, name == "support"
}

func (laboratory) Group(exten, context string) (Group, bool) {
	return Group{ID: 5, Label: "Sales", TenantUUID: "tenant", Exten: "2000", Context: "users"},
		exten == "2000" && context == "users"
}

func (laboratory) MasterTenant() string { return "master" }

// TestRecordedCalls derives the CDRs of every call recorded on a real
// Asterisk. What they must be stands in testdata/recorded, checked by hand
// against the table of call shapes of cdr-api 10.
func TestRecordedCalls(t *testing.T) {
	files, err := filepath.Glob(recordedCalls)
	if err != nil || len(files) < 34 {
		t.Fatalf("%d recorded calls: %v", len(files), err)
	}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".cel.jsonl")
		t.Run(name, func(t *testing.T) {
			calls := newBook()
			for _, row := range parseAll(t, loadRows(t, path)) {
				calls.add(0, row)
			}
			for g := range calls.groups {
				g.gone = true // of some calls the recording ends before LINKEDID_END
			}
			var got strings.Builder
			for _, g := range calls.finished() {
				c, ok := Derive(g.rows(), laboratory{}, nil)
				if !ok {
					t.Fatal("no CDR")
				}
				fmt.Fprintf(&got, "%slines %d %d, %d linkedids\n\n", brief(c), c.SourceLineID, c.DestinationLineID, len(c.LinkedIDs))
			}
			golden := filepath.Join("testdata", "recorded", name+".txt")
			if *update {
				if err := os.WriteFile(golden, []byte(got.String()), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
