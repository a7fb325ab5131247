package app

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"callrecordd/config"
	"callrecordd/dialplan"
	"callrecordd/internal/api"
	"callrecordd/internal/audit"
	"callrecordd/internal/call"
	"callrecordd/internal/control"
	"callrecordd/internal/directory"
	"callrecordd/internal/recorder"
	"callrecordd/store"
)

// Audits says of the calls of a period whether what had to be recorded is in a
// file. The command line uses them without a daemon, too.
type Audits struct {
	opt AuditOptions

	mu     sync.Mutex
	last   atomic.Pointer[[]LastAudit]
	worlds []*auditWorld // of the last periods, for part after part of the same audit
}

// AuditOptions are what Audits need.
type AuditOptions struct {
	Store      *store.Store
	Directory  *directory.Service
	Root       string // of the recordings
	Tolerances audit.Tolerances
	Reports    string        // folder of the reports that are kept
	Keep       time.Duration // how long they are, 0: for ever
	Now        func() time.Time
}

// AuditOptionsOf are those of a configuration.
func AuditOptionsOf(c config.Config, st *store.Store, dir *directory.Service, now func() time.Time) AuditOptions {
	tol := audit.DefaultTolerances()
	tol.Edge = c.Audit.Tolerance
	return AuditOptions{
		Store: st, Directory: dir, Root: c.Recordings.Root, Tolerances: tol, Reports: c.AuditDir(),
		Keep: time.Duration(c.Audit.KeepDays) * 24 * time.Hour, Now: now,
	}
}

// NewAudits makes them.
func NewAudits(o AuditOptions) *Audits { return &Audits{opt: o} }

func (a *App) startAudits(ctx context.Context) {
	a.audits = NewAudits(AuditOptionsOf(a.opt.Config, a.store, a.directory, a.opt.Now))
	if err := a.audits.remember(ctx); err != nil {
		a.log.Error("what the last audits came to is not known", "err", err)
	}
}

// Routes are the commands of the control socket.
func (a *Audits) Routes() []control.Route {
	return []control.Route{
		{Pattern: "POST /v1/audit/nightly", Handle: a.handleNightly},
		{Pattern: "POST /v1/audit", Handle: func(r *http.Request, body []byte) (any, error) {
			var req AuditRequest
			if err := control.Strict(body, &req); err != nil {
				return nil, err
			}
			return a.Part(r.Context(), req)
		}},
	}
}

// AuditRequest asks for a part of an audit: calls are many, so neither the daemon
// nor the command line has all of them at once.
type AuditRequest struct {
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until"`
	Tenants []string  `json:"tenants,omitempty"` // none: all
	// All lists the calls that are as they have to be as well.
	All   bool     `json:"all,omitempty"`
	Audio LookMode `json:"audio,omitempty"`
	// After is the Next of the part before.
	After string `json:"after,omitempty"`
	// Visible says which tenants may be shown; nil: all.
	Visible func(tenant string) bool `json:"-"`
}

// AuditPage is a part of an audit.
type AuditPage struct {
	Calls []audit.Verdict `json:"calls"`
	Sums  audit.Sums      `json:"sums"`
	// Outages are those of the whole period, with the first part.
	Outages []audit.Outage `json:"outages,omitempty"`
	// Next is where it goes on, empty at the end.
	Next string `json:"next,omitempty"`
}

const (
	// auditPart is how many calls one answer is about.
	auditPart = 4000
	// auditAhead of them are read while as many are judged.
	auditAhead = 250
	// auditLoose is how many recordings without a call one audit looks at.
	auditLoose = 10_000
)

// auditPlace is where a part begins: in which tenant, behind which call.
type auditPlace struct {
	tenant string
	store.AuditPlace
}

func (p auditPlace) String() string {
	return fmt.Sprintf("%s.%d.%d", p.tenant, p.Start.UnixMicro(), p.ID)
}

