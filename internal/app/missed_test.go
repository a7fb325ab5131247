package app

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"callrecordd/internal/call"
	"callrecordd/internal/cdr"
	"callrecordd/internal/directory"
	"callrecordd/store"
)

// A talk that nobody saw is judged by the rules that were in force then, not by
// those of when it is found.
func TestMissedTalksAreJudgedByTheRulesOfThen(t *testing.T) {
	now := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	log := slog.New(slog.DiscardHandler)
	st, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "db"), Now: clock, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	dir, err := directory.New(t.Context(), directory.Options{Repo: st, Now: clock, NewUUID: uuid.NewString})
	if err != nil {
		t.Fatal(err)
	}
	var users []directory.User
	for _, name := range []string{"alice", "bob"} {
		u, err := dir.CreateUser(t.Context(), "test", directory.User{
			TenantUUID: dir.Book().Master().UUID, FirstName: name, Lines: []directory.Line{{Endpoint: "PJSIP/" + name, Main: true}},
		})
		if err != nil {
			t.Fatal(err)
		}
		users = append(users, u)
	}
	rule := func(on bool) {
		if _, err := dir.EditUser(t.Context(), "test", users[0].UUID, func(u *directory.User) error {
			u.Flags.OutgoingInternal = on
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	m := missedCalls{st, &App{opt: Options{Now: clock, NewUUID: uuid.NewString}, log: log, store: st, directory: dir}, nil}
	talk := func(id string) int {
		leg := func(n, name string, role call.Role) call.Leg {
			return call.Leg{ID: id + n, Name: "PJSIP/" + name + "-00000001", Role: role}
		}
		span := call.Span{From: now, To: now.Add(time.Minute), Legs: []call.Leg{leg(".1", "alice", call.RoleCaller), leg(".2", "bob", call.RolePeer)}}
		now = now.Add(time.Hour)
		rule(id == "off then") // before it is found
		if err := m.SaveCDR(t.Context(), []cdr.CDR{{
			TenantUUID: dir.Book().Master().UUID, Start: span.From, CallStatus: cdr.StatusAnswered, ConversationID: id, LinkedIDs: []string{id},
			Uniqueids: []string{id + ".1", id + ".2"}, Source: cdr.SourceJournal, Talks: []call.TalkHistory{{Spans: []call.Span{span}}},
		}}, cdr.Checkpoint{}); err != nil {
			t.Fatal(err)
		}
		rows, err := st.RecordingsOf(t.Context(), time.Time{}, []string{id + ".1", id + ".2"})
		if err != nil {
			t.Fatal(err)
		}
		return len(rows)
	}
	if n := talk("off then"); n != 0 {
		t.Errorf("%d recordings are missed of a talk that no rule wanted when it was", n)
	}
	now = now.Add(time.Hour)
	if n := talk("on then"); n != 1 {
		t.Errorf("%d recordings are missed of a talk that a rule wanted when it was", n)
	}
}
