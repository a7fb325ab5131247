package store

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"callrecordd/internal/cdr"
	"callrecordd/internal/recorder"
)

// TestPowerCutKeepsWhatWasPromised: whatever of the last writes the disk had not
// yet, the next start finds a whole database, all that was promised to be
// durable (final states, CDRs with the position in the journal), and nothing
// without what came before it.
func TestPowerCutKeepsWhatWasPromised(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { powerCut(t, rand.New(rand.NewPCG(seed, 7))) })
	}
}

func powerCut(t *testing.T, random *rand.Rand) {
	ctx := t.Context()
	dir := t.TempDir()
	path := filepath.Join(dir, "db")
	s := open(t, options(path))
	var durable int64 // size of the log that the disk is known to have
	promised, written := map[string]recorder.State{}, 0
	position := int64(0)
	size := func() int64 {
		info, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	for range 10 + random.IntN(30) {
		uuid := fmt.Sprintf("00000000-0000-4000-8000-%012d", written)
		written++
		r := recording(uuid, fmt.Sprintf("%d.1", written))
		var err error
		switch random.IntN(3) {
		case 0: // an intent is not synced
			err = s.InsertIntent(ctx, r)
		case 1:
			if err = s.InsertIntent(ctx, r); err == nil {
				r.State, r.SHA256 = recorder.Ready, strings.Repeat("a", 64)
				err = s.UpdateRecording(ctx, r)
				promised[uuid], durable = recorder.Ready, size()
			}
		case 2:
			position += 10
			id := fmt.Sprintf("9%d.1", written)
			_, err = s.SaveCDRs(ctx, []cdr.CDR{call(id, id)}, cdr.Checkpoint{Journal: 3, Position: position})
			durable = size()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	cdrs := position / 10
	cut := filepath.Join(dir, "cut.db")
	lost := durable + random.Int64N(size()-durable+1)
	copyCut(t, path, cut, -1, random)
	copyCut(t, path+"-wal", cut+"-wal", lost, random)

	after := open(t, options(cut))
	var verdict string
	if err := after.read(ctx, func(q querier) error { return q.QueryRowContext(ctx, "PRAGMA integrity_check").Scan(&verdict) }); err != nil || verdict != "ok" {
		t.Fatalf("%s, %v", verdict, err)
	}
	for uuid, want := range promised {
		if r, err := after.Recording(ctx, uuid); err != nil || r.State != want {
			t.Errorf("recording %s is %q, was promised to be %s: %v", uuid, r.State, want, err)
		}
	}
	p, err := after.ListCDRs(ctx, Filter{Tenants: []string{"t"}})
	at, lerr := after.LoadCheckpoint(ctx)
	if err != nil || lerr != nil || int64(p.Total) != cdrs || at.Position != position {
		t.Errorf("%d CDRs up to %d, promised were %d up to %d; %v, %v", p.Total, at.Position, cdrs, position, err, lerr)
	}
	open, err := after.OpenRecordings(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range open { // what the next start reconciles: each of them was begun
		if r.State != recorder.Starting && r.State != recorder.Live || len(r.Legs) == 0 {
			t.Errorf("half a row: %+v", r)
		}
	}
}

// copyCut copies a file up to a size, with what a disk may have behind it.
func copyCut(t *testing.T, from, to string, size int64, random *rand.Rand) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if size >= 0 && size < int64(len(data)) {
		rest := len(data) - int(size)
		data = data[:size]
		switch random.IntN(3) {
		case 1: // the size was on the disk, the pages were not
			data = append(data, make([]byte, rest)...)
		case 2:
			for range rest {
				data = append(data, byte(random.IntN(256)))
			}
		}
	}
	if err := os.WriteFile(to, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
