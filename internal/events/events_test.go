package events

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

type acl []string

func (a acl) Allows(required string) bool {
	return !slices.Contains(a, "!"+required) && (slices.Contains(a, "#") || slices.Contains(a, required))
}

func TestFilter(t *testing.T) {
	e := Event{Name: RecordingReady, TenantUUID: "a", UserUUID: "u", RequiredACL: Access(RecordingReady, "u")}
	all := Filter{Tenants: []string{"a", "b"}, ACL: acl{"#"}, Names: []string{Any}}
	for name, c := range map[string]struct {
		change func(*Filter)
		passes bool
	}{
		"all":             {func(*Filter) {}, true},
		"its name":        {func(f *Filter) { f.Names = []string{"x", RecordingReady} }, true},
		"its access":      {func(f *Filter) { f.ACL = acl{"events.calls.u"} }, true},
		"its user":        {func(f *Filter) { f.UserUUID = "u" }, true},
		"another name":    {func(f *Filter) { f.Names = []string{RecordingPaused} }, false},
		"no name":         {func(f *Filter) { f.Names = nil }, false},
		"another tenant":  {func(f *Filter) { f.Tenants = []string{"b"} }, false},
		"no tenant":       {func(f *Filter) { f.Tenants = nil }, false},
		"another access":  {func(f *Filter) { f.ACL = acl{"events.calls.v"} }, false},
		"a denial":        {func(f *Filter) { f.ACL = acl{"#", "!events.calls.u"} }, false},
		"another user":    {func(f *Filter) { f.UserUUID = "v" }, false},
		"part of a name":  {func(f *Filter) { f.Names = []string{"recording"} }, false},
		"nothing allowed": {func(f *Filter) { f.ACL = acl{} }, false},
	} {
		f := all
		if c.change(&f); f.Passes(e) != c.passes {
			t.Errorf("%s: passes %t", name, !c.passes)
		}
	}
}

func TestEachNameHasItsAccess(t *testing.T) {
	for _, name := range Names() {
		if a := Access(name, "u"); !strings.HasPrefix(a, "events.") || strings.HasSuffix(a, ".") {
			t.Errorf("%s needs %s", name, a)
		}
	}
	if a := Access(RecordingStarted, ""); a != "events.calls.unknown" {
		t.Errorf("without a user: %s", a)
	}
}

func FuzzPosition(f *testing.F) {
	for _, seed := range []string{"", "0-0", "12-3", "-1-2", "1-", "-", "9223372036854775807-2147483647", "9223372036854775808-0", "01-1", "+1-1", "1-1-1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse(text)
		if err == nil && (p.String() != text || p.Row < 0 || p.Part < 0 || p.Before(p) || !(Position{p.Row, -1}).Before(p)) {
			t.Errorf("%q is %+v", text, p)
		}
		if err != nil && !errors.Is(err, ErrPosition) {
			t.Errorf("%q: %v", text, err)
		}
	})
}

// rows is a log whose rows from late on cannot be told yet.
type rows struct {
	mu    sync.Mutex
	n     int64
	late  int64
	reads int
}

func (r *rows) After(_ context.Context, row int64, limit int) (out []Entry, more bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reads++
	for row++; row <= r.n && len(out) < limit; row++ {
		if r.late > 0 && row >= r.late {
			return out, true, nil
		}
		out = append(out, Entry{Row: row, Events: []Event{{ID: Position{row, 0}}, {ID: Position{row, 1}}}})
	}
	return out, false, nil
}

func (r *rows) Last(context.Context) (int64, error) { return r.n, nil }

// TestFollowersSeeEverythingInOrder wherever they begin, also behind what the
// feed keeps in memory, and which bounds that.
func TestFollowersSeeEverythingInOrder(t *testing.T) {
	log := &rows{n: 3*keptRows + 17}
	feed := NewFeed(log, 10)
	end := errors.New("end")
	for _, from := range []Position{{0, 0}, {1, 0}, {1, 1}, {keptRows, 0}, {log.n - 1, 1}, {log.n, 1}, {5, 0}} {
		next := from
		step := func() { // the position after next
			if next.Part++; next.Part > 1 {
				next = Position{next.Row + 1, 0}
			}
		}
		err := Follower{
			From: from,
			Filter: func(context.Context) (Filter, error) {
				return Filter{Tenants: []string{""}, ACL: acl{"#"}, Names: []string{Any}}, nil
			},
			Emit: func(_ context.Context, e Event) error {
				if step(); next.Row == 0 {
					next = Position{1, 0}
				}
				if e.ID != next {
					t.Fatalf("from %s: got %s, want %s", from, e.ID, next)
				}
				return nil
			},
			Idle: func(_ context.Context, news <-chan struct{}) error {
				select {
				case <-news: // there is more
					return nil
				default:
					return end
				}
			},
		}.Follow(t.Context(), feed)
		if !errors.Is(err, end) || next.Row != log.n || next.Part != 1 {
			t.Errorf("from %s: got to %s, %v", from, next, err)
		}
		if len(feed.kept) > keptRows {
			t.Errorf("%d rows are kept", len(feed.kept))
		}
	}
	log.reads = 0
	for range 5 {
		if list, err := feed.Read(t.Context(), log.n-3); err != nil || len(list) != 3 {
			t.Errorf("read %d: %v", len(list), err)
		}
	}
	if log.reads != 0 {
		t.Errorf("what is kept was read %d times", log.reads)
	}
}

