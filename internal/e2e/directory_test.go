package e2e

import (
	"testing"

	"callrecordd/dialplan"
	"callrecordd/internal/control"
	"callrecordd/internal/directory"
)

// A new administrator starts from what Asterisk knows, not from typing.
func TestImportProposesWhatAsteriskHas(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for name, u := range s.users {
		s.do("DELETE", control.Path("users", u.UUID), nil, nil)
		delete(s.users, name)
	}
	var trunks []directory.Trunk
	s.do("GET", "trunks", nil, &trunks)
	for _, tr := range trunks {
		s.do("DELETE", control.Path("trunks", tr.UUID), nil, nil)
	}
	var queues []directory.Queue
	s.do("GET", "queues", nil, &queues)
	for _, q := range queues {
		s.do("DELETE", control.Path("queues", q.UUID), nil, nil)
	}

	var plan directory.Plan
	s.do("POST", "import/plan", nil, &plan)
	var users []directory.User
	s.do("GET", "users", nil, &users)
	if len(users) != 0 {
		t.Fatalf("a plan alone has changed the directory: %+v", users)
	}
	var done control.Applied
	s.do("POST", "import/apply", plan, &done)
	s.do("GET", "users", nil, &users)
	s.do("GET", "trunks", nil, &trunks)
	s.do("GET", "queues", nil, &queues)
	found := map[string]directory.Line{}
	for _, u := range users {
		found[u.Name()] = u.MainLine()
		if u.Flags != (dialplan.Flags{}) {
			t.Errorf("an import has switched on a rule of %s: %+v", u.Name(), u.Flags)
		}
	}
	want := directory.Line{Endpoint: "PJSIP/alice", Exten: "1001", Context: "users", Main: true}
	got := found["Alice"]
	if got.ID = 0; got != want {
		t.Errorf("alice's line is %+v, want %+v; all: %+v; plan: %+v", got, want, found, plan)
	}
	if len(users) != 4 || len(trunks) != 1 || trunks[0].Endpoint != "PJSIP/trunk-a" {
		t.Errorf("%d users, trunks %+v", len(users), trunks)
	}
	if len(queues) != 1 || queues[0].Name != "support" {
		t.Errorf("queues %+v", queues)
	}
	s.do("POST", "import/plan", nil, &plan)
	if len(plan.Proposals) != 0 {
		t.Errorf("a second import proposes %+v", plan.Proposals)
	}
}
