package e2e

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/control"
	"callrecordd/internal/directory"
	"callrecordd/internal/lab"
)

// What is spoken to who dials *26 are tones here, far from those of phones, so
// that a test hears which it is.
var spoken = map[string]float64{
	dialplan.SoundOn: 1400, dialplan.SoundOff: 1600, dialplan.SoundDisabled: 1800,
	dialplan.SoundSorry: 2000, dialplan.SoundRefused: 2200,
}

// maxSwitch is how long a call of *26 may take, whatever happens.
const maxSwitch = 10 * time.Second

func newStarPBX(t *testing.T) *lab.PBX {
	t.Helper()
	return newPBX(t, lab.Config{Sounds: spoken})
}

// newStarSite is a site whose Asterisk has *26.
func newStarSite(t *testing.T) *site {
	t.Helper()
	s := siteAt(t, newStarPBX(t))
	s.start()
	s.populate()
	s.hasFeatures()
	return s
}

// hasFeatures waits until Asterisk runs with the dialplan of *26 as it is now.
func (s *site) hasFeatures() {
	s.t.Helper()
	s.eventually("Asterisk has *26", func() error {
		var st struct {
			Features string `json:"features"`
		}
		if err := s.client.Do(s.t.Context(), "GET", "status", nil, &st); err != nil {
			return err
		}
		if st.Features != "" {
			return fmt.Errorf("%s", st.Features)
		}
		return nil
	})
}

// answers calls a number, which must say exactly this and hang up in time.
func (s *site) answers(from *lab.Phone, exten, sound string) {
	s.t.Helper()
	begin := time.Now()
	c, err := from.Dial(within(s.t), exten)
	must(s.t, err)
	must(s.t, c.WaitTone(within(s.t), spoken[sound]))
	must(s.t, c.WaitEnded(within(s.t)))
	if took := time.Since(begin); took > maxSwitch {
		s.t.Errorf("%s: the call took %s", exten, took)
	}
	s.told(c, sound)
}

// told checks that these sounds were heard in a call, for their second each,
// and none else.
func (s *site) told(c *lab.Call, sounds ...string) {
	s.t.Helper()
	want := map[string]bool{}
	for _, name := range sounds {
		want[name] = true
	}
	audio := lab.Audio{Rate: 8000, Channels: 1, Samples: c.Heard()}
	for name, hz := range spoken {
		var total time.Duration
		for _, span := range lab.Tones(audio, []float64{hz}) {
			total += span.To - span.From
		}
		if want[name] && total < 800*time.Millisecond || !want[name] && total > 0 {
			s.t.Errorf("%s is heard for %s, want %v", name, total, sounds)
		}
	}
}

func (s *site) flags(user string, want dialplan.Flags) {
	s.t.Helper()
	var users []directory.User
	s.do("GET", "users", nil, &users)
	for _, u := range users {
		if u.UUID == s.users[user].UUID && u.Flags != want {
			s.t.Errorf("flags of %s are %+v, want %+v", user, u.Flags, want)
		}
	}
}

// lamp subscribes to a lamp key.
func (s *site) lamp(p *lab.Phone, exten string) *lab.Lamp {
	s.t.Helper()
	l, err := p.Subscribe(within(s.t), exten)
	must(s.t, err)
	return l
}

func (s *site) patch(user string, changes map[string]any) {
	s.t.Helper()
	s.do("PATCH", control.Path("users", s.users[user].UUID), changes, nil)
}

