package main

import (
	"fmt"
	"strings"
	"testing"

	"callrecordd/internal/alarm"
	"callrecordd/internal/app"
	"callrecordd/internal/orphans"
)

func TestOrphansAreListedWithWhatWasDone(t *testing.T) {
	rows := orphanRows(orphans.Result{More: 7, Findings: []orphans.Finding{
		{Verdict: orphans.Renamed, Done: orphans.PutBack, Tenant: "t", Path: "t/monitor/x.wav", Recording: "r", Bytes: 44},
		{Verdict: orphans.Missing, Tenant: "t", Recording: "r2"},
	}})
	got := fmt.Sprint(rows)
	for _, words := range []string{"renamed put_back t t/monitor/x.wav r 44", "missing - t - r2", "and 7 more"} {
		if !strings.Contains(got, words) {
			t.Errorf("no %q in %s", words, got)
		}
	}
}

func TestStatusSaysWhatIsWrongAndWhatToDo(t *testing.T) {
	hours := 5.0
	got := fmt.Sprint(statusRows(app.Status{
		Disks:  []app.DiskStatus{{Path: "/a", Free: 5e9, Total: 1e11, HoursLeft: &hours}, {Path: "/b", Wrong: "the disk does not answer"}},
		Alarms: []alarm.Alarm{{Kind: alarm.RecordingFailed, Count: 3, Detail: "no_space", Do: "Make room."}},
	}))
	for _, words := range []string{"disk /a 5.0 GB of 100.0 GB free (5.0 %), enough for 5 hours", "disk /b the disk does not answer", "3 times: no_space. Make room."} {
		if !strings.Contains(got, words) {
			t.Errorf("no %q in %s", words, got)
		}
	}
}
