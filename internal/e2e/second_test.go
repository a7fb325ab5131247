package e2e

import (
	"errors"
	"fmt"
	"net/url"
	"testing"

	"callrecordd/ari"
	"callrecordd/config"
	"callrecordd/dialplan"
	"callrecordd/internal/lab"
)

func TestWrongPasswordsAndASecondDaemonAreToldApart(t *testing.T) {
	t.Parallel()
	pbx := newPBX(t, lab.Config{})
	first := siteAt(t, pbx)
	first.start()

	wrongARI := siteAt(t, pbx, func(c *config.Config) { c.Asterisk.App, c.Asterisk.ARIPassword = "a", "wrong" })
	wrongARI.open()
	wrongAMI := siteAt(t, pbx, func(c *config.Config) { c.Asterisk.App, c.Asterisk.AMIPassword = "b", "wrong" })
	wrongAMI.open()
	second := siteAt(t, pbx)
	second.open()
	wrongARI.says("refuses our ARI user", "ari.conf")
	wrongAMI.says("refuses our login", "manager.conf")
	second.says(`another client holds the ARI application "callrecordd"`, "stop the other")
	if st := first.app.Status(); !st.Ready || st.ARI.Reconnects != 0 {
		t.Errorf("the first daemon was disturbed: %+v", st)
	}
	first.stop()
	second.ready() // takes over by itself
}

// TestSecondDaemonRecordsAndExplainsNothing: one that was configured by somebody
// else has another application, so Asterisk takes both; it must not record the same
// calls. Neither of them may say of a call of the other's that it was missed.
func TestSecondDaemonRecordsAndExplainsNothing(t *testing.T) {
	t.Parallel()
	for app, says := range map[string]string{
		"callrecordd": "another client holds the ARI application", "other": "another callrecordd records on this Asterisk",
	} {
		t.Run(app, func(t *testing.T) {
			t.Parallel()
			pbx := newPBX(t, lab.Config{})
			first := siteAt(t, pbx)
			first.start()
			first.populate()
			first.rules("alice", dialplan.Flags{OutgoingInternal: true})
			second := siteAt(t, pbx, func(c *config.Config) { c.Asterisk.App = app })
			second.open()
			second.populate()
			second.rules("alice", dialplan.Flags{OutgoingInternal: true})
			second.says(says, "stop")
			alice, bob := first.phone("alice", lab.Manual()), first.phone("bob", lab.AutoAnswer(0))
			first.recordsNext(alice, bob, 1)
			if st := first.app.Status(); !st.Ready || st.ARI.Reconnects != 0 || len(second.files()) > 0 {
				t.Errorf("the first: %s; the second: %v", st.Summary, second.files())
			}
			if second.waitCDRs(1); len(second.stored()) > 0 {
				t.Errorf("the second has recordings: %+v", second.stored())
			}
			first.stop()
			second.ready() // takes over by itself
			second.recordsNext(alice, bob, 2)
		})
	}
}

// TestLivingDaemonWithoutAManagerIsNoGhost: without its manager it said nothing, and
// a second one that could record as little took the application from it. One that
// can takes over.
func TestLivingDaemonWithoutAManagerIsNoGhost(t *testing.T) {
	t.Parallel()
	pbx := newPBX(t, lab.Config{})
	lonely := func(c *config.Config) { c.Asterisk.AMIAddress = "127.0.0.1:9" }
	first, second := siteAt(t, pbx, lonely), siteAt(t, pbx, lonely)
	base, err := url.Parse(first.cfg.Asterisk.ARIURL)
	must(t, err)
	client := ari.New(base, ari.Credentials{User: pbx.ARIUser, Password: pbx.ARIPassword})
	last := ""
	next := func() {
		first.eventually("the first says that it is there", func() error {
			said, err := client.GlobalVar(within(t), "CALLRECORDD_PRESENCE")
			if err == nil && (said == "" || said == last) {
				err = fmt.Errorf("it says %q", said)
			}
			if err == nil {
				last = said
			}
			return err
		})
	}
	first.open()
	first.says("no manager interface")
	next()
	second.open()
	second.says("another client holds the ARI application")
	for range 5 { // one each 5 s, and the second's patience is 15 s
		next()
	}
	if st := first.app.Status(); st.ARI.Reconnects != 0 {
		t.Errorf("the application was taken from the first: %+v", st.ARI)
	}
	second.says("another client holds the ARI application")
	second.stop()
	third := siteAt(t, pbx)
	third.open()
	for range 2 { // it waits for 15 s, and patience ends after 20
		next()
	}
	third.ready()
	if err := first.app.Stop(); !errors.Is(err, ari.ErrReplaced) {
		t.Errorf("the first has not noticed: %v", err)
	}
	first.app = nil
}
