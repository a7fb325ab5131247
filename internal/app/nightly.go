package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"callrecordd/internal/audit"
	"callrecordd/internal/control"
	"callrecordd/internal/recorder"
	"callrecordd/store"
)

// NightlyRequest asks for the reports of a period, to be kept.
type NightlyRequest struct {
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
}

// NightlyReport is a report that is kept.
type NightlyReport struct {
	audit.Sum
	HTML string `json:"html"`
	JSON string `json:"json"`
}

func (a *Audits) handleNightly(r *http.Request, body []byte) (any, error) {
	var req NightlyRequest
	if err := control.Strict(body, &req); err != nil {
		return nil, err
	}
	return a.Nightly(r.Context(), req, control.Actor(r))
}

// Nightly makes a report of a period for each tenant that ever had calls,
// keeps it, and stores what it comes to, with an event.
func (a *Audits) Nightly(ctx context.Context, req NightlyRequest, actor string) ([]NightlyReport, error) {
	tenants, err := a.opt.Store.AuditTenants(ctx)
	if err != nil {
		return nil, err
	}
	out := []NightlyReport{}
	for _, tenant := range tenants {
		report, err := a.keepReport(ctx, req, tenant)
		if err != nil {
			return nil, fmt.Errorf("report of tenant %s: %w", tenant, err)
		}
		err = a.opt.Store.SaveAudit(ctx, store.AuditSaved{TenantUUID: tenant, Since: req.Since, Until: req.Until, Sum: report.Sum}, recorder.Event{
			Kind: audit.EventFinished, Actor: actor, Data: struct {
				Since time.Time `json:"since"`
				Until time.Time `json:"until"`
				audit.Sum
			}{req.Since, req.Until, report.Sum},
		})
		if err != nil {
			return nil, err
		}
		out = append(out, report)
	}
	return out, errors.Join(a.remember(ctx), a.removeOld())
}

// LastAudit is what the last nightly audit of a tenant came to.
type LastAudit struct {
	audit.Sum
	Since    time.Time `json:"since"`
	Until    time.Time `json:"until"`
	Finished time.Time `json:"finished"`
}

// Last are the last nightly audits, of each tenant. It asks neither disk nor
// database.
func (a *Audits) Last() []LastAudit {
	if last := a.last.Load(); last != nil {
		return *last
	}
	return nil
}

// remember reads them.
func (a *Audits) remember(ctx context.Context) error {
	list, err := a.opt.Store.LastAudits(ctx)
	if err != nil {
		return err
	}
	out := make([]LastAudit, 0, len(list))
	for _, s := range list {
		l := LastAudit{Since: s.Since, Until: s.Until, Finished: s.Finished}
		raw, _ := s.Sum.(json.RawMessage) // as store.AuditSaved says
		if err := json.Unmarshal(raw, &l.Sum); err != nil {
			return fmt.Errorf("read the last audit of tenant %s: %w", s.TenantUUID, err)
		}
		out = append(out, l)
	}
	a.last.Store(&out)
	return nil
}

// keepReport writes both forms of a tenant's report. A name appears when its file
// is complete.
func (a *Audits) keepReport(ctx context.Context, req NightlyRequest, tenant string) (out NightlyReport, err error) {
	dir := filepath.Join(a.opt.Reports, tenant)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return out, fmt.Errorf("folder of reports: %w", err)
	}
	name := filepath.Join(dir, req.Since.Format("2006-01-02T1504")+"_"+req.Until.Format("2006-01-02T1504"))
	out.HTML, out.JSON = name+".html", name+".json"
	report := audit.Report{Since: req.Since, Until: req.Until, Made: a.opt.Now()}
	err = atomically(out.JSON, func(w io.Writer) error {
		js := audit.NewJSON(w, &report)
		if err := js.Begin(); err != nil {
			return err
		}
		err := a.Each(ctx, AuditRequest{Since: req.Since, Until: req.Until, Tenants: []string{tenant}}, func(page AuditPage) error {
			report.Outages = append(report.Outages, page.Outages...)
			report.Tenants.Merge(page.Sums)
			for _, v := range page.Calls {
				report.Put(v)
				if err := js.Call(v); err != nil {
					return err
				}
			}
			return nil
		})
		return errors.Join(err, js.End())
	})
	if err != nil {
		return out, err
	}
	if out.Sum = report.Tenants.Whole(); len(report.Tenants) > 0 {
		out.Sum = report.Tenants[0]
	}
	t, _ := a.opt.Directory.Book().Tenant(tenant) // one without calls has no name yet
	out.Tenant, out.Name = tenant, t.Name
	return out, atomically(out.HTML, func(w io.Writer) error { return audit.HTML(w, report) })
}

// Each hands over an audit part by part.
func (a *Audits) Each(ctx context.Context, req AuditRequest, do func(AuditPage) error) error {
	for {
		page, err := a.Part(ctx, req)
		if err != nil {
			return err
		}
		if err := do(page); err != nil {
			return err
		}
		if req.After = page.Next; page.Next == "" {
			return nil
		}
	}
}

// atomically writes a file that is there whole or not at all.
func atomically(path string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".audit-*.tmp")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", path, errors.Join(err, os.Remove(f.Name())))
		}
	}()
	if err := errors.Join(write(f), f.Sync(), f.Chmod(0o640), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// removeOld removes reports that are too old.
func (a *Audits) removeOld() error {
	if a.opt.Keep <= 0 {
		return nil
	}
	before := a.opt.Now().Add(-a.opt.Keep)
	files, err := filepath.Glob(filepath.Join(a.opt.Reports, "*", "*"))
	if err != nil {
		return fmt.Errorf("look for old reports: %w", err)
	}
	for _, path := range files {
		info, err := os.Lstat(path)
		if err != nil || !info.Mode().IsRegular() || !info.ModTime().Before(before) || !isReport(path) {
			continue // gone, or none of ours
		}
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("remove an old report: %w", err)
		}
	}
	return nil
}

func isReport(path string) bool {
	return strings.HasSuffix(path, ".html") || strings.HasSuffix(path, ".json") || strings.HasSuffix(path, ".tmp")
}
