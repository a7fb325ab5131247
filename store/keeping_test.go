package store

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"callrecordd/internal/cdr"
	"callrecordd/internal/directory"
	"callrecordd/internal/export"
	"callrecordd/internal/recorder"
	"callrecordd/internal/retention"
)

// Items are stored before their export: a deletion meanwhile must leave them.
func TestItemsOfAnExportBeingCreatedStay(t *testing.T) {
	s, _ := newStore(t)
	items := []export.Item{{Recording: recorder.Recording{UUID: "r"}, CDRID: 1}, {Recording: recorder.Recording{UUID: "q"}, CDRID: 1}}
	old := export.Export{UUID: "old", Status: export.Finished, RequestedAt: time.Now()}
	for _, err := range []error{
		s.AddExportItems(t.Context(), "old", 0, items), s.CreateExport(t.Context(), old),
		s.AddExportItems(t.Context(), "new", 0, items), s.DeleteExport(t.Context(), old, "test"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for uuid, want := range map[string]int{"old": 0, "new": 2} {
		if got, err := s.ExportItems(t.Context(), uuid, 0, 10); err != nil || len(got) != want {
			t.Errorf("%s has %d items, want %d (%v)", uuid, len(got), want, err)
		}
	}
	// After a restart nobody creates it any more.
	if err := s.ResetExports(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := s.ExportItems(t.Context(), "new", 0, 10); err != nil || len(got) != 0 {
		t.Errorf("%d items of an export that never was (%v)", len(got), err)
	}
}

// imported is a call from elsewhere, with recordings.
func imported(n int, recordings ...string) Import {
	im := Import{CDR: cdr.CDR{
		TenantUUID: "t", Start: time.Date(2026, 1, 1, 0, 0, n, 0, time.UTC), CallDirection: cdr.DirectionInternal,
		CallStatus: "answered", ConversationID: fmt.Sprint(n), Source: cdr.SourceJournal,
	}, Key: fmt.Append(nil, "key ", n)}
	for _, uuid := range recordings {
		im.Recordings = append(im.Recordings, recorder.Recording{UUID: uuid, TenantUUID: "t", State: recorder.Ready})
	}
	return im
}

// A recording that belongs to a call refuses every other call that names it.
func TestImportWithTheRecordingOfAnotherCall(t *testing.T) {
	s, _ := newStore(t)
	got, err := s.ImportCDRs(t.Context(), []Import{imported(1, "r"), imported(2, "r"), imported(1, "r", "q")}, "test")
	if err != nil || got[0].Refused != "" || got[1].Refused == "" || !got[2].Known || got[2].Refused != "" {
		t.Errorf("%+v %v", got, err)
	}
	if n := count(t, s, "SELECT count(*) FROM cdrs"); n != 1 {
		t.Errorf("%d calls, want 1: the second was refused", n)
	}
	if n := count(t, s, "SELECT count(*) FROM recordings WHERE cdr_id = (SELECT id FROM cdrs)"); n != 2 {
		t.Errorf("the call has %d recordings, want 2", n)
	}
}

// The start brings interrupted removals to an end beside the first requests.
func TestRemovalThatIsEndedTwice(t *testing.T) {
	s, _ := newStore(t)
	if _, err := s.ImportCDRs(t.Context(), []Import{imported(1, "r")}, "test"); err != nil {
		t.Fatal(err)
	}
	begun, err := s.BeginRemovals(t.Context(), []string{"r"}, "test", "asked")
	if err != nil || begun[0].Err != nil {
		t.Fatal(err, begun)
	}
	ended := []retention.Ended{{Removal: begun[0].Removal}}
	for range 2 {
		if err := s.EndRemovals(t.Context(), ended); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(t, s, "SELECT count(*) FROM events WHERE kind = 'recording.deleted'"); n != 1 {
		t.Errorf("%d events of one removal", n)
	}
}

// A tenant whose archives are there stays: nobody could fetch or delete them.
func TestTenantWithArchivesIsNotDeleted(t *testing.T) {
	s, c := newStore(t)
	d := newDirectory(t, s, c)
	tenant, err := d.CreateTenant(t.Context(), "root", directory.Tenant{Name: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	e := export.Export{UUID: "e", TenantUUID: tenant.UUID, Status: export.Finished, RequestedAt: time.Now()}
	if err := s.CreateExport(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if err := d.DeleteTenant(t.Context(), "root", tenant.UUID); !errors.Is(err, directory.ErrConflict) || !strings.Contains(err.Error(), "exports") {
		t.Errorf("deleted with an archive: %v", err)
	}
	if err := errors.Join(s.DeleteExport(t.Context(), e, "root"), d.DeleteTenant(t.Context(), "root", tenant.UUID)); err != nil {
		t.Error(err)
	}
}
