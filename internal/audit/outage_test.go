package audit

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"callrecordd/internal/recorder"
)

// The daemon's life, as somebody who looks for a reason reads it.
func TestOutagesAreWhenSomethingWasAway(t *testing.T) {
	boot1, boot2 := at(-1000), at(55)
	var events []Event
	note := func(s float64, kind string, data any) {
		text, err := json.Marshal(data)
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, Event{ID: int64(len(events) + 1), Event: recorder.Event{At: at(s), Kind: kind}, Data: text})
	}
	note(0, EventDaemonStarted, nil)
	note(1, EventAsteriskSeen, Seen{Boot: boot1})
	note(10, EventDaemonStopped, nil)
	note(20, EventDaemonStarted, nil)
	note(21, EventAsteriskSeen, Seen{Boot: boot1})
	note(40, EventDaemonStarted, nil) // was killed at 35
	note(41, EventAsteriskSeen, Seen{Boot: boot1})
	note(50, EventAsteriskUnseen, Unseen{Detail: "EOF"})
	note(60, EventAsteriskSeen, Seen{Boot: boot2})
	note(70, EventManagerUnseen, Unseen{Detail: "refused"})
	note(71, EventManagerSeen, nil)
	note(80, EventAlarmRaised, alarm{Kind: "disk_critical", Since: at(79), Detail: "0 bytes"})
	note(3690, EventClockJumped, jump{From: at(90), Seconds: 3600})
	got, err := Outages(events, func(id int64) (time.Time, error) {
		return map[int64]time.Time{6: at(35)}[id], nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []Outage{
		{Kind: DaemonDown, From: at(10), To: at(20), Event: 3, Detail: "it was stopped"},
		{Kind: EventsGone, From: at(10), To: at(21), Event: 3},
		{Kind: DaemonDown, From: at(35), To: at(40), Event: 6, Unsure: true, Detail: "it was not stopped in order"},
		{Kind: EventsGone, From: at(35), To: at(41), Event: 6, Unsure: true},
		{Kind: AsteriskGone, From: at(50), To: at(60), Event: 8, Detail: "EOF"},
		{Kind: ManagerGone, From: at(70), To: at(71), Event: 10, Detail: "refused"},
		{Kind: StorageGone, From: at(79), Event: 12, Detail: "disk_critical: 0 bytes"},
		{Kind: ClockJumped, From: at(89), To: at(3691), Event: 13, Detail: "by 3600.0 s"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestAlarmsOfADaemonThatEndedDoNotLastForEver: nobody clears them, and what lasts
// is raised anew by the next one.
func TestAlarmsOfADaemonThatEndedDoNotLastForEver(t *testing.T) {
	data := func(v any) json.RawMessage {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	event := func(id int64, s float64, kind string, v any) Event {
		return Event{ID: id, Event: recorder.Event{At: at(s), Kind: kind}, Data: data(v)}
	}
	full := alarm{Kind: "disk_critical", Detail: "0 bytes"}
	got, err := Outages([]Event{
		event(1, 0, EventDaemonStarted, nil),
		event(2, 10, EventAlarmRaised, full),
		event(3, 11, EventJournalStalled, nil),
		event(4, 20, EventDaemonStopped, nil),
		event(5, 30, EventDaemonStarted, nil),
		event(6, 40, EventAlarmRaised, full),
	}, func(int64) (time.Time, error) { return time.Time{}, nil })
	if err != nil {
		t.Fatal(err)
	}
	var last []Outage
	for _, o := range got {
		switch {
		case o.Event == 6:
			last = append(last, o)
		case (o.Kind == StorageGone || o.Kind == JournalGap) && !o.To.Equal(at(30)):
			t.Errorf("%+v", o)
		}
	}
	if len(last) != 1 || !last[0].To.IsZero() {
		t.Errorf("what lasts: %+v", last)
	}
}
