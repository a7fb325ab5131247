package app

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/control"
	"callrecordd/internal/directory"
	"callrecordd/internal/replay"
	"callrecordd/store"
)

// ReplayRequest asks for a part of a replay: decisions are many, so neither the
// daemon nor the command line has all of them at once.
type ReplayRequest struct {
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"`
	Tenant string    `json:"tenant,omitempty"`
	// With are resolved settings; nil are those in force now.
	With *replay.Settings `json:"with,omitempty"`
	// After is the Next of the part before.
	After string `json:"after,omitempty"`
}

// ReplayPage is a part of a replay.
type ReplayPage struct {
	Decisions   int                 `json:"decisions"`
	Unreadable  int                 `json:"unreadable"`
	Differences []replay.Difference `json:"differences"`
	// Next is where it goes on, empty at the end.
	Next string `json:"next,omitempty"`
}

// replayPart is how many events one answer is about.
const replayPart = 1000

// replay makes the decisions of a part again.
func (d Decided) replay(r *http.Request, body []byte) (any, error) {
	var req ReplayRequest
	if err := control.Strict(body, &req); err != nil {
		return nil, err
	}
	book := d.Directory.Book()
	run := replay.Replay{Settings: inForce(book), Tenant: req.Tenant}
	if req.With != nil {
		run.Settings = req.With.Apply
	}
	after := store.EventPlace{At: req.Since}
	if req.After != "" {
		var micros int64
		if _, err := fmt.Sscanf(req.After, "%d.%d", &micros, &after.ID); err != nil {
			return nil, refuse(http.StatusBadRequest, "after %q is no place in a replay", req.After)
		}
		after.At = time.UnixMicro(micros)
	}
	list, err := d.Store.EventsOfKinds(r.Context(), replay.Kinds(), after, req.Until, replayPart)
	if err != nil {
		return nil, err
	}
	page := ReplayPage{Differences: []replay.Difference{}}
	channels := map[string]time.Time{}
	for _, e := range list {
		data, _ := e.Data.(json.RawMessage) // as store.Event says
		diff, counted, err := run.Again(replay.Stored{At: e.At, Kind: e.Kind, Call: e.Call, Data: data})
		switch {
		case err != nil:
			page.Unreadable++
		case counted:
			page.Decisions++
		}
		if diff != nil {
			page.Differences = append(page.Differences, withNames(book, *diff))
			channels[e.Call] = e.At
		}
	}
	if n := len(list); n == replayPart {
		page.Next = fmt.Sprintf("%d.%d", list[n-1].At.UnixMicro(), list[n-1].ID)
	}
	found, err := d.Store.CDRsOf(r.Context(), channels)
	for i := range page.Differences {
		page.Differences[i].CDRID = found[page.Differences[i].Call]
	}
	return page, err
}

// withNames gives the parties of a difference their names of now.
func withNames(book *directory.Book, d replay.Difference) replay.Difference {
	for i, p := range d.Parties {
		u, _ := book.User(p.UserUUID)
		d.Parties[i].Name = cmp.Or(u.Name(), p.Endpoint)
	}
	return d
}

// inForce gives a party what the directory says of it now: who has its
// telephone, and what led to it, if that is still there.
func inForce(book *directory.Book) func(dialplan.Party) dialplan.Party {
	return func(was dialplan.Party) dialplan.Party {
		queue, _ := book.QueueByUUID(was.Queue)
		group, _ := book.Group(was.Group)
		return party(book, was.Leg, was.Endpoint, was.Role, queue, group)
	}
}