func readAuditPlace(s string) (p auditPlace, err error) {
	if s == "" {
		return p, nil
	}
	parts := strings.Split(s, ".")
	var micros int64
	if len(parts) == 3 {
		p.tenant = parts[0]
		_, err = fmt.Sscanf(parts[1]+" "+parts[2], "%d %d", &micros, &p.ID)
		p.Start = time.UnixMicro(micros)
	}
	if len(parts) != 3 || err != nil {
		return p, refuse(http.StatusBadRequest, "after %q is no place in an audit", s)
	}
	return p, nil
}

// apiAudit serves the HTTP API.
type apiAudit struct{ audits *Audits }

// Audit implements api.Audit.
func (x apiAudit) Audit(ctx context.Context, q api.AuditQuery, do func(api.AuditPart) error) error {
	req := AuditRequest{
		Since: q.Since, Until: q.Until, Tenants: q.Tenants, All: q.All,
		Visible: func(tenant string) bool { return slices.Contains(q.Visible, tenant) },
	}
	return x.audits.Each(ctx, req, func(page AuditPage) error {
		return do(api.AuditPart{Calls: page.Calls, Sums: page.Sums, Outages: page.Outages})
	})
}

// Part audits a part of the calls of a period.
func (a *Audits) Part(ctx context.Context, req AuditRequest) (page AuditPage, err error) {
	if !req.Since.Before(req.Until) {
		return page, refuse(http.StatusBadRequest, "nothing lies between since and until")
	}
	place, err := readAuditPlace(req.After)
	if err != nil {
		return page, err
	}
	tenants, err := a.tenants(ctx, req.Tenants)
	if err != nil {
		return page, err
	}
	world, err := a.world(ctx, req)
	if err != nil {
		return page, err
	}
	seen := world.World
	if seen.Visible = req.Visible; req.Visible != nil {
		seen.Outages = withoutDetails(seen.Outages)
	}
	page.Calls, page.Sums = []audit.Verdict{}, audit.Sums{}
	if req.After == "" {
		page.Outages = seen.Outages
		if err := a.loose(ctx, req, seen, &page); err != nil {
			return page, err
		}
	}
	look, n := newLooker(a.opt.Root, req), 0
	for piece := range a.read(ctx, req, tenants, place) {
		if piece.err != nil {
			return page, piece.err
		}
		if err := a.judge(ctx, req, look, seen, piece.calls, &page); err != nil {
			return page, err
		}
		if n += len(piece.calls); n >= auditPart {
			last := piece.calls[len(piece.calls)-1]
			page.Next = auditPlace{last.TenantUUID, store.AuditPlace{Start: last.Start, ID: last.ID}}.String()
			break
		}
	}
	a.name(page.Sums)
	return page, ctx.Err()
}

// auditPiece is what is judged while the next one is read.
type auditPiece struct {
	calls []store.AuditCall
	err   error
}

// read reads the calls of tenants behind a place, in order, one piece ahead.
func (a *Audits) read(ctx context.Context, req AuditRequest, tenants []string, place auditPlace) iter.Seq[auditPiece] {
	return func(yield func(auditPiece) bool) {
		ctx, cancel := context.WithCancel(ctx)
		pieces := make(chan auditPiece, 1)
		defer func() {
			cancel()
			for range pieces { // until it has ended
			}
		}()
		go func() {
			defer close(pieces)
			for _, tenant := range tenants {
				if tenant >= place.tenant && !a.readTenant(ctx, req, tenant, place, pieces) {
					return
				}
			}
		}()
		for p := range pieces {
			if !yield(p) {
				return
			}
		}
	}
}

// readTenant says whether there may be more of others.
func (a *Audits) readTenant(ctx context.Context, req AuditRequest, tenant string, place auditPlace, to chan<- auditPiece) bool {
	q := store.AuditQuery{Since: req.Since, Until: req.Until, Tenant: tenant, Limit: auditAhead, Kinds: audit.Kinds(), MoreKinds: removalKinds()}
	if tenant == place.tenant {
		q.After = place.AuditPlace
	}
	for {
		list, err := a.opt.Store.AuditCalls(ctx, q)
		if len(list) == 0 && err == nil {
			return true
		}
		select {
		case to <- auditPiece{list, err}:
		case <-ctx.Done():
			return false
		}
		if err != nil || len(list) < auditAhead {
			return err == nil
		}
		last := list[len(list)-1]
		q.After = store.AuditPlace{Start: last.Start, ID: last.ID}
	}
}

