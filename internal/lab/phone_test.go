package lab

import (
	"database/sql"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
)

const (
	aliceHz, bobHz, carolHz = 440.0, 620.0, 1150.0
)

// TestPhones exercises what phones can do, on one Asterisk.
func TestPhones(t *testing.T) {
	p := start(t, Config{})
	for _, c := range []struct {
		name string
		test func(*testing.T, *PBX)
	}{
		{"answered", testAnswered},
		{"cancel", testCancel},
		{"reject", testReject},
		{"hangup while ringing", testRefused},
		{"trunk", testTrunk},
		{"hold", testHold},
		{"blind transfer", testBlindTransfer},
		{"attended transfer", testAttendedTransfer},
		{"feature code transfer", testFeatureTransfer},
		{"dtmf", testDTMF},
		{"stop rtp", testStopRTP},
		{"mixmonitor", testMixMonitor},
		{"extensions", testExtensions},
		{"groups", testGroups},
		{"park", testPark},
		{"pickup", testPickup},
		{"voicemail", testVoicemail},
		{"journal", testJournal},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.test(t, p)
			must(t, p.WaitIdle(deadline(t)))
		})
	}
}

func testAnswered(t *testing.T, p *PBX) {
	alice, bob := phone(t, p, "alice", Manual()), phone(t, p, "bob", AutoAnswer(100*time.Millisecond))
	a, b := talk(t, alice, bob, "1002", aliceHz, bobHz)
	if a.Status() != 200 || b.Party() != "1001" {
		t.Errorf("status %d, caller shown as %q", a.Status(), b.Party())
	}
	if level := ToneLevel(b.Heard(), phoneRate, bobHz); level > toneThreshold {
		t.Errorf("bob hears himself at level %f", level)
	}
	a.Silence()
	must(t, b.WaitNoTone(deadline(t), aliceHz))
	must(t, b.Hangup(deadline(t)))
	must(t, a.WaitEnded(deadline(t)))
}

func testCancel(t *testing.T, p *PBX) {
	alice, bob := phone(t, p, "alice", Manual()), phone(t, p, "bob", RingOnly())
	a := dial(t, alice, "1002")
	must(t, a.WaitRinging(deadline(t)))
	b := fetch1(t, bob)
	must(t, a.Cancel(deadline(t)))
	must(t, b.WaitEnded(deadline(t)))
	if a.Status() != 487 || b.Status() != 487 {
		t.Errorf("status %d and %d, want 487", a.Status(), b.Status())
	}
	if err := a.WaitAnswered(deadline(t)); err == nil {
		t.Error("a cancelled call counts as answered")
	}
}

func testReject(t *testing.T, p *PBX) {
	alice := phone(t, p, "alice", Manual())
	phone(t, p, "bob", RejectWith(486))
	a := dial(t, alice, "1002")
	must(t, a.WaitEnded(deadline(t)))
	if a.Status() != 486 {
		t.Errorf("status %d, want 486", a.Status())
	}
	phone(t, p, "bob", RejectWith(603))
	a = dial(t, alice, "1002")
	must(t, a.WaitEnded(deadline(t)))
	if a.Status() < 400 {
		t.Errorf("status %d, want a refusal", a.Status())
	}
}

func testRefused(t *testing.T, p *PBX) {
	alice, bob := phone(t, p, "alice", Manual()), phone(t, p, "bob", Manual())
	a := dial(t, alice, "1002")
	b := fetch1(t, bob)
	must(t, b.Ring(deadline(t)))
	must(t, a.WaitRinging(deadline(t)))
	must(t, b.Hangup(deadline(t)))
	must(t, a.WaitEnded(deadline(t)))
	if err := b.Answer(deadline(t)); err == nil {
		t.Error("a refused call can be answered")
	}
}

