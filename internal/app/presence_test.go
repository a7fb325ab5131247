package app

import (
	"errors"
	"testing"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/orphans"
)

func TestOnlyALivingOtherDaemonIsAnObstacle(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for name, c := range map[string]struct {
		said  string
		alone bool
	}{
		"nobody":                      {"", true},
		"we, before a restart":        {presence("me", now.Add(-time.Second)).String(), true},
		"another":                     {presence("you", now.Add(-14*time.Second)).String(), false},
		"another, a second ahead":     {presence("you", now.Add(time.Second)).String(), false},
		"another that was killed":     {presence("you", now.Add(-16*time.Second)).String(), true},
		"another, the clock set back": {presence("you", now.Add(time.Hour)).String(), true},
		"another that has stopped":    {presence("you", time.Unix(goodbye, 0)).String(), true},
		"another without a manager":   {word{"you", now.Unix(), false}.String(), true},
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

// TestConnectionThatAsteriskKeepsIsNoOtherDaemon: a daemon that was killed under
// load left a websocket that Asterisk never closed; the next one waited for it until
// Asterisk was restarted, and recorded nothing.
func TestConnectionThatAsteriskKeepsIsNoOtherDaemon(t *testing.T) {
	began := time.Unix(1_800_000_000, 0)
	ours, yours := presence("me", began).String(), presence("you", began).String()
	for name, c := range map[string]struct {
		wrote string
		said  func(time.Duration) string
		after time.Duration // 0: never
		able  bool
	}{
		"our own, from before the cut":      {ours, func(time.Duration) string { return ours }, ghostOfOurs, true},
		"of the daemon before us":           {"", func(time.Duration) string { return ours }, ghostOfInstallation, true},
		"of another that was killed":        {"", func(time.Duration) string { return yours }, ghostOfOther, true},
		"of one that stopped in good order": {"", func(time.Duration) string { return presence("you", time.Unix(goodbye, 0)).String() }, ghostOfOurs, true},
		"something else, or nobody said":    {"", func(time.Duration) string { return "" }, 0, true},
		"a living one": {"", func(d time.Duration) string {
			return presence("you", began.Add(d.Truncate(dialplan.AliveEvery))).String()
		}, 0, true},
		"a living one without a manager": {"", func(d time.Duration) string {
			return word{"you", began.Add(d.Truncate(dialplan.AliveEvery)).Unix(), false}.String()
		}, ghostOfOther, true},
		"a living one without a manager, and we have none either": {"", func(d time.Duration) string {
			return word{"you", began.Add(d.Truncate(dialplan.AliveEvery)).Unix(), false}.String()
		}, 0, false},
		"one without a manager that was killed": {"", func(time.Duration) string { return word{"you", began.Unix(), false}.String() }, ghostOfOther, true},
		"a living one with a copy of our state": {"", func(d time.Duration) string {
			return presence("me", began.Add(d.Truncate(dialplan.AliveEvery))).String()
		}, 0, true},
	} {
		var h holder
		h.wrote.Store(&c.wrote)
		found := time.Duration(0)
		for d := time.Duration(0); d < time.Minute && found == 0; d += 500 * time.Millisecond {
			if h.isGhost(c.said(d), "me", c.able, began.Add(d)) {
				found = d
			}
		}
		if found != c.after {
			t.Errorf("%s: after %s, want %s", name, found, c.after)
		}
		if last := began.Add(time.Hour); h.isGhost(h.said, "me", c.able, last) {
			t.Errorf("%s: what was seen an hour ago counts for another connection", name)
		}
	}
}