// Rows 34 to 36 of recording-rules 7.
func TestStar26SwitchesTheRules(t *testing.T) {
	t.Parallel()
	s := newStarSite(t)
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
	lamp := s.lamp(bob, "*261001")
	must(t, lamp.Wait(within(t), lab.LampOff))
	on := allFlags
	on.OnDemand = true // which *26 leaves alone
	s.rules("alice", dialplan.Flags{OnDemand: true})

	star := s.cdrOf(func() { s.answers(alice, "*26", dialplan.SoundOn) })
	s.flags("alice", on)
	must(t, lamp.Wait(within(t), lab.LampOn))
	if star.Answered || star.CallStatus != "unknown" || star.DestinationExtension != "*26" ||
		star.RequestedExtension != "*26" || star.SourceUserUUID != s.users["alice"].UUID || len(star.Recordings) > 0 {
		t.Errorf("the CDR of *26 is %+v", star)
	}
	if cdr := s.speak(alice, bob, "1002"); len(cdr.Recordings) != 1 || cdr.Recordings[0].State != "ready" {
		t.Errorf("switched on, recordings are %+v", cdr.Recordings)
	}

	s.answers(alice, "*26", dialplan.SoundOff)
	s.flags("alice", dialplan.Flags{OnDemand: true})
	must(t, lamp.Wait(within(t), lab.LampOff))
	s.waitCDRs(3)
	if cdr := s.speak(alice, bob, "1002"); len(cdr.Recordings) != 0 {
		t.Errorf("switched off, recordings are %+v", cdr.Recordings)
	}

	s.rules("alice", dialplan.Flags{OutgoingInternal: true, IncomingExternal: true, OnDemand: true})
	s.answers(alice, "*26", dialplan.SoundOn)
	s.flags("alice", on)
	must(t, lamp.Wait(within(t), lab.LampOn))

	var kept []string
	s.query("SELECT actor FROM events WHERE kind = 'directory.user.changed' ORDER BY id", nil, func(r *sql.Rows) error {
		var actor string
		err := r.Scan(&actor)
		kept = append(kept, actor)
		return err
	})
	// Who hangs up early has switched all the same, and it is no failure.
	early, err := alice.Dial(within(t), "*26")
	must(t, err)
	must(t, early.WaitTone(within(t), spoken[dialplan.SoundOff]))
	must(t, early.Hangup(within(t)))
	must(t, lamp.Wait(within(t), lab.LampOff))
	s.eventually("the daemon notes it", func() error {
		if log := s.log(); strings.Contains(log, "call of *26 failed") || !strings.Contains(log, "the caller of *26 has hung up") {
			return fmt.Errorf("daemon log: %s", last(log, 2000))
		}
		return nil
	})
	uuid := s.users["alice"].UUID
	if want := []string{"test", uuid, uuid, "test", uuid}; fmt.Sprint(kept) != fmt.Sprint(want) {
		t.Errorf("changes were made by %v, want %v", kept, want)
	}
}

