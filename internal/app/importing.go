package app

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/call"
	"callrecordd/internal/cdr"
	"callrecordd/internal/control"
	"callrecordd/internal/directory"
	"callrecordd/internal/history"
	"callrecordd/internal/recorder"
	"callrecordd/internal/retention"
	"callrecordd/store"
)

// ImportRequest brings calls from elsewhere. Tenant is for calls that name
// none; CreateTenants makes those that are named and not there.
type ImportRequest struct {
	Items         []history.Item `json:"items"`
	Tenant        string         `json:"tenant,omitempty"`
	CreateTenants bool           `json:"create_tenants,omitempty"`
}

// ImportAnswer says how many are new, how many were there, and what was refused.
type ImportAnswer struct {
	Imported int               `json:"imported"`
	Known    int               `json:"known"`
	Refused  []history.Refusal `json:"refused"`
}

// CDRPage is a part of a list for the command line.
type CDRPage struct {
	Items    []history.Item `json:"items"`
	Filtered int            `json:"filtered"`
	// Next is where the list goes on, empty at its end.
	Next string `json:"next,omitempty"`
}

func (k *Keeping) historyRoutes() []control.Route {
	return []control.Route{
		{Pattern: "POST /v1/cdrs", Handle: k.importItems},
		{Pattern: "GET /v1/cdrs", Handle: k.listItems},
		{Pattern: "GET /v1/cdrs/{cdr}", Handle: k.showItem},
	}
}

