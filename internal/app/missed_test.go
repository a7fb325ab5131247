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

// missedPeople are a store and a directory of a throw-away daemon in which alice,
// whose uuid is returned, and bob have telephones.
func missedPeople(t *testing.T, clock func() time.Time) (*store.Store, *directory.Service, string) {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "db"), Now: clock, Log: slog.New(slog.DiscardHandler)})
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
	return st, dir, users[0].UUID
}

// aliceAndBob are the legs of a call, by its uniqueid.
func aliceAndBob(id string) []call.Leg {
	leg := func(n, name string, role call.Role) call.Leg {
		return call.Leg{ID: id + n, Name: "PJSIP/" + name + "-00000001", Role: role}
	}
	return []call.Leg{leg(".1", "alice", call.RoleCaller), leg(".2", "bob", call.RolePeer)}
}

// A talk that nobody saw and a rule wanted was to be recorded: a replay that takes
// it for one that was not would tell of a call that new rules would record.
func TestMissedTalkIsDecidedToBeRecorded(t *testing.T) {
	now := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	_, dir, alice := missedPeople(t, func() time.Time { return now })
	span := call.Span{From: now, To: now.Add(time.Minute), Legs: aliceAndBob("1")}
	if row, _ := missed(dir.Book(), now, span); row != nil {
		t.Errorf("no rule wants it: %+v", row)
	}
	if _, err := dir.EditUser(t.Context(), "test", alice, func(u *directory.User) error {
		u.Flags.OutgoingInternal = true
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if row, d := missed(dir.Book(), now, span); row == nil || !d.Records || len(d.Claims) != 1 {
		t.Errorf("%+v %+v", row, d)
	}
}

// A talk that nobody saw is judged by the rules that were in force then, not by
// those of when it is found.
func TestMissedTalksAreJudgedByTheRulesOfThen(t *testing.T) {
	now := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	st, dir, alice := missedPeople(t, clock)
	rule := func(on bool) {
		if _, err := dir.EditUser(t.Context(), "test", alice, func(u *directory.User) error {
			u.Flags.OutgoingInternal = on
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	m := missedCalls{st, &App{opt: Options{Now: clock, NewUUID: uuid.NewString}, log: slog.New(slog.DiscardHandler), store: st, directory: dir}, nil, new(pastBooks)}
	talk := func(id string) int {
		span := call.Span{From: now, To: now.Add(time.Minute), Legs: aliceAndBob(id)}
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