func testTrunk(t *testing.T, p *PBX) {
	trunk, err := NewTrunk(deadline(t), p, "trunk-a")
	must(t, err)
	defer trunk.Close()
	bob := phone(t, p, "bob", Manual())
	in, b := talk(t, trunk, bob, PrefixDID+"1002", aliceHz, bobHz)
	if b.Party() != trunk.Number {
		t.Errorf("caller shown as %q, want %q", b.Party(), trunk.Number)
	}
	must(t, in.Hangup(deadline(t)))
	must(t, b.WaitEnded(deadline(t)))
	out, far := talk(t, bob, trunk, PrefixOut+"0891234", bobHz, aliceHz)
	if far.Called() != "0891234" {
		t.Errorf("provider was asked for %q", far.Called())
	}
	must(t, out.Hangup(deadline(t)))
}

func testHold(t *testing.T, p *PBX) {
	alice, bob := phone(t, p, "alice", Manual()), phone(t, p, "bob", Manual())
	a, b := talk(t, alice, bob, "1002", aliceHz, bobHz)
	must(t, a.Hold(deadline(t)))
	must(t, b.WaitTone(deadline(t), MusicHz))
	must(t, b.WaitNoTone(deadline(t), aliceHz))
	must(t, a.Unhold(deadline(t)))
	must(t, b.WaitTone(deadline(t), aliceHz))
	must(t, b.WaitNoTone(deadline(t), MusicHz))
	must(t, a.WaitTone(deadline(t), bobHz))
	must(t, a.Hangup(deadline(t)))
}

func testBlindTransfer(t *testing.T, p *PBX) {
	alice, bob := phone(t, p, "alice", Manual()), phone(t, p, "bob", Manual())
	carol := phone(t, p, "carol", AutoAnswer(0))
	a, b := talk(t, alice, bob, "1002", aliceHz, bobHz)
	must(t, b.BlindTransfer(deadline(t), "1003"))
	c := fetch1(t, carol)
	c.Play(carolHz)
	must(t, a.WaitTone(deadline(t), carolHz))
	must(t, c.WaitTone(deadline(t), aliceHz))
	must(t, b.WaitEnded(deadline(t)))
	must(t, b.WaitTransferred(deadline(t)))
	must(t, a.Hangup(deadline(t)))
}

func testAttendedTransfer(t *testing.T, p *PBX) {
	alice, bob := phone(t, p, "alice", Manual()), phone(t, p, "bob", Manual())
	carol := phone(t, p, "carol", Manual())
	a, b := talk(t, alice, bob, "1002", aliceHz, bobHz)
	must(t, b.Hold(deadline(t)))
	b2, c := talk(t, bob, carol, "1003", bobHz, carolHz)
	must(t, b.AttendedTransfer(deadline(t), b2))
	must(t, a.WaitTone(deadline(t), carolHz))
	must(t, c.WaitTone(deadline(t), aliceHz))
	must(t, b.WaitEnded(deadline(t)))
	must(t, b2.WaitEnded(deadline(t)))
	must(t, b.WaitTransferred(deadline(t)))
	must(t, c.Hangup(deadline(t)))
	must(t, a.WaitEnded(deadline(t)))
}

func testFeatureTransfer(t *testing.T, p *PBX) {
	alice, bob := phone(t, p, "alice", Manual()), phone(t, p, "bob", Manual())
	carol := phone(t, p, "carol", AutoAnswer(0))
	a, b := talk(t, alice, bob, "1002", aliceHz, bobHz)
	must(t, b.SendDTMF(deadline(t), FeatureBlind))
	must(t, a.WaitTone(deadline(t), MusicHz))
	must(t, b.SendDTMF(deadline(t), "1003"))
	c := fetch1(t, carol)
	must(t, c.WaitTone(deadline(t), aliceHz))
	must(t, a.Hangup(deadline(t)))
}

