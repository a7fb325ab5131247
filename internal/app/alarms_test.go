package app

import (
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"callrecordd/internal/alarm"
	"callrecordd/internal/events"
	"callrecordd/internal/orphans"
	"callrecordd/internal/recorder"
	"callrecordd/store"
)

func TestAnAlarmOfARecordingIsToldToItsTenant(t *testing.T) {
	s := newAlarms(time.Now, slog.New(slog.DiscardHandler))
	const uuid = "11111111-1111-4111-8111-111111111111"
	s.recording(recorder.Alarm{Recording: uuid, Tenant: "acme", Cause: recorder.CauseFileGone, Broken: true})
	e := <-s.queue
	if e.Kind != eventAlarmRaised || e.Recording != uuid {
		t.Fatalf("%+v", e)
	}
	data, err := json.Marshal(e.Data)
	if err != nil {
		t.Fatal(err)
	}
	e.Data = json.RawMessage(data)
	list, err := announcer{}.events(t.Context(), store.Event{Event: e})
	if err != nil || len(list) != 1 || list[0].Name != events.AlarmRaised || list[0].TenantUUID != "acme" {
		t.Fatalf("%+v %v", list, err)
	}
	var told struct{ Kind, Severity, Subject, Detail, Do string }
	if err := json.Unmarshal(list[0].Data, &told); err != nil || told.Kind != string(alarm.RecordingBroken) || told.Subject != uuid || told.Do == "" {
		t.Errorf("%+v %v", told, err)
	}
}

func TestEachCauseOfTheRecorderIsTheAlarmThatItIs(t *testing.T) {
	for cause, want := range map[string]alarm.Kind{
		recorder.CauseNoSpace: alarm.RecordingFailed, recorder.CauseHeaderUnset: alarm.RecordingFailed, recorder.CauseNoManager: alarm.RecordingFailed,
		recorder.CauseMuteFailed: alarm.PauseFailed, recorder.EventNotSilent: alarm.PauseNotSilent, recorder.CauseTooLong: alarm.MediaTime,
		recorder.CauseStalled: alarm.StopFailed, recorder.CauseTimeout: alarm.StopFailed,
	} {
		if got := kindOf(recorder.Alarm{Cause: cause}); got != want {
			t.Errorf("%s: %s", cause, got)
		}
	}
}

// A database that takes nothing must not hold up those who record.
func TestAlarmsHoldUpNobodyWhileNothingIsStored(t *testing.T) {
	s := newAlarms(time.Now, slog.New(slog.DiscardHandler))
	for range 2 * alarmRoom {
		s.recording(recorder.Alarm{Recording: "r", Cause: recorder.CauseNoSpace})
	}
	if n := s.Totals()[alarm.RecordingFailed]; n != 2*alarmRoom || len(s.queue) != alarmRoom {
		t.Errorf("%d, %d wait", n, len(s.queue))
	}
}

func TestAFolderOfStrangeFilesIsOneAlarm(t *testing.T) {
	s := newAlarms(time.Now, slog.New(slog.DiscardHandler))
	all := newTally()
	for range 50 {
		all.add(orphanFinding("acme"))
	}
	all.add(orphanFinding("other"))
	all.raise(s)
	if up := s.Up(); len(up) != 2 || up[0].Count != 1 {
		t.Errorf("%+v", up)
	}
}

func orphanFinding(tenant string) orphans.Finding {
	return orphans.Finding{Verdict: orphans.Unknown, Tenant: tenant, Path: tenant + "/monitor/x.txt"}
}
