package api

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"callrecordd/internal/cdr"
	"callrecordd/internal/directory"
)

// TestAccountWithTheUUIDOfADeletedUserOfAnotherTenant is refused: /users/me would
// show the calls of whoever that was. Who is of the own tenant may come back.
func TestAccountWithTheUUIDOfADeletedUserOfAnotherTenant(t *testing.T) {
	w := newTown(t, Auth, nil)
	gone := map[string]string{}
	for _, tenant := range []string{"mid", "side"} {
		u, err := w.dir.CreateUser(t.Context(), "test", directory.User{TenantUUID: w.tenants[tenant], FirstName: "Gone"})
		w.must(err)
		w.must(w.dir.DeleteUser(t.Context(), "test", u.UUID))
		gone[tenant] = u.UUID
	}
	// Known from imported calls only.
	imported := map[string]string{"mid": uuid.NewString(), "side": uuid.NewString()}
	for i, tenant := range []string{"mid", "side"} {
		w.must(w.store.SaveCDR(t.Context(), []cdr.CDR{{
			TenantUUID: w.tenants[tenant], Start: w.now().Add(time.Duration(i) * time.Minute), CallStatus: cdr.StatusAnswered, ConversationID: tenant,
			Source: cdr.SourceJournal, Participants: []cdr.Participant{{UserUUID: imported[tenant], Role: cdr.RoleSource}},
		}}, cdr.Checkpoint{}))
	}
	create := func(user string) reply {
		return w.ask("POST", "/0.1/users", `{"username":"u-`+user+`","password":"pw","uuid":"`+user+`"}`, "Wazo-Tenant", w.tenants["mid"])
	}
	for _, user := range []string{gone["side"], imported["side"]} {
		details := w.problem(create(user), 409, "conflict", "users")
		if d, ok := details["uuid"].(map[string]any); !ok || d["constraint_id"] != "unique" {
			t.Errorf("details %v", details)
		}
	}
	for _, user := range []string{gone["mid"], imported["mid"], uuid.NewString()} {
		w.into(create(user), 200, nil)
	}
}
