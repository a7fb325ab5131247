package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"callrecordd/internal/lab"
	"callrecordd/internal/recorder"
)

// An Asterisk that cannot mute one recorder mutes the channel's first one when
// it is asked to: here that of somebody else, which must not even notice. Our
// pauses cut the file there, whatever is configured.
func TestPauseWithoutMuteByIDTouchesNobodyElse(t *testing.T) {
	t.Parallel()
	pbx := newPBX(t, lab.Config{}, func(in *lab.Install) {
		var err error
		*in, err = lab.Ensure(t.Context(), lab.EnsureOptions{Suite: "bullseye"})
		must(t, err)
	})
	site := siteAt(t, pbx)
	site.calm()
	site.start()
	site.populate()
	s := staged(site)
	if st := s.app.Status(); !strings.Contains(st.Pauses, "16.28") {
		t.Fatalf("the status says %q", st.Pauses)
	}
	s.rules("alice", onDemand)
	caller, callee := s.meet("alice", "1002", "bob")
	foreign := filepath.Join(t.TempDir(), "foreign.wav")
	_, err := pbx.Console(within(t), "mixmonitor start "+s.channel("alice")+" "+foreign)
	must(t, err)
	s.starts(caller, "alice")
	uuid := s.runs("alice", recorder.Live).UUID
	before := s.mutes(uuid)
	s.presses(caller, "*3")
	s.hushed(uuid, before)
	s.tells(callee, "bob", caller)
	s.resumes(caller, "alice")
	s.over(caller)
	s.gone(callee)
	must(t, pbx.WaitIdle(within(t)))
	got := s.finals(1)
	if len(got) != 1 || got[0].state != string(recorder.Ready) {
		t.Fatalf("the recordings are %+v", got)
	}
	s.hears(s.path(got[0]), toneA, toneB)
	if found := s.digitsOnDisk(); len(found) > 0 {
		t.Errorf("digits are on disk: %q", found)
	}
	for _, p := range s.stillness(got[0].uuid) {
		if p.silence != string(recorder.CutOut) {
			t.Errorf("the pause is %+v", p)
		}
	}
	audio, err := lab.ReadWAV(foreign)
	must(t, err)
	if spans := lab.Tones(audio, cardNumber()); len(spans) < len(cardNumber()) {
		t.Errorf("the other recorder has heard only %+v", spans)
	}
}
