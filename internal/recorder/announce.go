package recorder

import (
	"slices"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/call"
)

// The announcements of a tenant: docs/announcements.md says when they are
// played. A leg has been told that it is recorded until it is told, or could
// have been, that it is no longer: whoever is told once is not told again by a
// second wish, a continuation of the file or a transfer, and whoever comes later
// is.

// Announcements are the sounds of a tenant, empty if it has none.
type Announcements struct{ Start, Stop Sound }

// Occasion is what an announcement tells.
type Occasion string

// The occasions. A pause is told as an end and a resume as a start, as in Wazo
// (recording-rules 3.5): both are one to those who speak.
const (
	TellsStart Occasion = "start"
	TellsStop  Occasion = "stop"
)

// The kinds of events of announcements. Data is AnnouncementData.
const (
	EventAnnounced          = "announcement_begun"  // it is heard from then on
	EventAnnouncementEnded  = "announcement_ended"  // as a whole, or Detail says why not
	EventAnnouncementFailed = "announcement_failed" // not heard; Detail says why and what was instead
)

// AnnouncementData says which leg has heard what.
type AnnouncementData struct {
	Leg      string   `json:"leg"` // uniqueid
	UserUUID string   `json:"user_uuid,omitempty"`
	Endpoint string   `json:"endpoint,omitempty"`
	Occasion Occasion `json:"occasion"`
	Sound    Sound    `json:"sound"`
	Detail   string   `json:"detail,omitempty"`
}

// Announced tells what has become of an announcement on one of its legs.
type Announced struct {
	Tone   Tone
	Leg    string
	Kind   string // one of the events of announcements
	At     time.Time
	Detail string
}

// Whispered says that an announcement is no longer played to a leg, nor will be.
type Whispered struct{ Leg string }

func (Announced) input() {}
func (Whispered) input() {}

// announced logs what a leg has heard.
func (m *Machine) announced(in Announced) {
	party := dialplan.Party{}
	if i := slices.IndexFunc(in.Tone.Parties, func(p dialplan.Party) bool { return p.Leg == in.Leg }); i >= 0 {
		party = in.Tone.Parties[i]
	}
	m.emit(Log{Event{At: in.At, Kind: in.Kind, Recording: in.Tone.Recording, Call: in.Tone.Call, Data: AnnouncementData{
		Leg: in.Leg, UserUUID: party.UserUUID, Endpoint: party.Endpoint,
		Occasion: in.Tone.Occasion, Sound: in.Tone.Sound, Detail: in.Detail,
	}}})
}

// whispered lets the recorders of a leg be renewed again: what they have waited
// for is over sooner than it might have been. A beep may still follow. The end of
// an announcement that another one has replaced is not what they wait for.
func (m *Machine) whispered(now time.Time, leg string) {
	if m.spoken[leg]--; m.spoken[leg] > 0 {
		return
	}
	delete(m.spoken, leg)
	soon := now.Add(m.cfg.Tone)
	if until, ok := m.whispers[leg]; ok && until.After(soon) {
		m.whispers[leg] = soon
	}
	for _, r := range m.hooked(leg) {
		n := &r.renewal
		if n.why == RenewTone && n.at.After(soon) {
			n.at = soon
		}
		if n.tone.After(soon) {
			n.tone = soon
			m.steer(now, r)
		}
	}
}

// announcements are those of the tenant that the talk's last recording belongs to.
func (m *Machine) announcements(t *talk) Announcements {
	if m.cfg.Announcements == nil || t.tenant == "" {
		return Announcements{}
	}
	return m.cfg.Announcements(t.tenant)
}

// records notes that the talk is recorded, from now on or still.
func (t *talk) records(r *rec) {
	t.last, t.tenant, t.ended = r.UUID, r.TenantUUID, false
}

// toTell notes that the talk has something to tell, if it has: that somebody is
// recorded who has not been told, or that nobody is any more.
func (m *Machine) toTell(t *talk) {
	a := m.announcements(t)
	if len(t.claims) == 0 {
		if t.due = a.Stop != "" && t.ended; !t.due {
			m.untell(t.ids()...) // what begins here one day is news to all
		}
		return
	}
	t.due = a.Start != "" && slices.ContainsFunc(t.legs, func(l call.Leg) bool { return !m.told[l.ID] })
}

// tell plays what is true now to the legs: to each an announcement, if there is
// one that it has not heard, else the beep that a wish is answered with.
func (m *Machine) tell(now time.Time, t *talk, legs []string) {
	beep, a := t.beep, m.announcements(t)
	t.beep, t.due, t.ended = false, false, false
	tone := Tone{Legs: legs, Sound: Beep, Recording: t.last, Call: t.legs[0].ID, Parties: t.parties}
	if len(t.claims) == 0 || t.paused() {
		m.untell(legs...)
		tone.Occasion, tone.Replaces = TellsStop, true
		if a.Stop != "" {
			tone.Sound, tone.Else = a.Stop, Beep
		} else if !beep {
			return
		}
		m.tone(now, tone)
		return
	}
	var news, others []string
	for _, leg := range legs {
		if a.Start != "" && !m.told[leg] {
			news = append(news, leg)
			m.tellLeg(leg)
		} else {
			others = append(others, leg)
		}
	}
	if len(news) > 0 {
		first := tone
		first.Legs, first.Occasion, first.Sound, first.Else, first.Replaces = news, TellsStart, a.Start, Beep, true
		m.tone(now, first)
	}
	if beep && len(others) > 0 {
		// Without announcements of a start what sounds can only be that of an end.
		tone.Legs, tone.Occasion, tone.Replaces = others, TellsStart, a.Start == ""
		m.tone(now, tone)
	}
}

// moveTold: who was on the one leg is now on the other, where somebody else may
// have been until then.
func (m *Machine) moveTold(from, to string) {
	told := m.told[from]
	m.untell(from)
	if told {
		m.tellLeg(to)
		return
	}
	m.untell(to)
	for _, t := range m.talksOf(to) {
		m.toTell(t)
	}
}

func (m *Machine) tellLeg(leg string) {
	m.told[leg] = true
	m.touch(leg)
}

func (m *Machine) untell(legs ...string) {
	for _, leg := range legs {
		if m.told[leg] {
			delete(m.told, leg)
			m.touch(leg)
		}
	}
}
