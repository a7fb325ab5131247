package lab

import "testing"

func TestLamp(t *testing.T) {
	p := start(t, Config{})
	alice, bob, carol := phone(t, p, "alice", Manual()), phone(t, p, "bob", Manual()), phone(t, p, "carol", Manual())
	lamp, err := carol.Subscribe(deadline(t), "1002")
	must(t, err)
	must(t, lamp.Wait(deadline(t), LampOff))
	caller, _ := talk(t, alice, bob, "1002", 440, 740)
	must(t, lamp.Wait(deadline(t), LampOn))
	must(t, caller.Hangup(deadline(t)))
	must(t, lamp.Wait(deadline(t), LampOff))
	if _, err := carol.Subscribe(deadline(t), "1999"); err == nil {
		t.Error("subscribed to an extension that does not exist")
	}
}

// TestOlderLampReportIsNoNews: two NOTIFYs that follow each other within a
// millisecond are handled by two goroutines, the older one last at times; the
// lamp then stayed at "early" for the whole call.
func TestOlderLampReportIsNoNews(t *testing.T) {
	l := &Lamp{changed: make(chan struct{})}
	body := func(state string) []byte {
		return []byte(`<dialog-info><dialog id="1"><state>` + state + `</state></dialog></dialog-info>`)
	}
	l.report(3, body(LampOn))
	l.report(2, body("early"))
	if l.State() != LampOn {
		t.Errorf("the lamp is %q after an older report, want %q", l.State(), LampOn)
	}
	l.report(4, body(LampOff))
	if l.State() != LampOff {
		t.Errorf("the lamp is %q, want %q", l.State(), LampOff)
	}
}
