package exec

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"callrecordd/internal/audio"
	"callrecordd/internal/recorder"
)

// orphan leaves a recording behind as an Asterisk that was killed does: audio
// and a header without sizes.
func (r *rig) orphan(t *testing.T, seconds int) (original []byte) {
	t.Helper()
	if _, err := r.e.files.prepare(r.row); err != nil {
		t.Fatal(err)
	}
	original = header(0)
	for i := range seconds * 16000 {
		original = append(original, byte(i*7+i>>9))
	}
	if err := os.WriteFile(r.e.files.abs(r.row), original, 0o640); err != nil {
		t.Fatal(err)
	}
	return original
}

func hexed(b []byte) string { h := sha256.Sum256(b); return hex.EncodeToString(h[:]) }

func (r *rig) spare() string { return filepath.Join(r.cfg.Root, filepath.FromSlash(spare(r.row))) }

// playable fails unless the recording's file is a proper one with the audio of
// the original.
func (r *rig) playable(t *testing.T, original []byte) (sum string) {
	t.Helper()
	got, err := os.ReadFile(r.e.files.abs(r.row))
	if err != nil {
		t.Fatal(err)
	}
	info, err := audio.Measure(bytes.NewReader(got), int64(len(got)))
	if err != nil || !info.HeaderComplete {
		t.Fatalf("%+v, %v", info, err)
	}
	if !bytes.Equal(got[44:], original[44:44+info.DataBytes]) || info.Samples != int64(len(original)-44)/2 {
		t.Fatal("the audio is not that of the original")
	}
	return hexed(got)
}

// TestKilledAsteriskLeavesAFileThatPlays: its audio is all there, and nothing
// else is left behind once the row is stored.
func TestKilledAsteriskLeavesAFileThatPlays(t *testing.T) {
	r := newRig(t, nil)
	original := r.orphan(t, 3)
	r.apply(recorder.Finalise{Row: r.row, Try: 1})
	f := want[recorder.Finalised](r)
	sum := r.playable(t, original)
	if !f.Repaired || f.Samples != 24000 || f.SHA256 != sum || f.Bytes != int64(len(original)) ||
		f.OriginalSHA256 != hexed(original) || f.OriginalBytes != int64(len(original)) {
		t.Fatalf("%+v", f)
	}
	if kept, err := os.ReadFile(r.spare()); err != nil || !bytes.Equal(kept, original) {
		t.Fatalf("the original is not kept before the row is stored: %v", err)
	}
	row := r.row
	row.State, row.SHA256 = recorder.Interrupted, f.SHA256
	r.apply(recorder.Save{Row: row, Sync: true})
	eventually(t, "the original goes", func() bool { _, err := os.Stat(r.spare()); return errors.Is(err, os.ErrNotExist) })
	if r.playable(t, original) != sum {
		t.Error("another file")
	}
}

// TestAFullDiskAtTheBeginOfACallCostsNoMoreThanThat: Asterisk goes on without the
// header that it could not write (facts: format_wav).
func TestAFullDiskAtTheBeginOfACallCostsNoMoreThanThat(t *testing.T) {
	r := newRig(t, nil)
	file := r.orphan(t, 3)[44:]
	binary.LittleEndian.PutUint32(file[4:], uint32(len(file)-8))
	binary.LittleEndian.PutUint32(file[40:], uint32(len(file)-44))
	if err := os.WriteFile(r.e.files.abs(r.row), file, 0o640); err != nil {
		t.Fatal(err)
	}
	// A copy that was made and not put in its place: the daemon died.
	if err := os.MkdirAll(filepath.Dir(r.spare()), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.spare(), append(header(0), file...), 0o640); err != nil {
		t.Fatal(err)
	}
	r.apply(recorder.Finalise{Row: r.row, Try: 1})
	f := want[recorder.Finalised](r)
	sum := r.playable(t, append(header(0), file...))
	if !f.Repaired || !f.Headless || f.Samples != 24000 || f.SHA256 != sum || f.OriginalSHA256 != hexed(file) {
		t.Fatalf("%+v", f)
	}
	row := r.row
	row.State, row.SHA256 = recorder.Interrupted, f.SHA256
	r.apply(recorder.Save{Row: row, Sync: true})
	eventually(t, "nothing is left beside it", func() bool {
		left, err := os.ReadDir(filepath.Dir(r.spare()))
		return err == nil && len(left) == 0
	})
}

