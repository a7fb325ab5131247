package recorder

import "time"

// Silence is what was found in the file where a pause is.
type Silence string

// What can be found. Unchecked: the pause was too short or over before it was
// muted, or the file too much shorter than its time to know where in it it is.
const (
	Silent    Silence = "silent"     // every sample is zero, from Muted on
	NotSilent Silence = "not_silent" // Loudest is not
	CutOut    Silence = "cut"        // no recorder ran
	Unchecked Silence = "unchecked"
)

// lateMute is from when on it is worth a word that a pause began so late: who
// does not wait for the beep has said something by then.
const lateMute = 500 * time.Millisecond

// muteTook is how long a pause was asked for, and its recorder there, before it
// was silent.
func (r *rec) muteTook(p Pause) time.Duration {
	from := p.From
	if from.Before(r.StartedAt) {
		from = r.StartedAt
	}
	return max(0, p.Muted.Sub(from))
}

func (r *rec) mutedAfter(p Pause) string {
	took := r.muteTook(p).Round(time.Millisecond).String()
	if p.Muted.Equal(p.To) {
		return "resumed " + took + " after it was asked for, and not muted by then"
	}
	return "muted " + took + " after it was asked for"
}

// listened takes over what exec found in the closed file.
func (m *Machine) listened(now time.Time, r *rec, found []Pause) {
	for _, f := range found {
		for i := range r.Pauses {
			p := &r.Pauses[i]
			if !p.From.Equal(f.From) {
				continue
			}
			p.UUID, p.Silence, p.Loudest = r.UUID, f.Silence, f.Loudest
			m.emit(*p)
			m.judge(now, r, *p)
		}
	}
}

// judge says what is wrong with a pause. Sound from before the mute was confirmed
// is none of it: nobody had heard the beep yet.
func (m *Machine) judge(now time.Time, r *rec, p Pause) {
	late := r.muteTook(p) > lateMute && !p.Cut
	if late {
		p.Detail = r.mutedAfter(p)
	}
	switch {
	case p.Silence == NotSilent:
		m.logPause(now, EventNotSilent, r, p)
		detail := "words may be on file that were said in a pause"
		if late {
			detail += " (" + p.Detail + ")"
		}
		m.emit(Alarm{Recording: r.UUID, Cause: EventNotSilent, Detail: detail})
	case late:
		m.logPause(now, EventMutedLate, r, p)
	}
}
