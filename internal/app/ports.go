package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"callrecordd/ari"
	"callrecordd/ari/ami"
	"callrecordd/dialplan"
	"callrecordd/internal/api"
	"callrecordd/internal/cdr"
	"callrecordd/internal/directory"
	"callrecordd/internal/recorder"
	"callrecordd/store"
)

// The types of this file fit parts to the small interfaces of others; there is
// no decision in them.

// execARI is what recorder/exec asks of ARI.
type execARI struct{ client *ari.Client }

func (a execARI) ChannelVar(ctx context.Context, id, name string) (string, error) {
	v, err := a.client.ChannelVar(ctx, id, name)
	if errors.Is(err, ari.ErrNotFound) {
		// Unset, or no such channel; who has to know the difference looks at
		// the channel.
		if _, cerr := a.client.Channel(ctx, id); cerr != nil {
			return "", cerr
		}
		return "", nil
	}
	return v, err
}

func (a execARI) RTPReceived(ctx context.Context, id string) (int64, error) {
	stats, err := a.client.RTPStatistics(ctx, id)
	return stats.RxCount, err
}

// noChannel recognises the errors of both protocols for a channel that is gone.
func noChannel(err error) bool {
	return errors.Is(err, ami.ErrNoChannel) || errors.Is(err, ari.ErrNotFound)
}

// refused recognises Asterisk's answer "no", and what cannot be sent at all.
func refused(err error) bool {
	_, answered := errors.AsType[*ami.ActionError](err)
	return answered || errors.Is(err, ami.ErrInvalidField)
}

func notSent(err error) bool { return errors.Is(err, ami.ErrNotSent) }

// execStore is what recorder/exec asks of the store.
type execStore struct{ *store.Store }

// SaveIntent is tried until it is stored, so a row that is there is none to wait
// for.
func (s execStore) SaveIntent(ctx context.Context, r recorder.Recording) error {
	err := s.InsertIntent(ctx, r)
	if err != nil {
		if _, there := s.Recording(ctx, r.UUID); there == nil {
			return nil
		}
	}
	return err
}

func (s execStore) SaveRecording(ctx context.Context, r recorder.Recording) error {
	err := s.UpdateRecording(ctx, r)
	if errors.Is(err, store.ErrNotFound) {
		// The intent was never committed: the daemon died, or it took too
		// long and the start went first (design 8, audio before paper). Not as
		// what it is now: that it becomes final is told by the update.
		begun := r
		begun.State = recorder.Closing
		if err = s.InsertIntent(ctx, begun); err == nil {
			err = s.UpdateRecording(ctx, r)
		}
	}
	return err
}

// AppendEvents stores events and what is known of legs in one transaction, at
// once and without fsync: a stop or a pause must outlive us, and would wait
// behind events that wait for company (TestStopOfARuleWhenTheDaemonDies).
func (s execStore) AppendEvents(ctx context.Context, list []recorder.Event, legs []recorder.LegState) error {
	return s.Write(ctx, store.Intent, func(t *store.Tx) error {
		if err := t.SaveLegs(legs); err != nil {
			return err
		}
		return t.AppendEvents(list...)
	})
}

// liveCalls tells the journal's follower which channels there are, for calls
// whose end Asterisk never wrote (asterisk-facts 4).
type liveCalls struct{ app *App }

