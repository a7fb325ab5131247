package app

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"callrecordd/config"
	"callrecordd/internal/alarm"
	"callrecordd/internal/space"
)

// spaceEvery is how often disks are looked at.
const spaceEvery = 5 * time.Second

// DiskStatus is how full a disk is.
type DiskStatus struct {
	// Path is a folder on it, For what the daemon or Asterisk keeps there.
	Path string `json:"path"`
	For  string `json:"for"`
	// Free and Total are bytes.
	Free    uint64  `json:"free"`
	Total   uint64  `json:"total"`
	Percent float64 `json:"free_percent"`
	// HoursLeft is how long it lasts at the present rate; nil if nothing is written.
	HoursLeft *float64 `json:"hours_left"`
	// Rate is how much recordings write there, in bytes per second, smoothed.
	Rate  float64     `json:"bytes_per_second"`
	Level space.Level `json:"level"` // 0 enough, 1 low, 2 critical
	// Wrong is why it could not be looked at, empty if it could.
	Wrong string `json:"wrong,omitempty"`
}

// disks looks at the disks that calls depend on.
type disks struct {
	statfs func(path string) (u space.Usage, device uint64, err error)

	mu   sync.Mutex
	rate space.Rate
	list []DiskStatus
	busy map[string]bool // looks that have not returned
}

func newDisks() *disks { return &disks{statfs: statfs, busy: map[string]bool{}} }

func statfs(path string) (space.Usage, uint64, error) {
	var s syscall.Statfs_t
	var f syscall.Stat_t
	if err := syscall.Statfs(path, &s); err != nil {
		return space.Usage{}, 0, fmt.Errorf("look at the disk of %s: %w", path, err)
	}
	if err := syscall.Stat(path, &f); err != nil {
		return space.Usage{}, 0, fmt.Errorf("look at %s: %w", path, err)
	}
	block := uint64(max(1, s.Bsize))
	// What is kept for root is not there for us.
	used := s.Blocks - s.Bfree
	return space.Usage{Total: (used + s.Bavail) * block, Free: s.Bavail * block}, f.Dev, nil
}

// place is a folder whose disk is looked at. Only records says that recordings
// are written there.
type watchedDisk struct {
	path, use string
	records   bool
}

func watchedDisks(c config.Config) []watchedDisk {
	return []watchedDisk{
		{c.Recordings.Root, "recordings", true},
		{c.State.Dir, "state", false},
		{filepath.Dir(c.Asterisk.Journal), "journal", false},
	}
}

// status is what the last look has shown.
func (d *disks) status() []DiskStatus {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.list)
}

// look looks at all disks; two folders on one are told once. A disk that does
// not answer holds up nobody: a look that hangs goes on alone, and there is no
// other at that disk until it returns.
func (d *disks) look(now time.Time, bytesPerSecond float64, places []watchedDisk, limits space.Limits) []DiskStatus {
	d.mu.Lock()
	d.rate.Add(now, bytesPerSecond)
	rate := d.rate.Value()
	before := map[string]space.Level{}
	for _, s := range d.list {
		before[s.Path] = s.Level
	}
	d.mu.Unlock()
	var out []DiskStatus
	seen := map[uint64]bool{}
	for _, p := range places {
		s := DiskStatus{Path: p.path, For: p.use, Level: before[p.path]}
		u, device, err := d.bounded(p.path)
		switch {
		case err != nil:
			s.Wrong = err.Error()
			out = append(out, s)
			continue
		case seen[device]:
			continue
		}
		seen[device] = true
		hours := math.Inf(1)
		if p.records {
			s.Rate = rate
			hours = space.HoursLeft(u, rate)
		}
		if !math.IsInf(hours, 1) {
			s.HoursLeft = &hours
		}
		s.Free, s.Total, s.Percent, s.Level = u.Free, u.Total, u.Percent(), limits.Level(u, hours, s.Level)
		out = append(out, s)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list = out
	return slices.Clone(out)
}

func (d *disks) bounded(path string) (space.Usage, uint64, error) {
	type answer struct {
		u      space.Usage
		device uint64
		err    error
	}
	hangs := fmt.Errorf("look at the disk of %s: %w", path, errDiskHangs)
	d.mu.Lock()
	busy := d.busy[path]
	d.busy[path] = true
	d.mu.Unlock()
	if busy {
		return space.Usage{}, 0, hangs
	}
	done := make(chan answer, 1)
	go func() {
		u, device, err := d.statfs(path)
		d.mu.Lock()
		delete(d.busy, path)
		d.mu.Unlock()
		done <- answer{u, device, err}
	}()
	timer := time.NewTimer(diskTime)
	defer timer.Stop()
	select {
	case a := <-done:
		return a.u, a.device, a.err
	case <-timer.C:
		return space.Usage{}, 0, hangs
	}
}

// startSpace looks at the disks every now and then.
func (a *App) startSpace() {
	a.stack.goStep("space on disks", a.failed, func(ctx context.Context) error {
		tick := time.NewTicker(spaceEvery)
		defer tick.Stop()
		for {
			a.lookAtDisks()
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
		}
	})
}

func (a *App) lookAtDisks() {
	c := a.config.Load().Alarms
	limits := space.Limits{
		LowPercent: float64(c.DiskLowPercent), CriticalPercent: float64(c.DiskCriticalPercent),
		LowHours: c.DiskLowTime.Hours(), CriticalHours: c.DiskCriticalTime.Hours(),
	}
	for _, s := range a.disks.look(a.opt.Now(), a.growth().BytesPerSecond, watchedDisks(a.opt.Config), limits) {
		if s.Wrong != "" {
			continue // that it is not there, or hangs, is told by others
		}
		hours := math.Inf(1)
		if s.HoursLeft != nil {
			hours = *s.HoursLeft
		}
		text := fmt.Sprintf("%s (%s): %s", s.Path, s.For, space.Tell(space.Usage{Total: s.Total, Free: s.Free}, hours))
		say := func(on bool) string {
			if on {
				return text
			}
			return ""
		}
		a.alarms.State(alarm.DiskLow, s.Path, say(s.Level == space.Low))
		a.alarms.State(alarm.DiskCritical, s.Path, say(s.Level == space.Critical))
	}
}