// withoutDetails is what tenants are told of outages: folders and addresses of the
// machine are not theirs to know.
func withoutDetails(list []audit.Outage) []audit.Outage {
	out := slices.Clone(list)
	for i := range out {
		out[i].Detail = ""
	}
	return out
}

// removalKinds are the events that say who had a recording removed.
func removalKinds() []string { return []string{"recording.delete_begun", "recording.deleted"} }

func (a *Audits) tenants(ctx context.Context, wanted []string) ([]string, error) {
	all, err := a.opt.Store.AuditTenants(ctx)
	if err != nil || len(wanted) == 0 {
		return all, err
	}
	return slices.DeleteFunc(all, func(t string) bool { return !slices.Contains(wanted, t) }), nil
}

func (a *Audits) name(sums audit.Sums) {
	book := a.opt.Directory.Book()
	for i := range sums {
		t, _ := book.Tenant(sums[i].Tenant)
		sums[i].Name = t.Name
	}
}

// judge adds calls to a page.
func (a *Audits) judge(ctx context.Context, req AuditRequest, look *looker, world audit.World, list []store.AuditCall, page *AuditPage) error {
	for i := range list {
		v, err := audit.Judge(auditCall(ctx, &list[i], look), world)
		if err != nil {
			return fmt.Errorf("audit of cdr %d: %w", list[i].ID, err)
		}
		page.put(v, req.All)
	}
	return ctx.Err()
}

func (p *AuditPage) put(v audit.Verdict, all bool) {
	p.Sums.Add(v)
	if all || v.Class.Bad() || v.Class == audit.Deleted {
		p.Calls = append(p.Calls, v)
	}
}

func auditCall(ctx context.Context, c *store.AuditCall, look *looker) audit.Call {
	out := audit.Call{
		ID: c.ID, Tenant: c.TenantUUID, Conversation: c.Conversation, Start: c.Start, Answer: c.Answer, End: c.End,
		Live: c.Live, Imported: c.Imported, Talks: c.Talks, Recordings: make([]audit.Recording, 0, len(c.Recordings)),
		Events: make([]audit.Event, 0, len(c.Events)),
	}
	for _, e := range c.Events {
		data, _ := e.Data.(json.RawMessage) // as store.Event says
		out.Events = append(out.Events, audit.Event{ID: e.ID, Event: e.Event, Data: data})
	}
	for _, r := range c.Recordings {
		out.Recordings = append(out.Recordings, audit.Recording{Recording: r, File: look.at(ctx, r), Removed: removedBy(r, c.Events)})
	}
	return out
}

// removedBy finds who had a recording removed.
func removedBy(r recorder.Recording, events []store.Event) *audit.Authority {
	if r.State != recorder.Deleted {
		return nil
	}
	for _, e := range slices.Backward(events) {
		if e.Recording != r.UUID || !slices.Contains(removalKinds(), e.Kind) || e.Actor == "" {
			continue
		}
		var data struct {
			Why string `json:"why"`
		}
		raw, _ := e.Data.(json.RawMessage) // as store.Event says
		_ = json.Unmarshal(raw, &data)     // the reason is for people only
		return &audit.Authority{At: e.At, Actor: e.Actor, Why: data.Why, Event: e.ID}
	}
	return nil
}