func (l liveCalls) Channels() (uniqueids map[string]struct{}, at time.Time, ok bool) {
	if l.app.stream.State().Kind != ari.StateConnected {
		return nil, time.Time{}, false
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	type seen struct {
		uniqueids map[string]struct{}
		at        time.Time
	}
	s, err := ask(ctx, l.app.reducer, func() seen { return seen{l.app.reducer.model.Channels(), l.app.opt.Now()} })
	return s.uniqueids, s.at, err == nil
}

// CDRs is what the API asks of the store.
func CDRs(s *store.Store) api.CDRs { return apiCDRs{s} }

type apiCDRs struct{ *store.Store }

func (s apiCDRs) List(ctx context.Context, q api.Query) (api.Page, error) {
	found, err := s.WalkCDRs(ctx, filterOf(q))
	if err != nil {
		return api.Page{}, err
	}
	return api.Page{Total: found.Total, Filtered: found.Filtered, Records: func(yield func(api.Record, error) bool) {
		for r, err := range found.All {
			if !yield(api.Record{CDR: r.CDR, Recordings: r.Recordings}, err) {
				return
			}
		}
	}}, nil
}

// filterOf is what the store makes of a query.
func filterOf(q api.Query) store.Filter {
	f := store.Filter{
		Tenants: q.Tenants, From: q.From, Until: q.Until, Limit: q.Limit, Offset: q.Offset, Order: q.Order,
		Ascending: !q.Descending, IDs: q.IDs, FromID: q.FromID, Search: q.Search, Number: q.Number,
		CallDirection: q.CallDirection, CallStatus: q.CallStatus, Tags: q.Tags, UserUUIDs: q.UserUUIDs, Me: q.Me,
		Recorded: q.Recorded, ConversationID: q.ConversationID, DistinctPeer: q.DistinctPeer,
		RequestedInternalExtension: q.RequestedInternalExtension, RequestedInternalContext: q.RequestedInternalContext,
	}
	if q.After != nil {
		f.After = &store.Cursor{Start: q.After.Start, ID: q.After.ID}
	}
	return f
}

func (s apiCDRs) ByID(ctx context.Context, id int64, tenants []string) (api.Record, bool, error) {
	r, err := s.CDR(ctx, id, tenants)
	if errors.Is(err, store.ErrNotFound) {
		return api.Record{}, false, nil
	}
	return api.Record{CDR: r.CDR, Recordings: r.Recordings}, err == nil, err
}

func (s apiCDRs) Recording(ctx context.Context, uuid string) (recorder.Recording, bool, error) {
	r, err := s.Store.Recording(ctx, uuid)
	if errors.Is(err, store.ErrNotFound) {
		return recorder.Recording{}, false, nil
	}
	return r, err == nil, err
}

// apiTenants is the tree of tenants as it is now.
type apiTenants struct{ directory *directory.Service }

func (t apiTenants) Visible(tenant string) []string { return t.directory.Book().Subtree(tenant) }

func (t apiTenants) Master() string { return t.directory.Book().Master().UUID }

// lookup answers internal/cdr's questions from a Book.
type lookup struct{ book *directory.Book }

func (l lookup) Endpoint(name string) cdr.Endpoint {
	w := l.book.Endpoint(name)
	if w.Kind == dialplan.KindUser {
		return userEndpoint(w.User, w.Line)
	}
	return cdr.Endpoint{Kind: string(w.Kind), TenantUUID: w.TenantUUID}
}

func (l lookup) UserAt(exten, context string) (cdr.Endpoint, bool) {
	u, ok := l.book.UserAt(exten, context)
	if !ok {
		return cdr.Endpoint{}, false
	}
	line := u.MainLine()
	for _, candidate := range u.Lines {
		if candidate.Exten == exten && candidate.Context == context {
			line = candidate
		}
	}
	return userEndpoint(u, line), true
}

func userEndpoint(u directory.User, line directory.Line) cdr.Endpoint {
	e := cdr.Endpoint{
		Kind: cdr.EndpointUser, UserUUID: u.UUID, UserName: u.Name(), TenantUUID: u.TenantUUID,
		LineID: line.ID, Exten: line.Exten, Context: line.Context,
	}
	for tag := range strings.SplitSeq(u.UserField, ",") {
		if tag = strings.TrimSpace(tag); tag != "" {
			e.Tags = append(e.Tags, tag)
		}
	}
	return e
}

func (l lookup) Queue(name string) (cdr.Queue, bool) {
	q, ok := l.book.Queue(name)
	return cdr.Queue{ID: q.ID, Label: label(q.Label, q.Name), TenantUUID: q.TenantUUID, Exten: q.Exten, Context: q.Context}, ok
}

func (l lookup) Group(exten, context string) (cdr.Group, bool) {
	g, ok := l.book.GroupAt(exten, context)
	return cdr.Group{ID: g.ID, Label: label(g.Label, g.Name), TenantUUID: g.TenantUUID, Exten: g.Exten, Context: g.Context}, ok
}

func label(label, name string) string {
	if label != "" {
		return label
	}
	return name
}

func (l lookup) MasterTenant() string { return l.book.Master().UUID }

// discover asks Asterisk for endpoints and queues, for an import.
func discover(ctx context.Context, a *ari.Client, m *ami.Client) (directory.Found, error) {
	var found directory.Found
	endpoints, err := a.Endpoints(ctx)
	if err != nil {
		return found, fmt.Errorf("ask Asterisk for its endpoints: %w", err)
	}
	for _, e := range endpoints {
		if e.Technology != "PJSIP" {
			continue
		}
		f, err := pjsipEndpoint(ctx, m, e.Resource)
		if err != nil {
			return found, err
		}
		found.Endpoints = append(found.Endpoints, f)
	}
	queues, err := m.List(ctx, ami.Action{Name: "QueueSummary"})
	if err != nil && !errors.Is(err, ami.ErrUnknownAction) {
		return found, fmt.Errorf("ask Asterisk for its queues: %w", err)
	}
	for _, q := range queues {
		if name := q.Get("Queue"); name != "" {
			found.Queues = append(found.Queues, name)
		}
	}
	return found, nil
}

// pjsipEndpoint reads what tells a phone from a trunk: a trunk is identified
// by its address or logs in elsewhere, and nothing registers at it.
func pjsipEndpoint(ctx context.Context, m *ami.Client, name string) (directory.FoundEndpoint, error) {
	out := directory.FoundEndpoint{Name: "PJSIP/" + name}
	details, err := m.List(ctx, ami.Action{
		Name: "PJSIPShowEndpoint", Fields: []ami.Field{{Key: "Endpoint", Value: name}},
	})
	if err != nil {
		return out, fmt.Errorf("ask Asterisk about endpoint %s: %w", name, err)
	}
	for _, d := range details {
		switch d.Get("Event") {
		case "EndpointDetail":
			out.Context = d.Get("Context")
			out.TenantID = d.Get("Tenantid")
			out.CallerName, out.CallerNumber = callerID(d.Get("Callerid"))
			out.Trunk = out.Trunk || d.Get("OutboundAuths") != ""
		case "IdentifyDetail":
			out.Trunk = true
		}
	}
	return out, nil
}

// callerID splits `"Name" <number>`.
func callerID(s string) (name, number string) {
	name, number, ok := strings.Cut(s, "<")
	if !ok || strings.HasPrefix(s, "<unknown>") {
		return "", ""
	}
	return strings.Trim(strings.TrimSpace(name), `"`), strings.TrimSuffix(strings.TrimSpace(number), ">")
}
