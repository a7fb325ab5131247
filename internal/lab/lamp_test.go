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