func testDTMF(t *testing.T, p *PBX) {
	login := "api_key=" + p.ARIUser + ":" + p.ARIPassword
	ws, res, err := websocket.Dial(deadline(t), strings.Replace(p.ARIURL, "http:", "ws:", 1)+"/events?app=lab&"+login, nil)
	must(t, err)
	if res.Body != nil {
		_ = res.Body.Close()
	}
	defer func() { _ = ws.CloseNow() }()
	ws.SetReadLimit(1 << 20)
	// Not subscribeAll: see package ari.
	req, err := http.NewRequestWithContext(deadline(t), http.MethodPost, p.ARIURL+"/applications/lab/subscription?eventSource=channel:&"+login, http.NoBody)
	must(t, err)
	res, err = http.DefaultClient.Do(req)
	must(t, err)
	must(t, res.Body.Close())
	alice, bob := phone(t, p, "alice", Manual()), phone(t, p, "bob", Manual())
	a, b := talk(t, alice, bob, "1002", aliceHz, bobHz)
	must(t, a.SendDTMF(deadline(t), "*3"))
	for {
		var ev struct {
			Type      string                `json:"type"`
			EventName string                `json:"eventname"`
			Channel   struct{ Name string } `json:"channel"`
		}
		must(t, wsjson.Read(deadline(t), ws, &ev))
		if ev.Type == "ChannelUserevent" {
			if ev.EventName != "CallRecordToggle" || !strings.HasPrefix(ev.Channel.Name, "PJSIP/alice-") {
				t.Errorf("user event %+v", ev)
			}
			break
		}
	}
	// What is no feature reaches the other side: then *3 would have, too.
	must(t, a.SendDTMF(deadline(t), "57"))
	must(t, b.listen(deadline(t), func() bool { return len(b.Digits()) >= 2 }))
	if b.Digits() != "57" {
		t.Errorf("bob receives the digits %q, want 57", b.Digits())
	}
	must(t, a.Hangup(deadline(t)))
}

func testStopRTP(t *testing.T, p *PBX) {
	alice, bob := phone(t, p, "alice", Manual()), phone(t, p, "bob", Manual())
	a, b := talk(t, alice, bob, "1002", aliceHz, bobHz)
	a.StopRTP()
	must(t, b.WaitNoTone(deadline(t), aliceHz))
	a.Play(aliceHz)
	must(t, b.WaitTone(deadline(t), aliceHz))
	must(t, a.Hangup(deadline(t)))
}

func testMixMonitor(t *testing.T, p *PBX) {
	alice, bob := phone(t, p, "alice", Manual()), phone(t, p, "bob", Manual())
	a, b := talk(t, alice, bob, "1002", aliceHz, bobHz)
	file := filepath.Join(t.TempDir(), "call.wav")
	name := channel(t, p, "alice")
	_, err := p.Console(deadline(t), "mixmonitor start "+name+" "+file)
	must(t, err)
	must(t, a.Talk(deadline(t), 1500*time.Millisecond))
	b.Silence()
	must(t, a.Talk(deadline(t), 500*time.Millisecond))
	_, err = p.Console(deadline(t), "mixmonitor stop "+name)
	must(t, err)
	must(t, a.Hangup(deadline(t)))
	must(t, p.WaitIdle(deadline(t))) // a console stop does not wait for the file
	must(t, CheckTone(file, aliceHz, 0, 0))
	must(t, CheckTone(file, bobHz, 0, time.Second))
	must(t, CheckNoTone(file, carolHz))
	if err := CheckTone(file, bobHz, 0, 0); err == nil {
		t.Error("bob is heard to the end although he fell silent")
	}
}

func testExtensions(t *testing.T, p *PBX) {
	alice, bob := phone(t, p, "alice", Manual()), phone(t, p, "bob", Manual())
	for _, exten := range []string{ExtenLocal, ExtenForward} {
		a, b := talk(t, alice, bob, exten, aliceHz, bobHz)
		must(t, a.Hangup(deadline(t)))
		must(t, b.WaitEnded(deadline(t)))
	}
	busy := dial(t, alice, ExtenBusy)
	must(t, busy.WaitEnded(deadline(t)))
	if busy.Status() != 486 {
		t.Errorf("busy extension: status %d", busy.Status())
	}
	for exten, hz := range map[string]float64{ExtenMusic: MusicHz, ExtenIVR: AnnouncementHz} {
		a := dial(t, alice, exten)
		must(t, a.WaitAnswered(deadline(t)))
		must(t, a.WaitTone(deadline(t), hz))
		must(t, a.Hangup(deadline(t)))
	}
	echo := dial(t, alice, ExtenEcho)
	echo.Play(aliceHz)
	must(t, echo.WaitTone(deadline(t), aliceHz))
	must(t, echo.Hangup(deadline(t)))
	bob.OnIncoming(AutoAnswer(0))
	early := dial(t, alice, ExtenEarly)
	must(t, early.WaitTone(deadline(t), AnnouncementHz))
	if early.isAnswered() {
		t.Error("early media answers the call")
	}
	must(t, early.WaitAnswered(deadline(t)))
	must(t, early.Hangup(deadline(t)))
	must(t, fetch1(t, bob).WaitEnded(deadline(t)))
}

