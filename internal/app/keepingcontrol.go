package app

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/mail"
	"os"
	"strconv"
	"time"

	"callrecordd/internal/api"
	"callrecordd/internal/control"
	"callrecordd/internal/export"
	"callrecordd/internal/retention"
)

// ExportRequest asks for an export over the control socket.
type ExportRequest struct {
	TenantUUID string    `json:"tenant_uuid"`
	From       time.Time `json:"from,omitzero"`
	Until      time.Time `json:"until,omitzero"`
	Recurse    bool      `json:"recurse,omitempty"`
	Email      string    `json:"email,omitempty"`
}

// ExportStatus is an export as the command line shows it.
type ExportStatus struct {
	UUID       string        `json:"uuid"`
	TenantUUID string        `json:"tenant_uuid"`
	Status     export.Status `json:"status"`
	Cause      string        `json:"cause,omitempty"`
	// Files and Bytes were asked for or, when it is finished, are in the archive;
	// DoneFiles and DoneBytes have been dealt with so far.
	Files     int         `json:"files"`
	Bytes     int64       `json:"bytes"`
	DoneFiles int64       `json:"done_files"`
	DoneBytes int64       `json:"done_bytes"`
	Missing   int         `json:"missing"`
	Path      string      `json:"path"`
	Mail      export.Mail `json:"mail,omitempty"`
}

// RetentionStatus is how long a tenant keeps things: what it has chosen, and
// what is in force.
type RetentionStatus struct {
	TenantUUID string `json:"tenant_uuid"`
	retention.Policy
	InForce retention.Days `json:"in_force"`
}

// HoldRequest puts a CDR under legal hold, or ends one.
type HoldRequest struct {
	Reason string `json:"reason"`
}

// Routes are the commands of the control socket.
func (k *Keeping) Routes() []control.Route {
	return append(k.historyRoutes(), []control.Route{
		{Pattern: "POST /v1/exports", Handle: k.createExport},
		{Pattern: "GET /v1/exports", Handle: k.listExports},
		{Pattern: "GET /v1/exports/{uuid}", Handle: k.showExport},
		{Pattern: "GET /v1/retention", Handle: k.listRetention},
		{Pattern: "PUT /v1/retention/{tenant}", Handle: k.setRetention},
		{Pattern: "POST /v1/purge", Handle: k.purgeNow},
		{Pattern: "PUT /v1/holds/{cdr}", Handle: k.hold},
		{Pattern: "DELETE /v1/holds/{cdr}", Handle: k.release},
	}...)
}

func refuse(status int, format string, args ...any) error {
	return &control.Failure{Status: status, Message: fmt.Sprintf(format, args...)}
}

func (k *Keeping) tenant(uuid string) error {
	if _, ok := k.opt.Directory.Book().Tenant(uuid); !ok {
		return refuse(http.StatusNotFound, "tenant %q does not exist", uuid)
	}
	return nil
}

func (k *Keeping) needExports() error {
	if k.opt.Exports == nil {
		return refuse(http.StatusServiceUnavailable, "the daemon is not running, and only it makes exports: start it first")
	}
	return nil
}

func (k *Keeping) createExport(r *http.Request, body []byte) (any, error) {
	var req ExportRequest
	if err := control.Strict(body, &req); err != nil {
		return nil, err
	}
	if err := errors.Join(k.needExports(), k.tenant(req.TenantUUID)); err != nil {
		return nil, err
	}
	if req.Email != "" {
		if a, err := mail.ParseAddress(req.Email); err != nil || a.Address != req.Email {
			return nil, refuse(http.StatusBadRequest, "%q is no mail address", req.Email)
		}
	}
	if req.Email != "" && k.link() == "" {
		return nil, refuse(http.StatusBadRequest, "a mail needs an address under which the archive is found: set exports.link")
	}
	if !req.From.IsZero() && !req.Until.IsZero() && !req.From.Before(req.Until) {
		return nil, refuse(http.StatusBadRequest, "the time from which is not before the time until which recordings are exported")
	}
	q := api.Query{Tenants: []string{req.TenantUUID}, From: req.From, Until: req.Until}
	if req.Recurse {
		q.Tenants = k.opt.Directory.Book().Subtree(req.TenantUUID)
	}
	actor := control.Actor(r)
	e, err := keepExports{k}.Create(r.Context(), export.Request{
		TenantUUID: req.TenantUUID, UserUUID: actor, Actor: actor, Email: req.Email, Link: k.link(),
	}, q)
	if errors.Is(err, export.ErrNothing) {
		return nil, refuse(http.StatusNotFound, "there is no recording to export")
	}
	if err != nil {
		return nil, err
	}
	return k.exportStatus(e), nil
}

