package exec

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"callrecordd/internal/audio"
	"callrecordd/internal/gentle"
	"callrecordd/internal/recorder"
)

// finalise waits for the close, then measures, hashes and syncs the file. It
// delivers exactly one result, or none if we are closing.
func (w *worker) finalise(x recorder.Finalise) {
	out := recorder.Finalised{UUID: w.uuid, Try: x.Try}
	if out.Found = w.awaitClosed(x.Row); !out.Found {
		w.lookAround(x.Row, &out)
	}
	if out.Found {
		select {
		case w.e.hashing <- struct{}{}:
		case <-w.e.ctx.Done():
			return
		}
		err := w.e.files.measure(x.Row, &out, w.e.inTurn)
		<-w.e.hashing
		if errors.Is(err, fs.ErrNotExist) {
			out.Found = false
		} else if err != nil {
			out.Cause, out.Detail = recorder.CauseUnreadable, err.Error()
		} else {
			w.mend(x.Row, &out)
			w.complete(x.Row, &out)
			w.listen(x.Row, &out)
		}
	}
	w.deliver(out)
}

// lacks is how much shorter than its time a file may be without a question.
// More than that is usual where nothing was sent (facts 1: no frames).
const lacks = 3 * time.Second

// complete tells a file that is short because the storage took no more, which
// Asterisk only logs, from one of a silent call: by whether it takes more now.
func (w *worker) complete(row recorder.Recording, out *recorder.Finalised) {
	if out.Rate == 0 || row.StartedAt.IsZero() || row.EndedAt.IsZero() {
		return
	}
	audio := time.Duration(out.Samples) * time.Second / time.Duration(out.Rate)
	missing := row.EndedAt.Sub(row.StartedAt) - cutTime(row) - audio
	out.Drift = -missing
	if missing < lacks {
		return
	}
	if cause, detail := w.probe(row); recorder.Storage(cause) {
		out.Cause = cause
		out.Detail = fmt.Sprintf("%s of audio are missing at the end: %s", missing.Round(time.Second), detail)
	}
}

// awaitClosed waits until the file is closed: inotify has told so, or its
// header is set, or Asterisk says that no recorder writes to it. false: there
// is no file.
func (w *worker) awaitClosed(row recorder.Recording) bool {
	cfg := w.e.cfg
	begun := cfg.Clock()
	asked, unknown := begun, 0
	for w.e.ctx.Err() == nil {
		final, err := w.e.files.final(row)
		now := cfg.Clock()
		switch {
		case gone(err):
			// The recorder's thread makes the file after the response.
			if now.Sub(begun) >= cfg.Settle {
				return false
			}
		case final || w.closedSeen.Load():
			return true
		case now.Sub(asked) >= cfg.CloseWait:
			alive, known := w.recorderAlive(row)
			if !known {
				unknown++
			}
			if known && !alive || unknown > 2 {
				return true // nobody will ever write the header
			}
			asked = now
		}
		timer := time.NewTimer(cfg.Poll)
		select {
		case <-w.wake: // also a queued effect: it waits for its turn
		case <-timer.C:
		case <-w.e.ctx.Done():
		}
		timer.Stop()
	}
	return false
}

// recorderAlive asks Asterisk. Only here, never as a poll: a dead id costs a
// warning in Asterisk's log each time (facts 1).
func (w *worker) recorderAlive(row recorder.Recording) (alive, known bool) {
	id := row.MixMonitorID
	if id == "" { // the answer to its start was lost
		var err error
		if id, err = w.readBack(row); err != nil {
			return false, w.e.cfg.NoChannel(err)
		}
	}
	if id == "" {
		return false, true
	}
	return w.runs(row, id)
}

// runs is recorderAlive for a known id.
func (w *worker) runs(row recorder.Recording, id string) (alive, known bool) {
	ctx, cancel := context.WithTimeout(w.e.ctx, w.e.cfg.Action)
	defer cancel()
	file, err := w.e.cfg.ARI.ChannelVar(ctx, row.Hook, "MIXMONITOR("+id+",filename)")
	if err != nil {
		return false, w.e.cfg.NoChannel(err)
	}
	return strings.Contains(file, row.UUID), true
}

// measure fills in what the file holds. The file is synced before its state
// is: ready must survive a power cut.
func (f files) measure(row recorder.Recording, out *recorder.Finalised, inTurn func(func() error) error) error {
	return f.read(row, func(root *os.Root, file *os.File) error { return measure(root, file, row, out, inTurn) })
}

// inTurn reads when a processor is free for it.
func (e *Exec) inTurn(read func() error) error {
	select {
	case e.turns <- struct{}{}:
	case <-e.ctx.Done():
		return e.ctx.Err()
	}
	defer func() { <-e.turns }()
	return read()
}

// measure takes a turn for what needs a processor, not for what waits for the
// disk.
func measure(root *os.Root, file *os.File, row recorder.Recording, out *recorder.Finalised, inTurn func(func() error) error) error {
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("stat recording: %w", err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("recording is %s, not a file", info.Mode().Type())
	}
	if err := inTurn(func() error { return readAll(file, info.Size(), out) }); err != nil {
		return err
	}
	// Asterisk's umask may let the world read. If the file is not ours the
	// directory still keeps others out.
	if mode := info.Mode().Perm(); mode&0o007 != 0 || mode&0o040 == 0 {
		if err := file.Chmod(0o640); err != nil && !errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("restrict recording: %w", err)
		}
	}
	if err := file.Sync(); err != nil {
		return fmt.Errorf("sync recording: %w", err)
	}
	return syncDir(root, row.TenantUUID+"/monitor")
}

func readAll(file *os.File, size int64, out *recorder.Finalised) error {
	hash := sha256.New()
	tee := io.TeeReader(gentle.Reader(file), hash)
	a, err := audio.Measure(tee, size)
	if errors.Is(err, audio.ErrFormat) {
		if headless, none := audio.Headless(file, size); none == nil {
			a, out.Headless, err = headless, true, nil
		}
	}
	if err != nil {
		return fmt.Errorf("measure recording: %w", err)
	}
	rest, err := io.Copy(io.Discard, tee)
	if err != nil {
		return fmt.Errorf("read recording: %w", err)
	}
	out.Bytes, out.Samples, out.Rate = size, a.Samples, a.Rate
	out.Complete = a.HeaderComplete && rest == 0
	out.SHA256 = hex.EncodeToString(hash.Sum(nil))
	return nil
}

func syncDir(root *os.Root, name string) error {
	dir, err := root.Open(name)
	if err != nil {
		return fmt.Errorf("open directory: %w", err)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}
