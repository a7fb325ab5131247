package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"callrecordd/internal/alarm"
	"callrecordd/internal/control"
	"callrecordd/internal/orphans"
	"callrecordd/internal/recorder"
	"callrecordd/store"
)

const (
	// orphanAge is how old a file must be for the search that nobody asked for:
	// what the safety net has recorded is taken over by others (netted.go).
	orphanAge = time.Hour
	// askedAge is the same for one that a person has asked for.
	askedAge = time.Minute
	// orphanShare is how much of a processor the search takes.
	orphanShare = 0.2
	// firstSearch is how long after the start the first one is.
	firstSearch = 10 * time.Minute
)

// orphanActor is who does what nobody has asked for.
const orphanActor = "callrecordd"

// orphanRepo are the rows, and the events of files without one.
type orphanRepo struct{ *store.Store }

func (r orphanRepo) NoteFile(ctx context.Context, f orphans.Finding, actor string) error {
	return r.AppendEvents(ctx, recorder.Event{Kind: store.EventFileUnknown, Recording: f.Recording, Actor: actor, Data: f})
}

// orphanSearch has one search run at a time.
type orphanSearch struct {
	mu sync.Mutex
}

var errSearching = errors.New("a search for orphans is under way")

// findOrphans searches once and tells what it finds.
func (a *App) findOrphans(ctx context.Context, mode orphans.Mode, age time.Duration, actor string) (orphans.Result, error) {
	if !a.orphans.mu.TryLock() {
		return orphans.Result{}, errSearching
	}
	defer a.orphans.mu.Unlock()
	mode = allowed(mode, a.rival.there(a.opt.Now()))
	tally := newTally()
	s := orphans.Searcher{
		Repo: orphanRepo{a.store}, Root: a.opt.Config.Recordings.Root, Now: a.opt.Now, Age: age, Share: orphanShare,
		Tell: func(f orphans.Finding) { tally.add(f); logFinding(a.log.With("part", "orphans"), f) },
	}
	result, err := s.Run(ctx, mode, actor)
	tally.raise(a.alarms)
	return result, err
}

// allowed is what is done about orphans: what a second daemon does not know of are
// the recordings of the first.
func allowed(mode orphans.Mode, second bool) orphans.Mode {
	if second {
		return orphans.Report
	}
	return mode
}

func logFinding(log *slog.Logger, f orphans.Finding) {
	log.Info("orphan", "verdict", string(f.Verdict), "done", string(f.Done), "tenant", f.Tenant, "path", f.Path, "recording_uuid", f.Recording,
		"detail", f.Detail)
}

// tally makes of many findings a few alarms: a folder of strange files is one.
type tally map[tallied]*tallyOf

type tallied struct {
	kind   alarm.Kind
	tenant string
}

type tallyOf struct {
	count int
	first orphans.Finding
}

func newTally() tally { return tally{} }

func (t tally) add(f orphans.Finding) {
	var kind alarm.Kind
	switch f.Verdict {
	case orphans.Missing:
		kind = alarm.FileMissing
	case orphans.Returned:
		kind = alarm.FileReturned
	case orphans.Unknown, orphans.Renamed:
		kind = alarm.FileUnknown
	case orphans.Found, orphans.Away: // good news; that a folder is away is told by StorageGone
		return
	}
	k := tallied{kind, f.Tenant}
	if t[k] == nil {
		t[k] = &tallyOf{first: f}
	}
	t[k].count++
}

func (t tally) raise(to *alarms) {
	for k, n := range t {
		f := n.first
		what := f.Path
		if what == "" {
			what = f.Recording
		}
		detail := fmt.Sprintf("%s %s", f.Verdict, what)
		if f.Done != orphans.Nothing {
			detail += ", " + string(f.Done)
		}
		if f.Detail != "" {
			detail += ": " + f.Detail
		}
		if n.count > 1 {
			detail += fmt.Sprintf(" (and %d more, see callrecordd recording orphans)", n.count-1)
		}
		to.Happened(k.kind, k.tenant, f.Recording, detail)
	}
}

// startOrphans searches every now and then.
func (a *App) startOrphans() {
	every := a.opt.Config.Recordings.OrphansEvery
	if every <= 0 {
		return
	}
	a.stack.goStep("orphans", a.failed, func(ctx context.Context) error {
		timer := time.NewTimer(min(firstSearch, every))
		defer timer.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-timer.C:
			}
			mode := orphans.Mode(a.config.Load().Recordings.Orphans)
			if _, err := a.findOrphans(ctx, mode, orphanAge, orphanActor); err != nil && ctx.Err() == nil {
				a.log.Warn("orphans could not be looked for, the next search tries again", "err", err)
			}
			timer.Reset(every)
		}
	})
}

// OrphanRequest asks for a search.
type OrphanRequest struct {
	Mode orphans.Mode `json:"mode"`
}

// orphanRoutes are the commands of the control socket.
func (a *App) orphanRoutes() []control.Route {
	return []control.Route{{Pattern: "POST /v1/orphans", Handle: func(r *http.Request, body []byte) (any, error) {
		var req OrphanRequest
		if err := control.Strict(body, &req); err != nil {
			return nil, err
		}
		switch req.Mode {
		case orphans.Report, orphans.Repair, orphans.Adopt, orphans.Quarantine:
		default:
			return nil, refuse(http.StatusBadRequest, "%q is no way to deal with orphans", req.Mode)
		}
		result, err := a.findOrphans(r.Context(), req.Mode, askedAge, control.Actor(r))
		if errors.Is(err, errSearching) {
			return nil, refuse(http.StatusConflict, "%s: try again later", errSearching)
		}
		return result, err
	}}}
}
