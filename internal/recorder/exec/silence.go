package exec

import (
	"fmt"
	"os"
	"time"

	"callrecordd/internal/audio"
	"callrecordd/internal/recorder"
)

// pauseGuard is not looked at on either edge of a pause. Measured on Asterisk 22:
// the answer to a mute comes 1.4 to 4.3 ms after the press, and the silence's
// edges lie between 6 ms before and 11 ms after where the clock says. The rest
// is for the frames of 20 ms that a recorder has taken from the channel and not
// written yet. Where the answer takes longer, silence is due from its time on.
const pauseGuard = 60 * time.Millisecond

// window is where a pause is in a file, in samples from its beginning.
type window struct {
	from, to int64 // by the clock, without the guards
	lag      int64 // how much earlier it may be: nothing was written for so long
	lead     int64 // how much later: the answer to the start took so long
	lacks    int64 // how much shorter than the clock the file is
	loudest  int   // between from and to
	run      int64 // longest run of zeros between from-lag and to+lead
}

// silences measures each pause of a file: is every sample zero from when the mute
// was confirmed, or if that is not known from when it was asked for, and if not,
// how loud is the loudest. A file may be shorter than the clock, because nothing
// is written while nobody sends (facts 1). So the pause is either where the clock
// says, or it is a run of zeros somewhat before. If the run is shorter than the
// pause by no more than what the file lacks nobody can tell.
func (f files) silences(row recorder.Recording, samples int64, rate int) ([]recorder.Pause, error) {
	out := append([]recorder.Pause(nil), row.Pauses...)
	windows := windows(row, samples, rate)
	guard := int64(pauseGuard.Milliseconds()) * int64(rate) / 1000
	if err := f.look(row, windows); err != nil {
		return nil, err
	}
	for i := range out {
		p, w := &out[i], windows[i]
		whole := w.to - w.from
		switch {
		case p.Cut:
			p.Silence = recorder.CutOut
		case row.StartedAt.IsZero() || rate == 0 || w.to <= w.from:
			p.Silence = recorder.Unchecked
		case w.loudest == 0 && w.lacks <= guard, w.run >= whole-min(max(0, w.lacks-guard), guard):
			p.Silence = recorder.Silent
		case w.lacks > guard && w.run >= whole-w.lacks:
			// Perhaps nothing was sent in the pause either, perhaps a word was.
			p.Silence = recorder.Unchecked
		default:
			p.Silence, p.Loudest = recorder.NotSilent, max(w.loudest, 1)
		}
	}
	return out, nil
}

// windows computes where the pauses are by the clock.
func windows(row recorder.Recording, samples int64, rate int) []window {
	count := func(d time.Duration) int64 { return int64(d) / 1e6 * int64(rate) / 1000 }
	whole := count(row.EndedAt.Sub(row.StartedAt) - cutTime(row))
	lag, lead := max(0, whole-samples), max(0, samples-whole)
	slack := count(pauseGuard) / 2
	out := make([]window, len(row.Pauses))
	var cut time.Duration
	for i, p := range row.Pauses {
		if p.Cut {
			cut += length(row, p)
			continue
		}
		begin := p.From
		if p.Muted.After(begin) {
			begin = p.Muted
		}
		from := max(0, begin.Sub(row.StartedAt)-cut)
		to := max(0, p.To.Sub(row.StartedAt)-cut)
		end := min(count(to-pauseGuard), samples)
		if i == len(row.Pauses)-1 && !p.To.Before(row.EndedAt) {
			// It lasted to the end, and a stop that did not work at once has
			// left more in the file than the clock says.
			end = max(end, samples-count(pauseGuard))
		}
		out[i] = window{from: count(from + pauseGuard), to: end, lag: lag + slack, lead: lead + slack, lacks: lag}
	}
	return out
}

// length is how long a pause took of the recording's time.
func length(row recorder.Recording, p recorder.Pause) time.Duration {
	from, to := p.From, p.To
	if from.Before(row.StartedAt) {
		from = row.StartedAt
	}
	if to.IsZero() || to.After(row.EndedAt) {
		to = row.EndedAt
	}
	return max(0, to.Sub(from))
}

// cutTime is how much of the recording's time was cut out of its file.
func cutTime(row recorder.Recording) (sum time.Duration) {
	for _, p := range row.Pauses {
		if p.Cut {
			sum += length(row, p)
		}
	}
	return sum
}

// look reads the file once for all windows.
func (f files) look(row recorder.Recording, windows []window) error {
	runs := make([]int64, len(windows))
	hear := func(at int64, s int16) {
		for i := range windows {
			w := &windows[i]
			if at >= w.from && at < w.to {
				w.loudest = max(w.loudest, abs(s))
			}
			if s != 0 || at < w.from-w.lag || at >= w.to+w.lead {
				runs[i] = 0
				continue
			}
			runs[i]++
			w.run = max(w.run, runs[i])
		}
	}
	return f.read(row, func(_ *os.Root, file *os.File) error {
		if err := audio.Samples(file, hear); err != nil {
			return fmt.Errorf("read pauses: %w", err)
		}
		return nil
	})
}

func abs(s int16) int {
	if s < 0 {
		return -int(s)
	}
	return int(s)
}
