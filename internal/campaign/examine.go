package campaign

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"callrecordd/internal/campaign/voice"
	"callrecordd/internal/lab"
)

// settleTime is how long all may take to come to rest after the last call, and
// restTime for how long nothing may change before it counts as rest.
const (
	settleTime = 2 * time.Minute
	restTime   = 20 * time.Second
)

// CDR is what is looked at of a line of `callrecordd cdr export`.
type CDR struct {
	ID         int64       `json:"id"`
	Start      time.Time   `json:"start"`
	End        *time.Time  `json:"end"`
	Answer     *time.Time  `json:"answer"`
	Status     string      `json:"call_status"`
	Exten      string      `json:"requested_extension"`
	Dialled    string      `json:"destination_extension"`
	Conversion string      `json:"conversation_id"`
	Recordings []Recording `json:"recordings"`
}

// Recording is one of a CDR.
type Recording struct {
	UUID  string `json:"uuid"`
	State string `json:"state"`
	Path  string `json:"path,omitempty"`
}

// open says whether the recording has not come to its end.
func (r Recording) open() bool {
	return slices.Contains([]string{"starting", "recording", "paused", "closing"}, r.State)
}

// readCDRs reads the export.
func readCDRs(text []byte) ([]CDR, error) {
	var out []CDR
	dec := json.NewDecoder(bytes.NewReader(text))
	for dec.More() {
		var c CDR
		if err := dec.Decode(&c); err != nil {
			return nil, fmt.Errorf("read the CDRs: %w", err)
		}
		out = append(out, c)
	}
	return out, nil
}

// number is the number of the CDR's call.
func (c CDR) number() (int, bool) {
	if n, ok := numberIn(c.Exten); ok {
		return n, true
	}
	return numberIn(c.Dialled)
}

// settle waits until nothing changes any more: every call that counts has its
// CDR and no recording is open, or nothing has moved for a while.
func (c *campaign) settle(ctx context.Context) ([]CDR, error) {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	if err := c.site.pbx.WaitIdle(ctx); err != nil {
		return nil, err
	}
	killed := c.killed()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var last string
	moved := time.Now()
	for {
		text, err := c.site.command(ctx, "cdr", "export")
		if err != nil {
			return nil, err
		}
		list, err := readCDRs(text)
		if err != nil {
			return nil, err
		}
		open, seen := 0, make(map[int]bool)
		for _, cdr := range list {
			if n, ok := cdr.number(); ok {
				seen[n] = true
			}
			for _, r := range cdr.Recordings {
				if r.open() {
					open++
				}
			}
		}
		lacking := 0
		for n, call := range c.calls {
			if ok, _ := counts(draw(c.opt.Seed, n), call, killed); ok && !seen[n] {
				lacking++
			}
		}
		now := fmt.Sprintf("%d CDRs, %d calls without one, %d recordings open", len(list), lacking, open)
		if lacking == 0 && open == 0 {
			return list, nil
		}
		if now != last {
			last, moved = now, time.Now()
		}
		if time.Since(moved) > restTime {
			c.say("nothing moves any more: %s", now)
			return list, nil
		}
		select {
		case <-ctx.Done():
			return list, fmt.Errorf("settle: %w: %s", ctx.Err(), now)
		case <-tick.C:
		}
	}
}

func (c *campaign) killed() []time.Time {
	var out []time.Time
	for _, in := range c.incidents {
		if !in.Killed.IsZero() {
			out = append(out, in.Killed)
		}
	}
	return out
}

// File is a recording's file, by what is heard in it.
type File struct {
	UUID   string        `json:"uuid"`
	Path   string        `json:"path"`
	Length time.Duration `json:"length"`
	Whose  *int          `json:"whose,omitempty"` // the call whose voices are in it, if that is sure
	frames voice.Recording
	fault  string
}

// listenToAll looks at every file in a tenant's folder of recordings.
func (c *campaign) listenToAll() (map[string]*File, error) {
	out := make(map[string]*File)
	listener := voice.NewListener()
	err := filepath.WalkDir(c.site.cfg.Recordings.Root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Base(filepath.Dir(path)) != "monitor" || filepath.Ext(path) != ".wav" {
			return err
		}
		f := &File{UUID: strings.TrimSuffix(d.Name(), ".wav"), Path: path}
		out[f.UUID] = f
		a, err := lab.ReadWAV(path)
		if err != nil {
			f.fault = err.Error()
			return nil
		}
		f.Length = a.Duration()
		f.frames = listener.Frames(a.Samples)
		if n, ok := f.frames.Whose(); ok {
			f.Whose = &n
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listen to the recordings: %w", err)
	}
	return out, nil
}

// examine compares everything when all is over.
func (c *campaign) examine(ctx context.Context) (Report, error) {
	cdrs, err := c.settle(ctx)
	if err != nil {
		return Report{}, err
	}
	files, err := c.listenToAll()
	if err != nil {
		return Report{}, err
	}
	c.say("%d CDRs, %d files; the audit looks at them", len(cdrs), len(files))
	verdicts, err := c.audit(ctx)
	if err != nil {
		return Report{}, err
	}
	r := compare(c.opt.Seed, c.calls, cdrs, files, verdicts, c.incidents)
	r.Begun, r.Ended = c.begun, time.Now()
	r.Asterisk = c.site.pbx.Install().Version
	for _, f := range faults() {
		r.Faults = append(r.Faults, FaultCount{f.name, f.about, count(c.incidents, f.name)})
	}
	r.Backup, err = c.checkBackups(ctx)
	return r, errors.Join(err, r.write(c.opt.Out))
}

func count(list []Incident, fault string) (n int) {
	for _, in := range list {
		if in.Fault == fault {
			n++
		}
	}
	return n
}
