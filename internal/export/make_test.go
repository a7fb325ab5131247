package export

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"callrecordd/internal/recorder"
)

// items is a storage that has lost all but these of an export.
type items struct {
	Repo
	list []Item
}

func (r items) ExportItems(_ context.Context, _ string, first, limit int) ([]Item, error) {
	return r.list[min(first, len(r.list)):min(first+limit, len(r.list))], nil
}

// An archive that lacks a recording without a word in missing.json must not be
// published.
func TestArchiveThatLacksARecordingIsNotFinished(t *testing.T) {
	dir := t.TempDir()
	s := New(Options{
		Repo: items{list: []Item{{Recording: recorder.Recording{UUID: "r", TenantUUID: "t", State: recorder.Ready}, CDRID: 1}}},
		Root: dir, Dir: filepath.Join(dir, "exports"), Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	err := s.make(t.Context(), &Export{UUID: "e", Files: 2}, &progress{})
	if err == nil || errors.Is(err, errNoFiles) {
		t.Errorf("made of one of two recordings: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(s.opt.Dir, "*")); left != nil {
		t.Errorf("left: %v", left)
	}
}
