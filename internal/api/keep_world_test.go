package api

import (
	"context"
	"os"
	"path/filepath"
	"slices"

	"callrecordd/internal/export"
	"callrecordd/internal/recorder"
	"callrecordd/internal/retention"
)

// fakeKeep keeps in memory what the store would, and remembers what it was
// asked.
type fakeKeep struct {
	records  func() []Record
	dir      string // of archives
	exports  []export.Export
	asked    export.Request
	query    Query
	holds    map[int64]retention.Hold
	policies map[string]retention.Policy
	removed  []string
	failure  error // of each removal
}

func newFakeKeep(dir string, records func() []Record) *fakeKeep {
	return &fakeKeep{records: records, dir: dir, holds: map[int64]retention.Hold{}, policies: map[string]retention.Policy{}}
}

func (f *fakeKeep) keep() Keep {
	return Keep{Media: f, Holds: f, Exports: f, Policies: f, Defaults: retention.Days{CDR: 365, Export: 2, Recording: 365}}
}

func (f *fakeKeep) OfCDRs(_ context.Context, ids []int64, tenants []string) (map[int64]retention.Media, error) {
	out := map[int64]retention.Media{}
	for _, r := range f.records() {
		if !slices.Contains(ids, r.CDR.ID) || !slices.Contains(tenants, r.CDR.TenantUUID) {
			continue
		}
		var m retention.Media
		if h, ok := f.holds[r.CDR.ID]; ok {
			m.Hold = &h.Reason
		}
		for _, rec := range r.Recordings {
			m.UUIDs = append(m.UUIDs, rec.UUID)
		}
		out[r.CDR.ID] = m
	}
	return out, nil
}

func (f *fakeKeep) Remove(_ context.Context, uuids []string, _, _ string, outcome func(string, error)) error {
	for _, uuid := range uuids {
		if f.failure == nil {
			f.removed = append(f.removed, uuid)
		}
		outcome(uuid, f.failure)
	}
	return nil
}

func (f *fakeKeep) Hold(_ context.Context, id int64) (retention.Hold, bool, error) {
	h, ok := f.holds[id]
	return h, ok, nil
}

func (f *fakeKeep) SetHold(_ context.Context, id int64, reason, actor string) error {
	f.holds[id] = retention.Hold{CDRID: id, Reason: reason, By: actor}
	return nil
}

func (f *fakeKeep) ReleaseHold(_ context.Context, id int64, _, _ string) error {
	if _, ok := f.holds[id]; !ok {
		return retention.ErrNotFound
	}
	delete(f.holds, id)
	return nil
}

func (f *fakeKeep) Policy(_ context.Context, tenant string) (retention.Policy, error) {
	return f.policies[tenant], nil
}

func (f *fakeKeep) SetPolicy(_ context.Context, tenant string, p retention.Policy, _ string) error {
	f.policies[tenant] = p
	return nil
}

func (f *fakeKeep) Create(_ context.Context, r export.Request, q Query) (export.Export, error) {
	f.asked, f.query = r, q
	if !slices.ContainsFunc(f.records(), func(x Record) bool {
		return slices.Contains(q.Tenants, x.CDR.TenantUUID) && (q.IDs == nil || slices.Contains(q.IDs, x.CDR.ID)) &&
			slices.ContainsFunc(x.Recordings, func(rec recorder.Recording) bool { return rec.State != recorder.Deleted })
	}) {
		return export.Export{}, export.ErrNothing
	}
	return export.Export{UUID: rec2, TenantUUID: r.TenantUUID}, nil
}

func (f *fakeKeep) Get(_ context.Context, uuid string, tenants []string) (export.Export, bool, error) {
	for _, e := range f.exports {
		if e.UUID == uuid && slices.Contains(tenants, e.TenantUUID) {
			return e, true, nil
		}
	}
	return export.Export{}, false, nil
}

func (f *fakeKeep) Open(e export.Export) (*os.File, error) {
	return os.Open(filepath.Join(f.dir, e.UUID+".zip"))
}