func (k *Keeping) importItems(r *http.Request, body []byte) (any, error) {
	var req ImportRequest
	if err := control.Strict(body, &req); err != nil {
		return nil, err
	}
	select {
	case k.importing <- struct{}{}:
		defer func() { <-k.importing }()
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	answer := ImportAnswer{Refused: []history.Refusal{}}
	bounds := retention.Bounds{}
	if k.opt.Config.Retention.Every > 0 { // otherwise nothing is removed unasked
		var err error
		if bounds, err = k.purger.Bounds(r.Context()); err != nil {
			return nil, err
		}
	}
	var list []store.Import
	var lines []int
	var copies [][]recorder.Recording
	refuse := func(line int, reason string, copied []recorder.Recording) {
		answer.Refused = append(answer.Refused, history.Refusal{Line: line, Reason: reason})
		for _, rec := range copied { // whose audio would be nobody's
			if _, err := k.opt.Store.Recording(r.Context(), rec.UUID); err == nil {
				continue // another line's
			}
			if err := history.Unplace(k.opt.Config.Recordings.Root, rec); err != nil {
				k.opt.Log.Error("a call was refused, and its audio stays", "err", err)
			}
		}
	}
	for _, it := range req.Items {
		im, copied, err := k.prepare(r.Context(), req, it, bounds, control.Actor(r))
		if err != nil {
			refuse(it.Line, err.Error(), copied)
			continue
		}
		list, lines, copies = append(list, im), append(lines, it.Line), append(copies, copied)
	}
	done, err := k.opt.Store.ImportCDRs(r.Context(), list, control.Actor(r))
	for i, d := range done {
		switch {
		case d.Refused != "":
			refuse(lines[i], d.Refused, copies[i])
		case d.Known:
			answer.Known++
		default:
			answer.Imported++
		}
	}
	return answer, err
}

// prepare checks an item, finds its users and places its files. The error is
// why it is refused. What began before its tenant's bound would be removed at
// once. What it has copied is returned in any case.
func (k *Keeping) prepare(ctx context.Context, req ImportRequest, it history.Item, bounds retention.Bounds, actor string) (
	im store.Import, copied []recorder.Recording, err error,
) {
	if it.ID == 0 { // otherwise that tells whether it is there
		if im.Key, err = keyOf(it); err != nil {
			return im, copied, err
		}
	}
	k.identify(&it, req.Tenant)
	if im.CDR, err = it.CDR(); err != nil {
		return im, copied, err
	}
	if im.Recordings, err = it.Recorded(); err != nil {
		return im, copied, err
	}
	if err := k.haveTenant(ctx, im.CDR.TenantUUID, req.CreateTenants, actor); err != nil {
		return im, copied, err
	}
	if bound := bounds.Of(im.CDR.TenantUUID).CDR; im.CDR.Start.Before(bound) {
		return im, copied, fmt.Errorf("tenant %s keeps calls since %s only: let it keep them longer first (callrecordd retention set)",
			im.CDR.TenantUUID, bound.Format(time.DateOnly))
	}
	for i, r := range im.Recordings {
		if err := k.haveTenant(ctx, r.TenantUUID, req.CreateTenants, actor); err != nil {
			return im, copied, err
		}
		if file := it.Recordings[i].Path; file != "" && r.State != recorder.Deleted {
			if bound := bounds.Of(r.TenantUUID).Recording; r.IntentAt.Before(bound) {
				return im, copied, fmt.Errorf("tenant %s keeps recordings since %s only: leave out the path of %s, or let it keep them longer first "+
					"(callrecordd retention set)", r.TenantUUID, bound.Format(time.DateOnly), r.UUID)
			}
			// What is there already keeps its file, or was removed and stays so.
			if _, err := k.opt.Store.Recording(ctx, r.UUID); err == nil {
				continue
			} else if !errors.Is(err, store.ErrNotFound) {
				return im, copied, err
			}
			var made bool
			if im.Recordings[i], made, err = history.Place(k.opt.Config.Recordings.Root, file, r); err != nil {
				return im, copied, err
			}
			if made {
				copied = append(copied, r)
			}
		}
	}
	return im, copied, nil
}

// keyOf is a hash of what an item consists of.
func keyOf(it history.Item) ([]byte, error) {
	it.Line = 0
	data, err := json.Marshal(it)
	if err != nil {
		return nil, fmt.Errorf("cannot be kept: %w", err)
	}
	sum := sha256.Sum256(data)
	return sum[:], nil
}

func (k *Keeping) haveTenant(ctx context.Context, uuid string, create bool, actor string) error {
	if _, ok := k.opt.Directory.Book().Tenant(uuid); ok {
		return nil
	}
	if !create {
		return fmt.Errorf("tenant %s does not exist, so nobody could see it: --create-tenants makes it", uuid)
	}
	_, err := k.opt.Directory.CreateTenant(ctx, actor, directory.Tenant{UUID: uuid, Name: "imported " + uuid})
	return err
}

// identify finds tenant, users and direction of a call of Master.csv by its
// channels, as the directory is now (design 5).
func (k *Keeping) identify(it *history.Item, tenant string) {
	book := k.opt.Directory.Book()
	if it.Channel != "" {
		from, to := book.Endpoint(call.Endpoint(it.Channel)), book.Endpoint(call.Endpoint(it.DestinationChannel))
		if from.Kind == dialplan.KindUser {
			it.SourceUserUUID, it.SourceLineID = history.Text(from.User.UUID), history.Number(from.Line.ID)
			it.SourceInternalExtension, it.SourceInternalContext = history.Text(from.Line.Exten), history.Text(from.Line.Context)
		}
		if to.Kind == dialplan.KindUser {
			it.DestinationUserUUID, it.DestinationLineID = history.Text(to.User.UUID), history.Number(to.Line.ID)
			it.DestinationInternalExtension, it.DestinationInternalContext = history.Text(to.Line.Exten), history.Text(to.Line.Context)
		}
		switch {
		case from.Kind == dialplan.KindTrunk:
			it.CallDirection = cdr.DirectionInbound
		case to.Kind == dialplan.KindTrunk:
			it.CallDirection = cdr.DirectionOutbound
		case from.Kind == dialplan.KindUser:
			it.CallDirection = cdr.DirectionInternal
		}
		if it.TenantUUID == "" && tenant == "" {
			if it.TenantUUID = history.Text(from.TenantUUID); from.Kind != dialplan.KindUser && to.TenantUUID != "" {
				it.TenantUUID = history.Text(to.TenantUUID)
			}
		}
	}
	if it.TenantUUID == "" {
		it.TenantUUID = history.Text(tenant)
	}
	if it.TenantUUID == "" {
		it.TenantUUID = history.Text(book.Master().UUID)
	}
}

func (k *Keeping) item(c store.CDR) history.Item {
	return history.FromCDR(c.CDR, c.Recordings, func(r recorder.Recording) string {
		return filepath.Join(k.opt.Config.Recordings.Root, r.Path())
	})
}

// everywhere are all tenants.
func (k *Keeping) everywhere() []string { return k.purger.Tenants() }

func (k *Keeping) showItem(r *http.Request, _ []byte) (any, error) {
	id, err := holdID(r)
	if err != nil {
		return nil, err
	}
	c, err := k.opt.Store.CDR(r.Context(), id, k.everywhere())
	if errors.Is(err, store.ErrNotFound) {
		return nil, refuse(http.StatusNotFound, "there is no CDR %d", id)
	}
	return k.item(c), err
}

// maxPage is how many calls one answer may have.
const maxPage = 1000

// listItems takes tenant, from and until (RFC 3339), search, limit, ascending
// and after, which is the Next of the page before.
func (k *Keeping) listItems(r *http.Request, _ []byte) (any, error) {
	q := r.URL.Query()
	f := store.Filter{Tenants: k.everywhere(), Limit: 50, Search: q.Get("search"), Ascending: q.Get("ascending") == "true", Blocked: true}
	if tenant := q.Get("tenant"); tenant != "" {
		if err := k.tenant(tenant); err != nil {
			return nil, err
		}
		f.Tenants = []string{tenant}
	}
	for name, to := range map[string]*time.Time{"from": &f.From, "until": &f.Until} {
		if v := q.Get(name); v != "" {
			t, err := time.Parse(time.RFC3339Nano, v)
			if err != nil {
				return nil, refuse(http.StatusBadRequest, "%s: %q is no time", name, v)
			}
			*to = t
		}
	}
	if v := q.Get("limit"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > maxPage {
			return nil, refuse(http.StatusBadRequest, "limit %q is not 1 to %d", v, maxPage)
		}
		f.Limit = n
	}
	if v := q.Get("after"); v != "" {
		var at store.Cursor
		var micros int64
		if _, err := fmt.Sscanf(v, "%d.%d", &micros, &at.ID); err != nil {
			return nil, refuse(http.StatusBadRequest, "after %q is no place in a list", v)
		}
		at.Start = time.UnixMicro(micros)
		f.After = &at
	}
	page, err := k.opt.Store.ListCDRs(r.Context(), f)
	if err != nil {
		return nil, err
	}
	out := CDRPage{Items: make([]history.Item, 0, len(page.Items)), Filtered: page.Filtered}
	for _, c := range page.Items {
		out.Items = append(out.Items, k.item(c))
	}
	if n := len(page.Items); n == f.Limit {
		out.Next = fmt.Sprintf("%d.%d", page.Items[n-1].Start.UnixMicro(), page.Items[n-1].ID)
	}
	return out, nil
}