// TestAHeaderThatCannotBeWrittenIsTriedAgain: there may be no room for a copy yet.
func TestAHeaderThatCannotBeWrittenIsTriedAgain(t *testing.T) {
	r := newRig(t, func(c *Config) { c.step = func(string) error { return syscall.ENOSPC } })
	file := r.orphan(t, 1)[44:]
	binary.LittleEndian.PutUint32(file[4:], uint32(len(file)-8))
	binary.LittleEndian.PutUint32(file[40:], uint32(len(file)-44))
	if err := os.WriteFile(r.e.files.abs(r.row), file, 0o640); err != nil {
		t.Fatal(err)
	}
	r.apply(recorder.Finalise{Row: r.row, Try: 1})
	if f := want[recorder.Finalised](r); f.Cause != recorder.CauseHeaderUnset || f.Samples != 0 || f.SHA256 != hexed(file) {
		t.Errorf("%+v", f)
	}
	if !Repairable(r.cfg.Root, r.row) {
		t.Error("the next start does not try it")
	}
}

// Where a second run of the test below is to be killed, and below which root.
const (
	diesAt = "CALLRECORDD_DIES_AT"
	diesIn = "CALLRECORDD_DIES_IN"
)

// repairAndDie repairs until it is killed.
func repairAndDie(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Root = os.Getenv(diesIn)
		c.step = func(s string) error {
			if s == os.Getenv(diesAt) {
				return syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
			return nil
		}
	})
	r.apply(recorder.Finalise{Row: r.row})
	want[recorder.Finalised](r)
}

// TestDeathInTheMiddleOfARepairLosesNothing: after a SIGKILL behind each step
// there is a whole file in the recording's place, and the next start comes to the
// same end.
func TestDeathInTheMiddleOfARepairLosesNothing(t *testing.T) {
	if os.Getenv(diesAt) != "" {
		repairAndDie(t)
		return
	}
	for _, dies := range []string{stepCopied, stepVerified, stepExchanged, stepSynced} {
		t.Run(dies, func(t *testing.T) {
			r := newRig(t, nil)
			original := r.orphan(t, 2)
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDeathInTheMiddleOfARepairLosesNothing$")
			cmd.Env = append(os.Environ(), diesAt+"="+dies, diesIn+"="+r.cfg.Root)
			if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(err.Error(), "killed") {
				t.Fatalf("not killed: %v\n%s", err, out)
			}
			here, err := os.ReadFile(r.e.files.abs(r.row))
			if err != nil || len(here) != len(original) || !bytes.Equal(here[44:], original[44:]) {
				t.Fatalf("no whole file in its place: %d bytes, %v", len(here), err)
			}
			for again := range 2 { // and the start after the next one
				next := newRig(t, func(c *Config) { c.Root = r.cfg.Root })
				next.apply(recorder.Finalise{Row: r.row, Try: again})
				f := want[recorder.Finalised](next)
				sum := next.playable(t, original)
				if !f.Repaired || f.SHA256 != sum || f.OriginalSHA256 != hexed(original) {
					t.Fatalf("start %d: %+v", again, f)
				}
			}
		})
	}
}

// TestAnUnfinishedCopyIsNotTakenForARecording: a power cut has left a part of a
// copy, or what is none.
func TestAnUnfinishedCopyIsNotTakenForARecording(t *testing.T) {
	for name, left := range map[string][]byte{
		"nothing": {}, "zeros": make([]byte, 500), "a part": append(header(32000), 1, 2, 3, 4),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			original := r.orphan(t, 2)
			if err := os.Mkdir(filepath.Dir(r.spare()), 0o750); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(r.spare(), left, 0o640); err != nil {
				t.Fatal(err)
			}
			r.apply(recorder.Finalise{Row: r.row})
			f := want[recorder.Finalised](r)
			r.playable(t, original)
			if !f.Repaired || f.OriginalSHA256 != hexed(original) {
				t.Errorf("%+v", f)
			}
		})
	}
}

