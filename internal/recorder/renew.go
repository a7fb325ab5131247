package recorder

import (
	"slices"
	"time"

	"callrecordd/internal/call"
)

// A recorder drops what a new party says if its RTP sequence numbers are lower
// than those of the party before (asterisk#507): Asterisk keeps one list of
// recorders and whispers for a channel and, in it, the highest number it has
// seen, for as long as anything is in that list. Measured on 22.10.1: numbers
// are compared modulo 65536, and sounds and mixed audio count as 0. So when the
// others change the recorder is renewed: stopped, and after a moment, in which
// Asterisk gives up the list, followed by another one that appends to the same
// file. That loses 60 ms of audio (measured: 58 ms on average).

// renewal is what is known of the need for a new recorder.
type renewal struct {
	// heard are the names of the legs whose voices the recorder has had to do
	// with, by uniqueid; an empty one is not known. nil: nobody is known.
	heard map[string]string
	why   string    // wanted, for this reason
	at    time.Time // not before, since it could not be done
	tries int       // that could not be done
	tone  time.Time // a whisper keeps the list until then
}

// listen notes who is in the talk, and says whether that has changed. It has
// also if one of three has left: what a bridge mixes has numbers of its own.
func (n *renewal) listen(legs []call.Leg) (news bool) {
	now := make(map[string]string, len(legs))
	news = len(n.heard) > len(legs)
	for _, l := range legs {
		name, known := n.heard[l.ID]
		if !known || name != "" && name != l.Name {
			news = true
		}
		now[l.ID] = l.Name
	}
	n.heard = now
	return news
}

// recall takes those of a talk who are known to an adopted recording for those
// who were heard. A row that was lost knows the hooked leg only.
func (n *renewal) recall(known []string, legs []call.Leg) {
	n.heard = map[string]string{}
	for _, l := range legs {
		if slices.Contains(known, l.ID) {
			n.heard[l.ID] = ""
		}
	}
}

// movedTo: a masquerade takes the list along, and empties it.
func (n *renewal) movedTo(from, to string) {
	if n.heard != nil {
		delete(n.heard, from)
		n.heard[to] = ""
	}
}

// renew wants a new recorder. It comes at once, or when the recording has no
// other reason to be silent.
func (m *Machine) renew(now time.Time, r *rec, why string) { m.renewAt(now, r, why, now) }

func (m *Machine) renewAt(now time.Time, r *rec, why string, at time.Time) {
	if !r.active() || r.unsent {
		return // none runs
	}
	n := &r.renewal
	if n.why != "" && !r.cut && at.After(now) {
		return // sooner as it is
	}
	n.why, n.at, n.tries = why, at, 0
	m.steer(now, r)
}

// unheld renews the recorders that may lose the leg's voice. Asterisk tells of
// an unhold before a transfer too: then the talk is suspended a moment later.
func (m *Machine) unheld(now time.Time, leg string) {
	for _, t := range m.talksOf(leg) {
		if r := m.recs[t.current]; r != nil && r.Hook != leg {
			m.renewAt(now, r, RenewUnhold, now.Add(m.cfg.Hush))
		}
	}
}

// bridged renews the recorders of a leg's talk, because its voice takes another
// way now, and because of the sounds that Asterisk plays to who comes back from
// a transfer: they have the number 0, after which the upper half of all numbers
// counts as lower. When a recording begins Local channels are optimised away,
// which changes nothing.
func (m *Machine) bridged(now time.Time, leg string) {
	for _, t := range m.talksOf(leg) {
		r := m.recs[t.current]
		if r == nil || !r.appends && now.Sub(r.IntentAt) < call.Grace {
			continue
		}
		at := now.Add(m.cfg.Hush)
		if r.Hook == leg {
			at = now.Add(m.cfg.Tone)
		}
		m.renewAt(now, r, RenewMoved, at)
	}
}

// renewable says whether the recorder can be stopped for its renewal now. A
// mute under way is waited for: it must not meet the next recorder. So is a
// talk that is suspended: whoever comes next is new as well.
func (m *Machine) renewable(now time.Time, r *rec) bool {
	n := &r.renewal
	if n.why == "" || r.quiet() || !r.aloneAt.IsZero() || r.hanging || r.muting.open || m.blind {
		return false
	}
	at := n.at
	if n.tone.After(at) {
		at = n.tone
	}
	if now.Before(at) {
		r.again = at
		return false
	}
	return true
}

// goOn starts the recorder that goes on with a file closed for a while, unless
// there is something that is not to be recorded.
func (m *Machine) goOn(now time.Time, r *rec) {
	n := &r.renewal
	if r.quiet() || r.hanging {
		return
	}
	if at := r.cutAt.Add(m.cfg.Renew); n.why != "" && now.Before(at) {
		r.again = at
		return
	}
	r.cut, r.stopped, r.proved = false, false, false
	r.muting = muting{try: r.muting.try} // it is a new recorder
	r.startOpen, r.appends, r.deadline = true, true, now.Add(m.cfg.Answer)
	m.emit(Start{Row: r.snapshot(), Append: true})
	if n.why == "" {
		return
	}
	m.log(now, EventRenewed, r, Note{State: r.State, Hook: r.Hook, Why: n.why})
	n.tries = 0
	if !now.Before(n.tone) && !now.Before(n.at) {
		n.why = "" // else a sound has been there meanwhile: once more after it
	}
}

// renewFailed: the recorder runs on as it was, and its renewal is tried again.
// One that may have been stopped is given up for another one.
func (m *Machine) renewFailed(now time.Time, r *rec, in StopFailed) {
	n := &r.renewal
	if in.Cause == CauseTimeout {
		if r.quiet() {
			m.muteLast(r)
		}
		t := m.talks[r.talk]
		m.leave(r)
		m.close(now, r, "renew_failed")
		if t != nil && t.current == "" {
			m.ensure(now, t)
		}
		return
	}
	n.tries++
	n.at = now.Add(m.patience(m.cfg.StopRetry, n.tries))
	m.emit(m.proof(now, r)) // the stop has ended the watch
	m.steer(now, r)
}

// attend mutes the recorder of a talk that is suspended, a little later: when
// one party hangs up the other is gone 3 ms later (measured on Asterisk 22, on a
// busy machine), and the end of a call costs nothing. What the hooked leg hears after it, such as music or a
// menu, is not in the file. When the talk goes on the recorder hears again.
func (m *Machine) attend(now time.Time, t *talk, r *rec) {
	switch {
	case !r.active():
		return
	case !t.suspended:
		r.alone, r.aloneAt = false, time.Time{}
	case !r.alone && r.aloneAt.IsZero():
		r.aloneAt = now.Add(m.cfg.Hush)
	}
	m.steer(now, r)
}

// hush is attend's later.
func (m *Machine) hush(now time.Time, r *rec) {
	if !r.active() || r.gone || r.hanging {
		return // it ends by itself
	}
	r.alone = true
	m.log(now, EventHushed, r, Note{State: r.State, Hook: r.Hook})
	m.steer(now, r)
}