// loose audits the recordings that no call has.
func (a *Audits) loose(ctx context.Context, req AuditRequest, world audit.World, page *AuditPage) error {
	var tenants []string
	if len(req.Tenants) > 0 {
		tenants = req.Tenants
	}
	list, err := a.opt.Store.AuditUnattached(ctx, req.Since, req.Until, tenants, auditLoose)
	if err != nil {
		return err
	}
	look := newLooker(a.opt.Root, req)
	for _, r := range list {
		if r.State.Open() {
			continue // its call goes on
		}
		v, err := audit.Judge(audit.Call{
			Tenant: r.TenantUUID, Conversation: r.Hook, Start: r.IntentAt, End: r.EndedAt,
			Recordings: []audit.Recording{{Recording: r, File: look.at(ctx, r)}},
		}, world)
		if err != nil {
			return fmt.Errorf("audit of recording %s: %w", r.UUID, err)
		}
		page.put(v, req.All)
	}
	return nil
}

// auditWorld is what is the same for all calls of a period.
type auditWorld struct {
	audit.World
	since, until, made time.Time

	mu      sync.Mutex
	changes []time.Time // of the directory
	books   map[int]*directory.Book
}

// worldTime is how long what was found out for a period is used again.
const worldTime = time.Minute

// world finds out about a period, or takes what an earlier part has found out.
func (a *Audits) world(ctx context.Context, req AuditRequest) (*auditWorld, error) {
	now := a.opt.Now()
	a.mu.Lock()
	a.worlds = slices.DeleteFunc(a.worlds, func(w *auditWorld) bool { return now.Sub(w.made).Abs() > worldTime })
	i := slices.IndexFunc(a.worlds, func(w *auditWorld) bool { return w.since.Equal(req.Since) && w.until.Equal(req.Until) })
	var known *auditWorld
	if i >= 0 && req.After != "" {
		known = a.worlds[i]
		known.made = now
	}
	a.mu.Unlock()
	if known != nil {
		return known, nil
	}
	w := &auditWorld{since: req.Since, until: req.Until, made: now, books: map[int]*directory.Book{}}
	var err error
	if w.changes, err = a.opt.Store.DirectoryChanges(ctx, req.Since.Add(-24*time.Hour), req.Until.Add(24*time.Hour)); err != nil {
		return nil, err
	}
	w.Tolerances = a.opt.Tolerances
	if w.Outages, w.Told, err = a.outages(ctx, req.Since, req.Until); err != nil {
		return nil, err
	}
	if err := a.told(ctx, req.Since, req.Until, w.Told); err != nil {
		return nil, err
	}
	names := a.opt.Directory.Book()
	w.User = func(uuid string) string { u, _ := names.User(uuid); return u.Name() }
	w.Rules = func(at time.Time, legs []call.Leg) ([]dialplan.Party, error) {
		book, err := w.book(ctx, a.opt.Store, at)
		if err != nil {
			return nil, err
		}
		return parties(book, legs), nil
	}
	a.mu.Lock()
	a.worlds = append(slices.DeleteFunc(a.worlds, func(o *auditWorld) bool { return o.since.Equal(w.since) && o.until.Equal(w.until) }), w)
	a.mu.Unlock()
	return w, nil
}

// manyBooks is how many directories of the past are kept.
const manyBooks = 16

// book is the directory of that time. Between two changes it is the same.
func (w *auditWorld) book(ctx context.Context, st *store.Store, at time.Time) (*directory.Book, error) {
	i, _ := slices.BinarySearchFunc(w.changes, at, func(change, at time.Time) int {
		if change.After(at) {
			return 1
		}
		return -1
	})
	w.mu.Lock()
	book := w.books[i]
	w.mu.Unlock()
	if book != nil {
		return book, nil
	}
	book, err := st.BookAt(context.WithoutCancel(ctx), at)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.books) >= manyBooks {
		clear(w.books)
	}
	w.books[i] = book
	return book, nil
}

// told adds which webhooks were told of recordings that failed.
func (a *Audits) told(ctx context.Context, since, until time.Time, out map[string][]audit.Notice) error {
	list, err := a.opt.Store.AuditDeliveries(ctx, since, until.Add(24*time.Hour))
	if err != nil {
		return err
	}
	for _, d := range list {
		out[d.Recording] = append(out[d.Recording], audit.Notice{At: d.At, How: "webhook " + d.Name, State: d.State, What: "recording_failed"})
	}
	return nil
}