// TestFollowersLookOnceTogether: with two hundred of them each event would else
// cost two hundred looks at the database.
func TestFollowersLookOnceTogether(t *testing.T) {
	log := &rows{n: 5}
	feed := NewFeed(log, 10)
	look := func(after int64, want int) {
		t.Helper()
		for range 10 {
			if list, err := feed.Read(t.Context(), after); err != nil || len(list) != want {
				t.Fatalf("read %d behind %d: %v", len(list), after, err)
			}
		}
	}
	look(0, 5)
	look(5, 0)
	if log.reads != 2 {
		t.Errorf("%d looks", log.reads)
	}
	log.n++
	feed.Wake()
	look(5, 1)
	look(6, 0)
	if log.reads != 4 {
		t.Errorf("%d looks after one more", log.reads)
	}
}

// TestEventThatCannotBeToldYet is told when it can be, before what follows it.
func TestEventThatCannotBeToldYet(t *testing.T) {
	log := &rows{n: 5, late: 3}
	feed := NewFeed(log, 10)
	defer feed.Close()
	list, err := feed.Read(t.Context(), 0)
	if err != nil || len(list) != 2 {
		t.Fatalf("read %d: %v", len(list), err)
	}
	news := feed.News()
	log.mu.Lock()
	log.late = 0
	log.mu.Unlock()
	select {
	case <-news:
	case <-time.After(20 * time.Second):
		t.Fatal("nobody looks again")
	}
	if list, err = feed.Read(t.Context(), 2); err != nil || len(list) != 3 || list[0].Row != 3 {
		t.Errorf("read %+v: %v", list, err)
	}
}

// endless is a log that goes on for ever; its first row alone can be kept.
type endless struct{ reading atomic.Int32 }

func (l *endless) After(ctx context.Context, row int64, _ int) ([]Entry, bool, error) {
	if l.reading.Add(1) > 1 {
		return nil, false, errors.New("two read at the same time")
	}
	defer l.reading.Add(-1)
	runtime.Gosched()
	return []Entry{{Row: row + 1}}, false, ctx.Err()
}

func (*endless) Last(context.Context) (int64, error) { return 1 << 40, nil }

// TestLongHistoryIsReadInTurnAndCanBeEnded: who asks for everything that ever
// was, and sees nothing of it, must not keep the daemon from stopping nor take
// the processor with a hundred requests.
func TestLongHistoryIsReadInTurnAndCanBeEnded(t *testing.T) {
	log := &endless{}
	feed := NewFeed(log, 10)
	if _, err := feed.Read(t.Context(), 1<<40); err != nil { // what is kept is far away
		t.Fatal(err)
	}
	stop := errors.New("the daemon stops")
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			pages := 0
			err := Follower{Idle: func(context.Context, <-chan struct{}) error {
				if pages++; pages == 100 {
					return stop
				}
				return nil
			}}.Follow(t.Context(), feed)
			if !errors.Is(err, stop) {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func TestRoomOfAFeed(t *testing.T) {
	feed := NewFeed(&rows{}, 8)
	first, ok1 := feed.Join("somebody")
	_, ok2 := feed.Join("somebody")
	_, ok3 := feed.Join("somebody")
	if !ok1 || !ok2 || ok3 {
		t.Errorf("joined %t %t %t", ok1, ok2, ok3)
	}
	first()
	first() // gives its own place back, and no other
	if _, ok := feed.Join("somebody"); !ok {
		t.Error("the place is not given back")
	}
	if _, ok := feed.Join("somebody"); ok {
		t.Error("a place was given back twice")
	}
}

// TestOneAccountDoesNotTakeAllStreams.
func TestOneAccountDoesNotTakeAllStreams(t *testing.T) {
	feed := NewFeed(&rows{}, 8)
	for who, want := range map[string]int{"greedy": 2, "other": 2} {
		got := 0
		for range 20 {
			if _, ok := feed.Join(who); ok {
				got++
			}
		}
		if got != want {
			t.Errorf("%s has %d of 8 places, want %d", who, got, want)
		}
	}
	if _, ok := NewFeed(&rows{}, 1).Join("alone"); !ok {
		t.Error("the only place is nobody's")
	}
}
