package app

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"callrecordd/internal/control"
	"callrecordd/internal/directory"
	"callrecordd/internal/why"
	"callrecordd/store"
)

// Decided is what explains stored decisions and makes them again. The command
// line uses it without a daemon, too.
type Decided struct {
	Store     *store.Store
	Directory *directory.Service
}

func (a *App) decided() Decided { return Decided{Store: a.store, Directory: a.directory} }

// Routes are the commands of the control socket.
func (d Decided) Routes() []control.Route {
	return []control.Route{
		{Pattern: "GET /v1/cdrs/{cdr}/why", Handle: d.explain},
		{Pattern: "POST /v1/replay", Handle: d.replay},
	}
}

// Events implements api.Why.
func (d Decided) Events(ctx context.Context, cdrID int64) ([]why.Event, error) {
	list, err := d.Store.CallEvents(ctx, cdrID)
	out := make([]why.Event, 0, len(list))
	for _, e := range list {
		data, _ := e.Data.(json.RawMessage) // as store.Event says
		out = append(out, why.Event{Event: e.Event, Data: data})
	}
	return out, err
}

// Names implements api.Why.
func (d Decided) Names() why.Names {
	book := d.Directory.Book()
	return why.Names{
		User:  func(uuid string) string { u, _ := book.User(uuid); return u.Name() },
		Queue: func(uuid string) string { q, _ := book.QueueByUUID(uuid); return q.Name },
		Group: func(uuid string) string { g, _ := book.Group(uuid); return g.Name },
	}
}

// explain is for who may open the socket, and may see everything.
func (d Decided) explain(r *http.Request, _ []byte) (any, error) {
	id, err := holdID(r)
	if err != nil {
		return nil, err
	}
	book := d.Directory.Book()
	if _, err := d.Store.CDR(r.Context(), id, book.Subtree(book.Master().UUID)); errors.Is(err, store.ErrNotFound) {
		return nil, refuse(http.StatusNotFound, "there is no CDR %d", id)
	} else if err != nil {
		return nil, err
	}
	events, err := d.Events(r.Context(), id)
	if err != nil {
		return nil, err
	}
	everything := func(string) bool { return true }
	return why.Explain(events, d.Names(), why.Sight{Tenant: everything, Recording: everything}), nil
}
