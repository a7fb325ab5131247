package campaign

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// fault is something that goes wrong, and is mended.
type fault struct {
	name, about string
	// deaf: while it lasts a press of *3 may not be noticed, and nobody can
	// know of it afterwards.
	deaf bool
	do   func(ctx context.Context, s *site, r *rand.Rand, in *Incident) error
}

// Incident is a fault that happened.
type Incident struct {
	Fault string    `json:"fault"`
	At    time.Time `json:"at"`
	Until time.Time `json:"until"` // mended
	// Ready is when the daemon said that all is well again.
	Ready time.Time `json:"ready"`
	// Killed is when Asterisk got SIGKILL.
	Killed time.Time `json:"killed,omitzero"`
	Detail string    `json:"detail,omitempty"`
	deaf   bool
}

// floodEvents are sent at once or that many a second; floodTime is how long they
// may take.
const (
	floodEvents = 100_000
	floodRate   = 30_000
	floodTime   = 15 * time.Second
)

// digestTime is how long the daemon may take to find that it was too much: until
// then it says that it is ready.
const digestTime = 2 * time.Second

// faults are all there are, in the order in which a short campaign has them.
func faults() []fault {
	return []fault{
		{"daemon-kill", "SIGKILL of the daemon, start again after up to 3 s", true, killDaemon},
		{"daemon-stop", "SIGTERM of the daemon, start again after up to 3 s", true, stopDaemon},
		{"daemon-freeze", "SIGSTOP of the daemon for 1 to 4 s", true, freezeDaemon},
		{"asterisk-kill", "SIGKILL of Asterisk, start again after up to a second", true, killAsterisk},
		{"asterisk-stop", "SIGTERM of Asterisk, which hangs up all calls, and start again", true, stopAsterisk},
		{"asterisk-freeze", "SIGSTOP of Asterisk for 0.3 to 1.5 s", true, freezeAsterisk},
		{"ari-stall", "nothing comes through ARI's connections for 0.5 to 4 s", true, stall("ARI")},
		{"ari-cut", "ARI's connections end and none comes about for 0.5 to 3 s", true, cut("ARI")},
		{"ami-stall", "nothing comes through the manager's connection for 0.5 to 4 s", true, stall("AMI")},
		{"ami-cut", "the manager's connection ends and none comes about for 0.5 to 3 s", true, cut("AMI")},
		{"disk-full", "the disk of the recordings is full for 1.5 to 3 s", true, fillDisk},
		{"no-permission", "nobody may make files in the tenant's folder for 1.5 to 3 s", true, takePermission},
		{"journal-tail", "SIGKILL of Asterisk and daemon, and the last write to the journal is torn", true, tearJournal},
		{"slow-fsync", "what the daemon's database has synced takes up to 500 ms, for 3 s", true, slowSync},
		{"event-flood", fmt.Sprintf("%d events through ARI's websocket, at once or within 3 s", floodEvents), true, flood},
	}
}

// between is a duration that is drawn.
func between(r *rand.Rand, from, to time.Duration) time.Duration {
	return from + time.Duration(r.Int64N(int64(to-from)))
}

const ms = time.Millisecond

func killDaemon(ctx context.Context, s *site, r *rand.Rand, in *Incident) error {
	return restartDaemon(ctx, s, r, in, syscall.SIGKILL)
}

func stopDaemon(ctx context.Context, s *site, r *rand.Rand, in *Incident) error {
	return restartDaemon(ctx, s, r, in, syscall.SIGTERM)
}

func restartDaemon(ctx context.Context, s *site, r *rand.Rand, in *Incident, sig syscall.Signal) error {
	away := between(r, 50*ms, 3000*ms)
	err := s.endDaemon(sig)
	in.Detail = fmt.Sprintf("away for %s", away.Round(ms))
	wait(ctx, away)
	return errors.Join(err, s.startDaemon())
}

func freezeDaemon(ctx context.Context, s *site, r *rand.Rand, in *Incident) error {
	away := between(r, 1000*ms, 4000*ms)
	in.Detail = fmt.Sprintf("for %s", away.Round(ms))
	s.signalDaemon(syscall.SIGSTOP)
	defer s.signalDaemon(syscall.SIGCONT)
	wait(ctx, away)
	return nil
}

func killAsterisk(ctx context.Context, s *site, r *rand.Rand, in *Incident) error {
	in.Killed = time.Now()
	if err := s.pbx.Kill(); err != nil {
		return err
	}
	s.phones.Hush()
	wait(ctx, between(r, 0, 1000*ms))
	return s.pbx.Restart(ctx)
}

func stopAsterisk(ctx context.Context, s *site, _ *rand.Rand, _ *Incident) error {
	err := s.pbx.Restart(ctx)
	s.phones.Hush()
	return err
}

func freezeAsterisk(ctx context.Context, s *site, r *rand.Rand, in *Incident) error {
	away := between(r, 300*ms, 1500*ms)
	in.Detail = fmt.Sprintf("for %s", away.Round(ms))
	if err := syscall.Kill(s.pbx.PID(), syscall.SIGSTOP); err != nil {
		return fmt.Errorf("freeze Asterisk: %w", err)
	}
	wait(ctx, away)
	if err := syscall.Kill(s.pbx.PID(), syscall.SIGCONT); err != nil {
		return fmt.Errorf("let Asterisk go on: %w", err)
	}
	return nil
}