// link is the address in mails about exports that no request over HTTP asked
// for, empty if there is none. HTTPS is preferred, because others reach it.
func (k *Keeping) link() string {
	c := k.opt.Config
	switch {
	case c.Exports.Link != "":
		return c.Exports.Link
	case len(c.HTTP.ListenTLS) > 0:
		return "https://" + named(c.HTTP.ListenTLS[0]) + "/api/" + string(api.CallLogd)
	case len(c.HTTP.Listen) > 0:
		return "http://" + named(c.HTTP.Listen[0])
	}
	return ""
}

// named is an address to listen on, with this machine's name if it has none.
func named(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || host != "" && (ip == nil || !ip.IsUnspecified()) {
		return address
	}
	name, err := os.Hostname()
	if err != nil {
		return address
	}
	return net.JoinHostPort(name, port)
}

func (k *Keeping) exportStatus(e export.Export) ExportStatus {
	s := ExportStatus{
		UUID: e.UUID, TenantUUID: e.TenantUUID, Status: e.Status, Cause: e.Cause, Files: e.Files, Bytes: e.Bytes,
		Missing: e.Missing, Path: k.opt.Exports.Path(e), Mail: e.Mail,
	}
	s.DoneFiles, s.DoneBytes = k.opt.Exports.Progress(e.UUID)
	return s
}

func (k *Keeping) listExports(r *http.Request, _ []byte) (any, error) {
	if err := k.needExports(); err != nil {
		return nil, err
	}
	list, err := k.opt.Exports.List(r.Context())
	out := make([]ExportStatus, 0, len(list))
	for _, e := range list {
		out = append(out, k.exportStatus(e))
	}
	return out, err
}

func (k *Keeping) showExport(r *http.Request, _ []byte) (any, error) {
	if err := k.needExports(); err != nil {
		return nil, err
	}
	e, ok, err := k.opt.Exports.Get(r.Context(), r.PathValue("uuid"), nil)
	if err == nil && !ok {
		err = refuse(http.StatusNotFound, "there is no export %q", r.PathValue("uuid"))
	}
	if err != nil {
		return nil, err
	}
	return k.exportStatus(e), nil
}

func (k *Keeping) retentionOf(r *http.Request, tenant string) (RetentionStatus, error) {
	p, err := k.opt.Store.Policy(r.Context(), tenant)
	return RetentionStatus{TenantUUID: tenant, Policy: p, InForce: p.Or(k.defaults())}, err
}

func (k *Keeping) listRetention(r *http.Request, _ []byte) (any, error) {
	out := []RetentionStatus{}
	for _, tenant := range k.purger.Tenants() {
		s, err := k.retentionOf(r, tenant)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func (k *Keeping) setRetention(r *http.Request, body []byte) (any, error) {
	tenant := r.PathValue("tenant")
	var p retention.Policy
	if err := errors.Join(control.Strict(body, &p), k.tenant(tenant)); err != nil {
		return nil, err
	}
	if field, why := p.Wrong(); field != "" {
		return nil, refuse(http.StatusBadRequest, "%s %s", field, why)
	}
	if err := k.opt.Store.SetPolicy(r.Context(), tenant, p, control.Actor(r)); err != nil {
		return nil, err
	}
	return k.retentionOf(r, tenant)
}

func (k *Keeping) purgeNow(r *http.Request, body []byte) (any, error) {
	var req struct {
		DryRun bool `json:"dry_run"`
	}
	if err := control.Strict(body, &req); err != nil {
		return nil, err
	}
	return k.purger.Run(r.Context(), req.DryRun)
}

func holdID(r *http.Request) (int64, error) {
	id, err := strconv.ParseInt(r.PathValue("cdr"), 10, 64)
	if err != nil || id <= 0 {
		return 0, refuse(http.StatusBadRequest, "%q is no id of a CDR", r.PathValue("cdr"))
	}
	return id, nil
}

func (k *Keeping) hold(r *http.Request, body []byte) (any, error) {
	var req HoldRequest
	if err := control.Strict(body, &req); err != nil {
		return nil, err
	}
	id, err := holdID(r)
	if err != nil {
		return nil, err
	}
	if req.Reason == "" {
		return nil, refuse(http.StatusBadRequest, "a legal hold needs a reason")
	}
	err = keepHolds{k.opt.Store}.SetHold(r.Context(), id, req.Reason, control.Actor(r))
	if errors.Is(err, retention.ErrNotFound) {
		return nil, refuse(http.StatusNotFound, "there is no CDR %d", id)
	}
	if err != nil {
		return nil, err
	}
	h, _, err := k.opt.Store.Hold(r.Context(), id)
	return h, err
}

func (k *Keeping) release(r *http.Request, _ []byte) (any, error) {
	id, err := holdID(r)
	if err != nil {
		return nil, err
	}
	err = keepHolds{k.opt.Store}.ReleaseHold(r.Context(), id, "", control.Actor(r))
	if errors.Is(err, retention.ErrNotFound) {
		return nil, refuse(http.StatusNotFound, "CDR %d is not under legal hold", id)
	}
	return nil, err
}
