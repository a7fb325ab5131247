package audit

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The events of the daemon's own life, of which outages are made.
const (
	EventDaemonStarted  = "daemon_started"
	EventDaemonStopped  = "daemon_stopped"
	EventAsteriskSeen   = "asterisk_seen"   // Data is Seen
	EventAsteriskUnseen = "asterisk_unseen" // Data is Unseen
	EventManagerSeen    = "manager_seen"
	EventManagerUnseen  = "manager_unseen" // Data is Unseen
	EventJournalGap     = "journal_gap"
	EventClockJumped    = "clock_jumped"
	EventJournalStalled = "journal_stalled"
	EventJournalResumed = "journal_resumed"
	EventAlarmRaised    = "alarm_raised"
	EventAlarmCleared   = "alarm_cleared"
	EventFinished       = "audit_finished" // Data is Sum

	EventAsteriskStalled = "asterisk_stalled" // Data is Stalled
)

// OutageKinds are the events of which outages are made, as the database's index
// has them (migration 00015).
func OutageKinds() []string {
	return []string{
		EventDaemonStarted, EventDaemonStopped, EventAsteriskSeen, EventAsteriskUnseen, EventManagerSeen, EventManagerUnseen,
		EventJournalGap, EventJournalStalled, EventJournalResumed, EventClockJumped, EventAlarmRaised, EventAlarmCleared,
		EventAsteriskStalled,
	}
}

// Stalled is the data of EventAsteriskStalled.
type Stalled struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// Started is the data of EventDaemonStarted.
type Started struct {
	Version string `json:"version"`
	// Alive is when the daemon before was alive last, as far as it has noted that.
	Alive time.Time `json:"alive,omitzero"`
}

// Seen is the data of EventAsteriskSeen.
type Seen struct {
	Boot time.Time `json:"boot"` // when Asterisk was started
}

// Unseen is the data of events that something is away.
type Unseen struct {
	Detail string `json:"detail,omitempty"`
}

// alarm is what is read of an alarm's data, whatever else it has.
type alarm struct {
	Kind    string    `json:"kind"`
	Subject string    `json:"subject"`
	Since   time.Time `json:"since"`
	Detail  string    `json:"detail"`
}

// jump is what is read of a step of the clock.
type jump struct {
	From    time.Time `json:"from"`
	Seconds float64   `json:"seconds"`
}