func TestStar26Lamps(t *testing.T) {
	t.Parallel()
	s := newStarSite(t)
	alice, bob, dave := s.phone("alice", lab.Manual()), s.phone("bob", lab.Manual()), s.phone("dave", lab.Manual())
	own := fmt.Sprintf("*26*%d", s.users["alice"].ID)
	byExten, byID := s.lamp(bob, "*261001"), s.lamp(alice, own)
	show := func(state string) {
		t.Helper()
		must(t, byExten.Wait(within(t), state))
		must(t, byID.Wait(within(t), state))
	}
	show(lab.LampOff)
	s.rules("alice", allFlags) // by the command line
	show(lab.LampOn)
	s.rules("alice", but(outInt))
	show(lab.LampOff)

	// The keys work for their own user only.
	s.answers(alice, "*261001", dialplan.SoundOn)
	show(lab.LampOn)
	s.answers(bob, "*261001", dialplan.SoundRefused)
	s.answers(bob, own, dialplan.SoundRefused)
	s.answers(alice, "*261002", dialplan.SoundRefused)
	s.flags("alice", allFlags)
	s.flags("bob", noFlags)
	s.answers(alice, own, dialplan.SoundOff)
	show(lab.LampOff)
	s.answers(alice, own, dialplan.SoundOn)
	show(lab.LampOn)

	// Asterisk restarts: the phone subscribes anew and sees the truth, also of
	// what changed meanwhile.
	other := s.lamp(alice, "*261002")
	must(t, other.Wait(within(t), lab.LampOff))
	must(t, s.pbx.Kill())
	s.rules("bob", allFlags)
	must(t, s.pbx.Restart(within(t)))
	must(t, s.lamp(bob, "*261001").Wait(within(t), lab.LampOn))
	must(t, s.lamp(alice, "*261002").Wait(within(t), lab.LampOn))
	must(t, alice.Register(within(t)))
	must(t, bob.Register(within(t)))
	byExten, byID = s.lamp(bob, "*261001"), s.lamp(alice, own)
	show(lab.LampOn)

	// A number that two users have is nobody's lamp, but each may dial it.
	s.patch("carol", map[string]any{"lines": []directory.Line{{Endpoint: "PJSIP/carol", Exten: "1001", Context: "elsewhere"}}})
	must(t, byExten.Wait(within(t), lab.LampOff))
	must(t, byID.Wait(within(t), lab.LampOn))
	s.ready()
	s.answers(alice, "*261001", dialplan.SoundOff)
	must(t, byID.Wait(within(t), lab.LampOff))
	s.rules("alice", allFlags)
	s.patch("carol", map[string]any{"lines": []directory.Line{}})
	show(lab.LampOn)

	// Renumbered, then gone.
	s.patch("alice", map[string]any{"lines": []directory.Line{{Endpoint: "PJSIP/alice", Exten: "1077", Context: lab.ContextUsers}}})
	must(t, byExten.Wait(within(t), lab.LampOff))
	next := s.lamp(bob, "*261077")
	must(t, next.Wait(within(t), lab.LampOn))
	s.do("DELETE", control.Path("users", s.users["alice"].UUID), nil, nil)
	must(t, next.Wait(within(t), lab.LampOff))
	must(t, byID.Wait(within(t), lab.LampOff))

	// Row 38: who is no user.
	s.answers(alice, "*26", dialplan.SoundRefused)
	s.do("DELETE", control.Path("users", s.users["dave"].UUID), nil, nil)
	s.do("POST", "devices", directory.Device{Endpoint: "PJSIP/dave"}, nil)
	s.answers(dave, "*26", dialplan.SoundRefused)
	s.flags("bob", allFlags)
}

func TestStar26IsNotForThoseWhoAreTransferredThere(t *testing.T) {
	t.Parallel()
	s := newStarSite(t)
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
	// Behind a comma Asterisk's Goto sees a priority, such as that behind the refusal.
	for _, exten := range []string{"*26", "*261001", "*261001,2"} {
		caller, callee := s.talk(alice, bob, "1002")
		must(t, callee.BlindTransfer(within(t), exten))
		must(t, caller.WaitTone(within(t), spoken[dialplan.SoundRefused]))
		must(t, caller.WaitEnded(within(t)))
		s.flags("alice", noFlags)
		s.flags("bob", noFlags)
	}
}

func TestStar26ByTwoPhonesOfOneUser(t *testing.T) {
	t.Parallel()
	s := newStarSite(t)
	s.do("DELETE", control.Path("users", s.users["carol"].UUID), nil, nil)
	s.patch("alice", map[string]any{"lines": []directory.Line{
		{Endpoint: "PJSIP/alice", Exten: "1001", Context: lab.ContextUsers, Main: true}, {Endpoint: "PJSIP/carol"},
	}})
	phones := []*lab.Phone{s.phone("alice", lab.Manual()), s.phone("carol", lab.Manual())}
	lamp := s.lamp(phones[0], "*261001")
	for range 3 {
		calls := make([]*lab.Call, len(phones))
		var wg sync.WaitGroup
		for i, p := range phones {
			wg.Go(func() {
				c, err := p.Dial(within(t), "*26")
				if err == nil {
					err = c.WaitEnded(within(t))
				}
				if err != nil {
					t.Error(err)
				}
				calls[i] = c
			})
		}
		wg.Wait()
		if t.Failed() {
			t.FailNow()
		}
		// One has switched on, the other off, in whatever order.
		first, second := dialplan.SoundOn, dialplan.SoundOff
		if heardTone(calls[0], spoken[second]) {
			first, second = second, first
		}
		s.told(calls[0], first)
		s.told(calls[1], second)
		s.flags("alice", noFlags)
	}
	must(t, lamp.Wait(within(t), lab.LampOff))
}