// TestAnAsteriskThatOnlyHangsKeepsItsFile: whoever has it open may go on
// writing, so it is not put aside.
func TestAnAsteriskThatOnlyHangsKeepsItsFile(t *testing.T) {
	r := newRig(t, nil)
	original := r.orphan(t, 1)
	file, err := os.OpenFile(r.e.files.abs(r.row), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	before, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	r.apply(recorder.Finalise{Row: r.row})
	f := want[recorder.Finalised](r)
	now, err := os.Stat(r.e.files.abs(r.row))
	if err != nil || !os.SameFile(before, now) || f.Repaired || f.SHA256 != hexed(original) || f.Detail == "" {
		t.Errorf("%+v, %v", f, err)
	}
}

// TestAnOriginalIsOnlyDroppedForItsOwnCopy: not for another file, not against
// the row's word, and with a recording that was deleted.
func TestAnOriginalIsOnlyDroppedForItsOwnCopy(t *testing.T) {
	r := newRig(t, nil)
	original := r.orphan(t, 1)
	r.apply(recorder.Finalise{Row: r.row})
	f := want[recorder.Finalised](r)
	row := r.row
	row.State, row.SHA256 = recorder.Interrupted, hexed(original)
	if err := DropSpare(r.cfg.Root, row); err == nil {
		t.Error("dropped against the word of the row")
	}
	found, err := Spares(r.cfg.Root)
	if err != nil || len(found) != 1 || found[0] != (Spare{tenantID, rowID}) {
		t.Errorf("%v, %v", found, err)
	}
	row.SHA256 = f.SHA256
	if err := os.WriteFile(r.spare(), append(header(0), 9, 9), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := DropSpare(r.cfg.Root, row); !errors.Is(err, audio.ErrDiffers) {
		t.Errorf("dropped another file: %v", err)
	}
	row.State = recorder.Deleted
	if err := DropSpare(r.cfg.Root, row); err != nil {
		t.Error(err)
	}
	if found, err := Spares(r.cfg.Root); err != nil || len(found) != 0 {
		t.Errorf("%v, %v", found, err)
	}
}

// TestAnImpossibleRepairLeavesTheOriginal: no room for the copy, so it stays and is told.
func TestAnImpossibleRepairLeavesTheOriginal(t *testing.T) {
	r := newRig(t, nil)
	original := r.orphan(t, 1)
	if err := os.WriteFile(filepath.Dir(r.spare()), nil, 0o640); err != nil { // no directory can be made
		t.Fatal(err)
	}
	r.apply(recorder.Finalise{Row: r.row})
	f := want[recorder.Finalised](r)
	got, err := os.ReadFile(r.e.files.abs(r.row))
	if err != nil || !bytes.Equal(got, original) || f.Repaired || f.Samples != 8000 || f.SHA256 != hexed(original) || f.Detail == "" {
		t.Errorf("%+v, %v", f, err)
	}
}

// TestPowerCutDuringARecordingLeavesWhatWasOnTheDisk: wherever the file ends, all
// that is there can be played, and the hash is that of what lies there.
func TestPowerCutDuringARecordingLeavesWhatWasOnTheDisk(t *testing.T) {
	whole := header(8000)
	for i := range 8000 {
		whole = append(whole, byte(i*3+i>>8))
	}
	unset := append(header(0), whole[44:]...)
	for _, closed := range []bool{true, false} {
		for _, n := range []int{0, 1, 7, 8, 12, 35, 43, 44, 45, 46, 47, 100, 4095, 4096, 4097, 8043, 8044} {
			r := newRig(t, nil)
			if _, err := r.e.files.prepare(r.row); err != nil {
				t.Fatal(err)
			}
			original := unset[:n]
			if closed {
				original = whole[:n]
			}
			if err := os.WriteFile(r.e.files.abs(r.row), original, 0o640); err != nil {
				t.Fatal(err)
			}
			r.apply(recorder.Finalise{Row: r.row})
			f := want[recorder.Finalised](r)
			now, err := os.ReadFile(r.e.files.abs(r.row))
			if err != nil || f.SHA256 != "" && f.SHA256 != hexed(now) {
				t.Fatalf("%d bytes: the hash is not that of the file, %v", n, err)
			}
			samples := int64(max(0, n-44) / 2)
			switch {
			case f.Samples != samples && f.Cause == "":
				t.Errorf("%d bytes, closed %v: %d samples, want %d", n, closed, f.Samples, samples)
			case samples > 0 && f.Repaired == (closed && n == len(whole)):
				t.Errorf("%d bytes, closed %v: %+v", n, closed, f)
			case f.Complete != (closed && n == len(whole)):
				t.Errorf("%d bytes, closed %v: complete is %v", n, closed, f.Complete)
			}
			if f.Repaired {
				r.playable(t, original[:44+2*samples])
			}
			r.close()
		}
	}
}