// Outages makes outages of the events of a period, which are in order. alive is
// when the last event before one was stored: a daemon that was killed cannot say
// when. It is zero for the first start ever.
func Outages(events []Event, alive func(id int64) (time.Time, error)) ([]Outage, error) {
	l := life{open: map[string]int{}}
	for _, e := range events {
		if err := l.step(e, alive); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(l.out, func(a, b Outage) int { return a.From.Compare(b.From) })
	return l.out, nil
}

// life is the daemon's life as far as it is read.
type life struct {
	out     []Outage
	open    map[string]int // outages that last, by what is away
	stopped bool           // in order
	boot    time.Time      // of the Asterisk that was seen last
}

func (l *life) begin(key string, o Outage) {
	if _, lasts := l.open[key]; !lasts {
		l.open[key] = len(l.out)
		l.out = append(l.out, o)
	}
}

func (l *life) end(key string, at time.Time) (*Outage, bool) {
	i, lasts := l.open[key]
	if !lasts {
		return nil, false
	}
	delete(l.open, key)
	l.out[i].To = at
	return &l.out[i], true
}

func (l *life) step(e Event, alive func(int64) (time.Time, error)) error {
	var unseen Unseen
	_ = json.Unmarshal(e.Data, &unseen) // the detail is for people only
	switch e.Kind {
	case EventDaemonStopped:
		l.stopped = true
		l.begin(string(DaemonDown), Outage{Kind: DaemonDown, From: e.At, Event: e.ID, Detail: "it was stopped"})
		l.begin(string(EventsGone), Outage{Kind: EventsGone, From: e.At, Event: e.ID})
	case EventDaemonStarted:
		return l.start(e, alive)
	case EventAsteriskUnseen:
		l.begin(string(EventsGone), Outage{Kind: EventsGone, From: e.At, Event: e.ID, Detail: unseen.Detail})
	case EventAsteriskSeen:
		l.seen(e)
	case EventManagerUnseen:
		l.begin(string(ManagerGone), Outage{Kind: ManagerGone, From: e.At, Event: e.ID, Detail: unseen.Detail})
	case EventManagerSeen:
		l.end(string(ManagerGone), e.At)
	case EventJournalGap:
		l.out = append(l.out, Outage{Kind: JournalGap, From: e.At, To: e.At.Add(time.Second), Event: e.ID})
	case EventAsteriskStalled:
		var s Stalled
		_ = json.Unmarshal(e.Data, &s) // without times it cuts nothing
		l.out = append(l.out, Outage{Kind: AsteriskStalled, From: s.From, To: s.To, Event: e.ID})
	case EventClockJumped:
		l.out = append(l.out, jumped(e))
	case EventJournalStalled:
		l.begin(string(JournalGap), Outage{Kind: JournalGap, From: e.At, Event: e.ID, Detail: "Asterisk did not write it"})
	case EventJournalResumed:
		l.end(string(JournalGap), e.At)
	case EventAlarmRaised, EventAlarmCleared:
		l.alarm(e)
	}
	return nil
}

func (l *life) start(e Event, alive func(int64) (time.Time, error)) error {
	if !l.stopped {
		at, err := alive(e.ID)
		if err != nil {
			return err
		}
		var s Started
		_ = json.Unmarshal(e.Data, &s) // without it the last event counts
		if at = later(at, s.Alive); !at.IsZero() && at.Before(e.At) {
			l.begin(string(DaemonDown), Outage{Kind: DaemonDown, From: at, Event: e.ID, Unsure: true, Detail: "it was not stopped in order"})
			l.begin(string(EventsGone), Outage{Kind: EventsGone, From: at, Event: e.ID, Unsure: true})
		}
		l.end(string(ManagerGone), e.At)
	}
	l.end(string(DaemonDown), e.At)
	l.stopped = false
	// What the one before has raised nobody clears; if it lasts it is raised anew.
	for key := range l.open {
		if key == string(JournalGap) || strings.HasPrefix(key, alarmKey) {
			l.end(key, e.At)
		}
	}
	return nil
}

// seen ends the time without events. If another Asterisk is there the old one's
// calls ended in it.
func (l *life) seen(e Event) {
	var s Seen
	_ = json.Unmarshal(e.Data, &s) // without it only the restart is not known
	o, lasted := l.end(string(EventsGone), e.At)
	if lasted && !l.boot.IsZero() && !s.Boot.IsZero() && !s.Boot.Equal(l.boot) {
		o.Kind = AsteriskGone
	}
	if !s.Boot.IsZero() {
		l.boot = s.Boot
	}
}

// jumped is the time that a step of the clock has skipped, or that was there twice.
func jumped(e Event) Outage {
	var j jump
	_ = json.Unmarshal(e.Data, &j) // without it the time of the event counts
	if j.From.IsZero() {
		j.From = e.At
	}
	o := Outage{Kind: ClockJumped, From: j.From, To: j.From, Event: e.ID, Detail: fmt.Sprintf("by %.1f s", j.Seconds)}
	if to := j.From.Add(time.Duration(j.Seconds * float64(time.Second))); to.After(o.To) {
		o.To = to
	} else {
		o.From = to
	}
	o.From, o.To = o.From.Add(-time.Second), o.To.Add(time.Second)
	return o
}

// alarmKey begins the keys of outages that an alarm has begun.
const alarmKey = "alarm "

// alarm takes over alarms about what recording needs; others are told with the
// recordings that they are about.
func (l *life) alarm(e Event) {
	var a alarm
	_ = json.Unmarshal(e.Data, &a) // without a kind it is none of ours
	if a.Kind == "" || e.Recording != "" || twice(a.Kind) {
		return
	}
	key := alarmKey + a.Kind + " " + a.Subject
	if e.Kind == EventAlarmCleared {
		l.end(key, e.At)
		return
	}
	kind := Alarmed
	if storage(a.Kind) {
		kind = StorageGone
	}
	from := e.At
	if !a.Since.IsZero() && a.Since.Before(from) {
		from = a.Since
	}
	l.begin(key, Outage{Kind: kind, From: from, Event: e.ID, Detail: a.Kind + ": " + a.Detail})
}

// twice are alarms about what the daemon notes itself, to the moment.
func twice(kind string) bool {
	return kind == "asterisk_events_away" || kind == "asterisk_manager_away" || kind == "journal_stalled"
}

// Alarms are the alarms about recordings among events: somebody was told of them.
func Alarms(events []Event) map[string][]Notice {
	out := map[string][]Notice{}
	for _, e := range events {
		var a alarm
		if e.Kind != EventAlarmRaised || e.Recording == "" || json.Unmarshal(e.Data, &a) != nil {
			continue
		}
		out[e.Recording] = append(out[e.Recording], Notice{At: e.At, How: "alarm " + a.Kind, What: a.Detail, Event: e.ID})
	}
	return out
}

// storage says whether an alarm is about the recordings' disk.
func storage(kind string) bool {
	return slices.Contains([]string{"storage_gone", "storage_stalled", "disk_critical"}, kind)
}

// stood says whether Asterisk stood still in some of that time.
func (w World) stood(in stretch) bool {
	return slices.ContainsFunc(w.Outages, func(o Outage) bool {
		return o.Kind == AsteriskStalled && o.overlaps(in.from, in.to)
	})
}