func testGroups(t *testing.T, p *PBX) {
	alice, bob := phone(t, p, "alice", Manual()), phone(t, p, "bob", RingOnly())
	carol := phone(t, p, "carol", Manual())
	for _, exten := range []string{ExtenGroup, ExtenQueue} {
		a, c := talk(t, alice, carol, exten, aliceHz, carolHz)
		must(t, fetch1(t, bob).WaitEnded(deadline(t))) // it rang and lost
		must(t, a.Hangup(deadline(t)))
		must(t, c.WaitEnded(deadline(t)))
	}
	a, b := dial(t, alice, ExtenConference), dial(t, bob, ExtenConference)
	a.Play(aliceHz)
	must(t, b.WaitTone(deadline(t), aliceHz))
	must(t, a.Hangup(deadline(t)))
	must(t, b.Hangup(deadline(t)))
}

func testPark(t *testing.T, p *PBX) {
	alice, bob := phone(t, p, "alice", Manual()), phone(t, p, "bob", Manual())
	carol := phone(t, p, "carol", Manual())
	a, b := talk(t, alice, bob, "1002", aliceHz, bobHz)
	must(t, b.BlindTransfer(deadline(t), ExtenPark))
	must(t, a.WaitTone(deadline(t), MusicHz))
	must(t, b.Hangup(deadline(t)))
	c := dial(t, carol, "701")
	must(t, c.WaitTone(deadline(t), aliceHz))
	must(t, c.Hangup(deadline(t)))
	must(t, a.Hangup(deadline(t)))
}

func testPickup(t *testing.T, p *PBX) {
	alice, bob := phone(t, p, "alice", Manual()), phone(t, p, "bob", RingOnly())
	carol := phone(t, p, "carol", Manual())
	for _, exten := range []string{PrefixPickup + "1002", ExtenPickupGroup} {
		a := dial(t, alice, "1002")
		must(t, a.WaitRinging(deadline(t)))
		c := dial(t, carol, exten)
		c.Play(carolHz)
		must(t, a.WaitTone(deadline(t), carolHz))
		must(t, fetch1(t, bob).WaitEnded(deadline(t)))
		must(t, a.Hangup(deadline(t)))
		must(t, c.WaitEnded(deadline(t)))
	}
}

func testVoicemail(t *testing.T, p *PBX) {
	alice := phone(t, p, "alice", Manual())
	phone(t, p, "bob", RingOnly())
	for _, exten := range []string{ExtenVoicemail, ExtenNoAnswer} {
		a := dial(t, alice, exten)
		must(t, a.WaitAnswered(deadline(t)))
		a.Play(aliceHz)
		must(t, a.Talk(deadline(t), 5*time.Second))
		must(t, a.Hangup(deadline(t)))
		must(t, p.WaitIdle(deadline(t)))
	}
	found, err := filepath.Glob(filepath.Join(p.Dir, "spool", "voicemail", "default", "1002", "INBOX", "*.wav"))
	must(t, err)
	if len(found) != 2 {
		t.Errorf("messages in bob's mailbox: %v, want 2", found)
	}
}

func testJournal(t *testing.T, p *PBX) {
	db, err := sql.Open("sqlite3", "file:"+p.JournalPath+"?mode=rw")
	must(t, err)
	defer func() { _ = db.Close() }()
	var rows, id int
	must(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM cel WHERE eventtype='BRIDGE_ENTER'").Scan(&rows))
	must(t, db.QueryRowContext(t.Context(), "PRAGMA user_version").Scan(&id))
	if rows == 0 || id == 0 {
		t.Errorf("journal %d has %d rows of bridges", id, rows)
	}
}