func stall(what string) func(context.Context, *site, *rand.Rand, *Incident) error {
	return func(ctx context.Context, s *site, r *rand.Rand, in *Incident) error {
		p := s.ari
		if what == "AMI" {
			p = s.ami
		}
		away := between(r, 500*ms, 4000*ms)
		in.Detail = fmt.Sprintf("for %s", away.Round(ms))
		p.Stall(true)
		defer p.Stall(false)
		wait(ctx, away)
		return nil
	}
}

func cut(what string) func(context.Context, *site, *rand.Rand, *Incident) error {
	return func(ctx context.Context, s *site, r *rand.Rand, in *Incident) error {
		p := s.ari
		if what == "AMI" {
			p = s.ami
		}
		away := between(r, 500*ms, 3000*ms)
		in.Detail = fmt.Sprintf("for %s", away.Round(ms))
		p.Cut()
		defer p.Restore()
		wait(ctx, away)
		return nil
	}
}

func fillDisk(ctx context.Context, s *site, r *rand.Rand, in *Incident) error {
	away := between(r, 1500*ms, 3000*ms)
	in.Detail = fmt.Sprintf("for %s", away.Round(ms))
	name := filepath.Join(s.cfg.Recordings.Root, "filler")
	f, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("fill the disk: %w", err)
	}
	defer func() { _ = os.Remove(name) }() // an error would be seen: the disk stays full
	defer f.Close()
	size := int64(0)
	for step := int64(64 << 20); step >= 4096; {
		if err := syscall.Fallocate(int(f.Fd()), 0, size, step); err == nil {
			size += step
		} else if errors.Is(err, syscall.ENOSPC) {
			step /= 2
		} else {
			return fmt.Errorf("fill the disk: %w", err)
		}
	}
	// What is freed meanwhile is taken as well.
	full, cancel := context.WithTimeout(ctx, away)
	defer cancel()
	tick := time.NewTicker(100 * ms)
	defer tick.Stop()
	for full.Err() == nil {
		for syscall.Fallocate(int(f.Fd()), 0, size, 4096) == nil {
			size += 4096
		}
		select {
		case <-full.Done():
		case <-tick.C:
		}
	}
	return nil
}

func takePermission(ctx context.Context, s *site, r *rand.Rand, in *Incident) error {
	away := between(r, 1500*ms, 3000*ms)
	in.Detail = fmt.Sprintf("for %s", away.Round(ms))
	dir := s.recordings()
	before, err := os.Stat(dir)
	if err == nil {
		err = os.Chmod(dir, 0o550)
	}
	if err != nil {
		return fmt.Errorf("take the permission away: %w", err)
	}
	if f, err := os.CreateTemp(dir, "probe"); err == nil {
		_ = f.Close()
		return errors.Join(errors.New("take the permission away: files can be made all the same"), os.Remove(f.Name()))
	}
	wait(ctx, away)
	if err := os.Chmod(dir, before.Mode()); err != nil {
		return fmt.Errorf("give the permission back: %w", err)
	}
	return nil
}

// tearJournal is a power cut as far as the journal sees it: whoever has it open
// dies, and of the last write only a part has reached the disk.
func tearJournal(ctx context.Context, s *site, r *rand.Rand, in *Incident) error {
	err := s.endDaemon(syscall.SIGKILL)
	in.Killed = time.Now()
	err = errors.Join(err, s.pbx.Kill())
	s.phones.Hush()
	detail, torn := tear(s.pbx.JournalPath+"-wal", r)
	in.Detail = detail
	return errors.Join(err, torn, s.pbx.Restart(ctx), s.startDaemon())
}

func slowSync(ctx context.Context, s *site, _ *rand.Rand, _ *Incident) error {
	if err := s.disk.Slow(500 * ms); err != nil {
		return err
	}
	wait(ctx, 3*time.Second)
	return s.disk.Slow(0)
}

// flood sends events that are well-formed and nobody's.
func flood(ctx context.Context, s *site, r *rand.Rand, in *Incident) error {
	ctx, cancel := context.WithTimeout(ctx, floodTime)
	defer cancel()
	text := `{"type":"ChannelUserevent","application":"` + s.cfg.Asterisk.App + `","timestamp":"` +
		time.Now().Format("2006-01-02T15:04:05.000-0700") + `","eventname":"Flood","userevent":{"eventname":"Flood","text":"` +
		"of events that nobody has asked for" + `"},"asterisk_id":"00:00:00:00:00:00"}`
	begun := time.Now()
	n, err := s.ari.Flood(ctx, []byte(text), floodEvents, []int{0, floodRate}[r.IntN(2)])
	in.Detail = fmt.Sprintf("%d events within %s", n, time.Since(begun).Round(ms))
	if n < floodEvents && err != nil {
		in.Detail += ": " + err.Error() // that it is shown the door is an answer, too
	}
	wait(ctx, digestTime)
	return nil
}
