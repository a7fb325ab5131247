package app

import (
	"errors"
	"testing"
	"time"

	"callrecordd/internal/orphans"
)

func TestOnlyALivingOtherDaemonIsAnObstacle(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for name, c := range map[string]struct {
		said  string
		alone bool
	}{
		"nobody":                      {"", true},
		"we, before a restart":        {presence("me", now.Add(-time.Second)), true},
		"another":                     {presence("you", now.Add(-14*time.Second)), false},
		"another, a second ahead":     {presence("you", now.Add(time.Second)), false},
		"another that was killed":     {presence("you", now.Add(-16*time.Second)), true},
		"another, the clock set back": {presence("you", now.Add(time.Hour)), true},
		"something else":              {"you", true},
		"something with a space":      {"you are not", true},
	} {
		if err := alone(c.said, "me", now); (err == nil) != c.alone || err != nil && !errors.Is(err, errNotAlone) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSecondDaemonTouchesNoFileOfTheFirst: one of another configuration, with the
// same folders, knows of none of their recordings.
func TestSecondDaemonTouchesNoFileOfTheFirst(t *testing.T) {
	for _, mode := range []orphans.Mode{orphans.Report, orphans.Repair, orphans.Adopt, orphans.Quarantine} {
		if got := allowed(mode, true); got != orphans.Report {
			t.Errorf("the second does %s when asked to %s", got, mode)
		}
		if got := allowed(mode, false); got != mode {
			t.Errorf("the only one does %s when asked to %s", got, mode)
		}
	}
}
