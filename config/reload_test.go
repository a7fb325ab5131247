package config_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"callrecordd/config"
)

// What a reload puts into force, and what it leaves to a restart.
func TestReload(t *testing.T) {
	old := load(t, passwords)
	next := load(t, "asterisk: {ari_password: other, ami_password: s3cret-ami, technologies: [PJSIP]}\n"+
		"recordings: {root: /srv/other, pause: cut}\non_demand: {source: dtmf, code: \"#1\", cycle: stop, follow_transfer: true, tones: false}\n"+
		"http: {listen: 127.0.0.1:1}\njournal: {poll: 1s, keep: 24h}\nlog: {level: debug, format: json}\n")
	now, changed, waiting := old.Reload(next)
	want := load(t, passwords)
	want.Recordings.Pause, want.Journal.Keep, want.Log.Level = "cut", 24*time.Hour, "debug"
	want.OnDemand = config.OnDemand{Source: "feature", Code: "#1", Cycle: "stop", FollowTransfer: true}
	if diff := cmp.Diff(want, now); diff != "" {
		t.Errorf("in force (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{
		"recordings.pause", "on_demand.code", "on_demand.cycle", "on_demand.follow_transfer", "on_demand.tones",
		"journal.keep", "log.level",
	}, changed); diff != "" {
		t.Errorf("changed (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{
		"asterisk.ari_password", "asterisk.technologies", "recordings.root", "on_demand.source", "http.listen",
		"journal.poll", "log.format",
	}, waiting); diff != "" {
		t.Errorf("waiting (-want +got):\n%s", diff)
	}
	if _, changed, waiting := now.Reload(now); len(changed)+len(waiting) > 0 {
		t.Errorf("the same changes %v, %v", changed, waiting)
	}
}
