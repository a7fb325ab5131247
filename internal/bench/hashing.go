package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"callrecordd/internal/bench/load"
)

// hashing is what the daemon's background work costs those who wait: calls are
// placed alone, then while a search for orphans reads and hashes 10 GB.
func hashing(ctx context.Context, s *suite) (err error) {
	t, err := s.start(ctx, armDaemon())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	plan := load.Plan{
		Rate: either(s, 5.0, 10), Calls: either(s, 600, 30), Talk: either(s, 5*time.Second, 2*time.Second), CalleeTone: toneTime,
	}
	alone, err := s.attachTimes(ctx, t, plan)
	if err != nil {
		return err
	}
	finish, err := s.startHashing(ctx, t)
	if err != nil {
		return err
	}
	plan.Calls = either(s, 1500, 30) // in which 10 GB are read
	with, err := s.attachTimes(ctx, t, plan)
	note, ended := finish()
	if err := errors.Join(err, ended); err != nil {
		return err
	}
	add := func(f Figure) { f.Group, f.N, f.Note = "hashing", len(with), note; s.add(f) }
	add(Figure{Name: "answer to recorder attached, median, while files are hashed", Value: median(with), Unit: "ms"}.
		against(median(alone), "without"))
	p99 := Figure{Name: "answer to recorder attached, p99, while files are hashed", Value: quantile(with, 0.99), Unit: "ms"}.
		against(quantile(alone, 0.99), "without")
	add(p99.bar("≤ 1.2 × without", p99.Ratio <= 1.2))
	return nil
}

// attachTimes places calls and returns how long each waited for its recorder.
func (s *suite) attachTimes(ctx context.Context, t *site, plan load.Plan) ([]float64, error) {
	u, err := s.measure(ctx, t, plan)
	if err != nil {
		return nil, err
	}
	list, err := t.recordings(ctx)
	if err != nil {
		return nil, err
	}
	var out []float64
	for _, c := range u.calls {
		r, ok := list[c.Exten]
		if !ok || r.state != "ready" {
			return nil, fmt.Errorf("call %s has no ready recording", c.Exten)
		}
		out = append(out, millis(r.started.Sub(r.bridged)))
	}
	return out, nil
}

// startHashing has the daemon read files that no recording knows, again and
// again until finish is called.
func (s *suite) startHashing(ctx context.Context, t *site) (finish func() (string, error), err error) {
	const each = 100 << 20
	files := either(s, 100, 2)
	if err := t.strangers(files, each); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	var searches int
	var took time.Duration
	var failure error
	wg.Go(func() {
		for ctx.Err() == nil {
			begun := time.Now()
			err := t.ctl.Do(ctx, "POST", "orphans", map[string]string{"mode": "adopt"}, nil)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				failure = fmt.Errorf("search for orphans: %w", err)
				return
			}
			searches++
			took += time.Since(begun)
		}
	})
	return func() (string, error) {
		cancel()
		wg.Wait()
		note := fmt.Sprintf("%d files of %d MB, sparse, read %d times", files, each>>20, searches)
		if searches > 0 {
			note += fmt.Sprintf(", %.0f s each time", took.Seconds()/float64(searches))
		}
		return note, failure
	}, nil
}

// strangers makes files that no recording knows. They take no room on the disk.
func (t *site) strangers(n int, size int64) error {
	list, err := filepath.Glob(filepath.Join(t.child.cfg.Recordings.Root, "*", "monitor"))
	if err != nil || len(list) == 0 {
		return errors.Join(errors.New("there is no folder of recordings"), err)
	}
	head := make([]byte, 44)
	copy(head, "RIFF")
	binary.LittleEndian.PutUint32(head[4:], uint32(size-8))
	copy(head[8:], "WAVEfmt ")
	binary.LittleEndian.PutUint32(head[16:], 16)
	binary.LittleEndian.PutUint16(head[20:], 1)
	binary.LittleEndian.PutUint16(head[22:], 1)
	binary.LittleEndian.PutUint32(head[24:], 8000)
	binary.LittleEndian.PutUint32(head[28:], 16000)
	binary.LittleEndian.PutUint16(head[32:], 2)
	binary.LittleEndian.PutUint16(head[34:], 16)
	copy(head[36:], "data")
	binary.LittleEndian.PutUint32(head[40:], uint32(size-44))
	old := time.Now().Add(-time.Hour)
	for i := range n {
		path := filepath.Join(list[0], fmt.Sprintf("stranger-%03d.wav", i))
		err := os.WriteFile(path, head, 0o640)
		if err := errors.Join(err, os.Truncate(path, size), os.Chtimes(path, old, old)); err != nil {
			return fmt.Errorf("make a file to hash: %w", err)
		}
	}
	return nil
}