func heardTone(c *lab.Call, hz float64) bool {
	return len(lab.Tones(lab.Audio{Rate: 8000, Channels: 1, Samples: c.Heard()}, []float64{hz})) > 0
}

// Row 37, and a new number, all without a restart of Asterisk.
func TestStar26DisabledAndRenumbered(t *testing.T) {
	t.Parallel()
	s := newStarSite(t)
	alice := s.phone("alice", lab.Manual())
	pid := s.pbx.PID()
	feature := func(changes map[string]any) {
		t.Helper()
		var list []directory.Feature
		s.do("GET", "features", nil, &list)
		if len(list) != 1 || list[0].Name != "callrecord" {
			t.Fatalf("features: %+v", list)
		}
		s.do("PATCH", control.Path("features", list[0].UUID), changes, nil)
	}
	// loaded waits until Asterisk has read the file that says so.
	loaded := func(line string) {
		t.Helper()
		s.eventually("Asterisk's dialplan has "+line, func() error {
			out, err := s.pbx.Console(t.Context(), "dialplan show callrecord-features")
			if err == nil && !strings.Contains(out, line) {
				err = fmt.Errorf("it is %s", out)
			}
			return err
		})
	}
	unknown := func(exten string) {
		t.Helper()
		c, err := alice.Dial(within(t), exten)
		must(t, err)
		must(t, c.WaitEnded(within(t)))
		if c.Status() != 404 {
			t.Errorf("%s: status %d", exten, c.Status())
		}
	}
	feature(map[string]any{"enabled": false})
	loaded("Playback(disabled)")
	s.answers(alice, "*26", dialplan.SoundDisabled)
	s.answers(alice, "*261001", dialplan.SoundDisabled)
	s.flags("alice", noFlags)
	feature(map[string]any{"exten": "*81", "enabled": true})
	loaded("'*81'")
	unknown("*26")
	s.answers(alice, "*81", dialplan.SoundOn)
	must(t, s.lamp(alice, "*811001").Wait(within(t), lab.LampOn))
	if s.pbx.PID() != pid {
		t.Error("Asterisk was restarted")
	}
	reloads := func() int { return strings.Count(s.pbx.Log(), "Reloading module 'pbx_config.so'") }
	if n := reloads(); n != 3 {
		t.Errorf("%d reloads, want one for the first file and one for each change", n)
	}

	// Both start again: the file is there before the daemon, and nothing is
	// reloaded that is the same.
	s.stop()
	must(t, s.pbx.Restart(within(t)))
	must(t, alice.Register(within(t)))
	s.answers(alice, "*81", dialplan.SoundSorry) // STASISSTATUS=FAILED
	s.flagsOnDisk("alice", allFlags)
	s.start()
	s.hasFeatures()
	s.answers(alice, "*81", dialplan.SoundOff)
	if n := reloads(); n != 3 {
		t.Errorf("%d reloads, want no more than before", n)
	}

	// Somebody deletes the file, and Asterisk restarts without it.
	s.stop()
	must(t, os.Remove(s.cfg.State.Features()))
	must(t, s.pbx.Restart(within(t)))
	must(t, alice.Register(within(t)))
	unknown("*81")
	s.start()
	s.hasFeatures()
	s.answers(alice, "*81", dialplan.SoundOn)
	if info, err := os.Stat(s.cfg.State.Features()); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the file is %v, %v", info, err)
	}
}

// flagsOnDisk reads what the daemon left.
func (s *site) flagsOnDisk(user string, want dialplan.Flags) {
	s.t.Helper()
	var doc string
	if n := s.rows("SELECT doc FROM directory_history WHERE key = ? AND valid_to IS NULL", []any{s.users[user].UUID}, &doc); n != 1 {
		s.t.Fatalf("%d entries of %s", n, user)
	}
	var u directory.User
	must(s.t, json.Unmarshal([]byte(doc), &u))
	if u.Flags != want {
		s.t.Errorf("flags of %s are %+v, want %+v", user, u.Flags, want)
	}
}
