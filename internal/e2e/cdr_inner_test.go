package e2e

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"callrecordd/ari/ami"
	"callrecordd/internal/lab"
)

// originators are the classes of a manager user who may place calls, too.
const originators = "system,call,originate"

// manager performs an action as an operator's program would; fields are pairs.
func (s *site) manager(action string, fields ...string) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(within(s.t))
	defer cancel()
	client := ami.NewClient(ami.Config{Address: s.pbx.AMIAddr, User: s.pbx.AMIUser, Secret: s.pbx.AMIPassword})
	go func() { _ = client.Run(ctx) }() // ends with ctx
	s.eventually("the manager is connected", func() error {
		if state := client.State(); state.Kind != ami.StateConnected {
			return fmt.Errorf("%+v", state)
		}
		return nil
	})
	do := ami.Action{Name: action}
	for pair := range slices.Chunk(fields, 2) {
		do.Fields = append(do.Fields, ami.Field{Key: pair[0], Value: pair[1]})
	}
	_, err := client.Do(ctx, do)
	must(s.t, err)
}

func (s *site) originate(channel string, fields ...string) {
	s.t.Helper()
	s.manager("Originate", append([]string{"Async", "true", "Channel", channel}, fields...)...)
}

// channelName is the name of a user's only channel, as the console has it.
func (s *site) channelName(user string) string { return s.channelFields(user)[0] }

func (s *site) channelFields(user string) []string {
	s.t.Helper()
	list, err := s.pbx.Console(within(s.t), "core show channels concise")
	must(s.t, err)
	for line := range strings.Lines(list) {
		if fields := strings.Split(strings.TrimSpace(line), "!"); strings.HasPrefix(fields[0], "PJSIP/"+user+"-") {
			return fields
		}
	}
	s.t.Fatalf("%s has no channel: %s", user, list)
	return nil
}

// TestInnerChannelsGiveNoCDR: what Asterisk does with itself is no call: the
// snoop channel that whispers a tone, and two halves of a Local channel.
func TestInnerChannelsGiveNoCDR(t *testing.T) {
	t.Parallel()
	s := siteAt(t, newPBX(t, lab.Config{AMIWrite: originators}))
	s.start()
	s.populate()
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
	s.originate("Local/"+lab.ExtenMusic+"@"+lab.ContextUsers, "Application", "Read", "Data", "digit,,1,,1,1")
	s.eventually("the Local channel was there and is gone", func() error {
		if n := s.innerChannels(); n < 2 {
			return fmt.Errorf("%d inner channels", n)
		}
		return nil
	})
	must(t, s.pbx.WaitIdle(within(t)))
	cdr := s.cdrOf(func() {
		caller, _ := s.talk(alice, bob, "1002")
		fields := s.channelFields("bob")
		s.eventually("the snoop channel is there", func() error {
			return s.ari("channels/" + fields[len(fields)-1] + "/snoop?app=callrecordd&whisper=both&snoopId=whisper")
		})
		s.eventually("it whispers", func() error { return s.ari("channels/whisper/play?media=" + url.QueryEscape("sound:beep")) })
		must(t, caller.Talk(within(t), time.Second))
		_, err := s.pbx.Console(within(t), "channel request hangup all")
		must(t, err)
		must(t, caller.WaitEnded(within(t)))
		must(t, s.pbx.WaitIdle(within(t)))
	})
	s.fields(cdr, all(status("internal", "answered"), s.dest("bob")))
	// Nothing may follow: the daemon has seen the end of everything.
	s.eventually("the journal is read", func() error {
		if j := s.app.Status().Journal; j.OpenCalls > 0 || j.Position < j.Newest {
			return fmt.Errorf("%+v", j)
		}
		return nil
	})
	if list := s.cdrs(); len(list) != 1 {
		t.Errorf("%d CDRs: %+v", len(list), list)
	}
	if n := s.innerChannels(); n < 3 {
		t.Errorf("the journal knows %d inner channels; the test has none to look at", n)
	}
}

// innerChannels counts the channels in the journal that are no phone's.
func (s *site) innerChannels() (n int) {
	s.t.Helper()
	db, err := sql.Open("sqlite3", "file:"+s.pbx.JournalPath+"?mode=rw&_query_only=true&_busy_timeout=5000")
	must(s.t, err)
	defer func() { must(s.t, db.Close()) }()
	must(s.t, db.QueryRowContext(within(s.t), "SELECT count(DISTINCT uniqueid) FROM cel WHERE channame NOT LIKE 'PJSIP/%'").Scan(&n))
	return n
}

// ari posts to Asterisk's own interface.
func (s *site) ari(path string) error {
	s.t.Helper()
	req, err := http.NewRequestWithContext(within(s.t), "POST", s.pbx.ARIURL+"/"+path, nil)
	must(s.t, err)
	req.SetBasicAuth(s.pbx.ARIUser, s.pbx.ARIPassword)
	resp, err := http.DefaultClient.Do(req)
	must(s.t, err)
	must(s.t, resp.Body.Close())
	if resp.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("POST %s: %s", path, resp.Status)
	}
	return nil
}
