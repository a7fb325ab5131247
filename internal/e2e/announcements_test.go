package e2e

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/api"
	"callrecordd/internal/control"
	"callrecordd/internal/lab"
	"callrecordd/internal/recorder"
)

// helloHz is the announcement of a start, for helloTime; that of an end is
// lab.AnnouncementHz, for three seconds.
const (
	helloHz   = 1900.0
	helloTime = 1500 * time.Millisecond
	byeTime   = 3 * time.Second
)

// announcing is a site with a client of confd, and a sound in the tenant's own
// folder.
type announcing struct {
	*site
	confd client
	bye   string
	long  string // bye three times
}

func newAnnouncing(t *testing.T) *announcing {
	t.Helper()
	pbx := newPBX(t, lab.Config{Sounds: map[string]float64{"activated": helloHz}, SoundSeconds: helloTime.Seconds()})
	s := siteAt(t, pbx, ownPorts)
	s.calm()
	s.start()
	s.populate()
	a := &announcing{site: s, confd: s.clientOf(api.Confd, "", "", "confd.recordings.announcements.#")}
	var tenants []struct{ UUID string }
	s.do("GET", "tenants", nil, &tenants)
	a.bye = filepath.Join(s.cfg.Recordings.Root, tenants[0].UUID, "announcements", "bye")
	must(t, os.MkdirAll(filepath.Dir(a.bye), 0o750))
	sound, err := os.ReadFile(pbx.Announcement() + ".sln")
	must(t, err)
	must(t, os.WriteFile(a.bye+".sln", sound, 0o640)) //nolint:gosec // Asterisk reads it
	a.long = a.bye + "-long"
	must(t, os.WriteFile(a.long+".sln", bytes.Repeat(sound, 3), 0o640)) //nolint:gosec // the same
	return a
}

// choose sets the announcements; nil is none.
func (a *announcing) choose(start, stop any) {
	a.t.Helper()
	a.confd.ask(a.t, "PUT", "/1.1/recordings/announcements", map[string]any{"recording_start": start, "recording_stop": stop}, 204, "")
}

// sounded returns for how long the call has heard a tone since that sample.
func sounded(c *lab.Call, from int, hz float64) (total time.Duration) {
	for _, span := range lab.Tones(lab.Audio{Rate: 8000, Channels: 1, Samples: c.Heard()[from:]}, []float64{hz}) {
		total += span.To - span.From
	}
	return total
}

// about checks for how long both have heard a tone. On a busy machine a sound
// has gaps and is stretched.
func (s *site) about(calls []*lab.Call, from []int, hz float64, want time.Duration) {
	s.t.Helper()
	for i, c := range calls {
		if d := sounded(c, from[i], hz); d < want-300*time.Millisecond || d > want+300*time.Millisecond+want/4 {
			s.t.Errorf("party %d hears %.0f Hz for %s, want %s", i, hz, d, want)
		}
	}
}

// told is an event of an announcement.
type told struct {
	kind, leg, user, occasion, sound, detail string
	at                                       time.Time
}

// evidence waits for n ended or failed announcements of a recording and returns
// all that is stored of them.
func (s *site) evidence(uuid string, n int) (list []told) {
	s.t.Helper()
	s.eventually("what was heard is stored", func() error {
		list = nil
		ends := 0
		s.query(`SELECT kind, at, data ->> 'leg', coalesce(data ->> 'user_uuid', ''), data ->> 'occasion', data ->> 'sound', coalesce(data ->> 'detail', '')
			FROM events WHERE recording = ? AND kind LIKE 'announcement_%' ORDER BY at, id`, []any{uuid}, func(r *sql.Rows) error {
			var e told
			var at int64
			err := r.Scan(&e.kind, &at, &e.leg, &e.user, &e.occasion, &e.sound, &e.detail)
			e.at = time.UnixMicro(at)
			if list = append(list, e); e.kind != recorder.EventAnnounced {
				ends++
			}
			return err
		})
		if ends != n {
			return fmt.Errorf("%d of %d: %+v", ends, n, list)
		}
		return nil
	})
	return list
}

// lasted checks that the announcement of an occasion has begun and ended on both
// legs, and how long it took.
func (s *site) lasted(list []told, occasion recorder.Occasion, want time.Duration) {
	s.t.Helper()
	var users []string
	begun := map[string]time.Time{}
	for _, e := range list {
		switch {
		case e.occasion != string(occasion):
		case e.kind == recorder.EventAnnounced:
			begun[e.leg] = e.at
		case e.kind != recorder.EventAnnouncementEnded || e.detail != "" || begun[e.leg].IsZero():
			s.t.Errorf("%+v, begun %s", e, begun[e.leg])
		default:
			users = append(users, e.user)
			if d := e.at.Sub(begun[e.leg]); d < want-400*time.Millisecond || d > want+time.Second {
				s.t.Errorf("the %s was heard by %s for %s, want %s", occasion, e.user, d, want)
			}
		}
	}
	slices.Sort(users)
	both := []string{s.users["alice"].UUID, s.users["bob"].UUID}
	slices.Sort(both)
	if !slices.Equal(users, both) {
		s.t.Errorf("the %s was heard by %v, want %v", occasion, users, both)
	}
}

// Issue 6, point 5: both parties hear the tenant's announcements, nobody's voice
// is missing for it, the file has none of it, and what was heard when is stored.
func TestAnnouncements(t *testing.T) {
	t.Parallel()
	a := newAnnouncing(t)
	alice, bob := a.phone("alice", lab.Manual()), a.phone("bob", lab.AutoAnswer(0))
	for name, run := range map[string]func(*announcing, *lab.Phone, *lab.Phone){
		"on demand": announcedOnDemand, "a pause": announcedPause, "by a rule": announcedByRule,
		"no such sound": announcedByBeep, "the call ends meanwhile": announcedToNobody,
	} {
		t.Run(name, func(t *testing.T) {
			sub := *a
			sub.site = a.sub(t)
			run(&sub, alice, bob)
		})
	}
}

func announcedOnDemand(a *announcing, alice, bob *lab.Phone) {
	a.choose("activated", a.bye)
	a.mayToggle(true, true)
	alice.BeginAt(50000) // sounds of Asterisk's own could keep such packets from a recorder
	bob.BeginAt(60000)
	cdr := a.cdrOf(func() {
		caller, callee := a.both(alice, bob, "1002")
		calls, from := []*lab.Call{caller, callee}, []int{len(caller.Heard()), len(callee.Heard())}
		a.press(caller)
		uuid := a.now(recorder.Live).Recording.UUID
		a.evidence(uuid, 2)
		must(a.t, caller.Talk(within(a.t), time.Second))
		a.about(calls, from, helloHz, helloTime)
		a.about(calls, from, lab.AnnouncementHz, 0)

		from = []int{len(caller.Heard()), len(callee.Heard())}
		a.do("POST", control.Path("live", a.channel("alice"), "stop"), nil, nil)
		list := a.evidence(uuid, 4)
		must(a.t, caller.Talk(within(a.t), 500*time.Millisecond))
		a.about(calls, from, lab.AnnouncementHz, byeTime)
		a.about(calls, from, helloHz, 0)
		a.lasted(list, recorder.TellsStart, helloTime)
		a.lasted(list, recorder.TellsStop, byeTime)
		for i, c := range calls { // an announcement takes the place of the beep
			if d := beeped(c, from[i]); d > 0 {
				a.t.Errorf("party %d hears a beep as well, for %s", i, d)
			}
		}
		a.hangup(caller)
	})
	_, media := a.recorded(cdr, []claim{{"alice", dialplan.OnDemand}}, toneA, toneC)
	for _, hz := range []float64{helloHz, lab.AnnouncementHz, beepHz} {
		if err := lab.CheckNoTone(media, hz); err != nil {
			a.t.Errorf("the recording: %v", err)
		}
	}
	// What both have said during the announcement is there.
	audio, err := lab.ReadWAV(media)
	must(a.t, err)
	if d := audio.Duration(); d < helloTime+800*time.Millisecond {
		a.t.Errorf("the recording lasts %s", d)
	}
	for _, hz := range []float64{toneA, toneC} {
		var total time.Duration
		for _, span := range lab.Tones(audio, []float64{hz}) {
			total += span.To - span.From
		}
		if missing := audio.Duration() - total; missing > 200*time.Millisecond {
			a.t.Errorf("%s of %.0f Hz are missing in the %s of the recording", missing, hz, audio.Duration())
		}
	}
}

// A pause ends the announcement of the start, which is no longer true, and is
// told at once; nothing of what is said then is on file.
func announcedPause(a *announcing, alice, bob *lab.Phone) {
	a.choose(a.long, "activated")
	a.mayToggle(true, true)
	var uuid string
	cdr := a.cdrOf(func() {
		caller, callee := a.both(alice, bob, "1002")
		calls, from := []*lab.Call{caller, callee}, []int{len(caller.Heard()), len(callee.Heard())}
		a.press(caller)
		uuid = a.now(recorder.Live).Recording.UUID
		a.eventually("the start is heard", func() error {
			if n := len(a.events(recorder.EventAnnounced, uuid)); n != 2 {
				return fmt.Errorf("by %d", n)
			}
			return nil
		})
		a.press(caller)
		a.silenced(1)
		callee.Play(cardHz)
		must(a.t, caller.WaitTone(within(a.t), cardHz))
		list := a.evidence(uuid, 4)
		callee.Play(toneC)
		must(a.t, caller.WaitTone(within(a.t), toneC))
		must(a.t, caller.WaitNoTone(within(a.t), cardHz))
		a.about(calls, from, helloHz, helloTime)
		a.lasted(list, recorder.TellsStop, helloTime)
		for i, c := range calls {
			if d := sounded(c, from[i], lab.AnnouncementHz); d < 200*time.Millisecond || d > 2*byeTime {
				a.t.Errorf("party %d hears the start for %s, which is not true any more", i, d)
			}
		}
		for _, e := range list {
			if e.occasion == string(recorder.TellsStart) && e.kind == recorder.EventAnnouncementEnded && e.detail != "it was no longer true" {
				a.t.Errorf("%+v", e)
			}
		}
		a.press(caller)
		must(a.t, callee.WaitTone(within(a.t), lab.AnnouncementHz))
		must(a.t, caller.WaitTone(within(a.t), lab.AnnouncementHz))
		a.hangup(caller)
		a.evidence(uuid, 6)
	})
	_, media := a.recorded(cdr, []claim{{"alice", dialplan.OnDemand}}, toneA, toneC)
	for _, hz := range []float64{cardHz, helloHz} {
		if err := lab.CheckNoTone(media, hz); err != nil {
			a.t.Errorf("the recording: %v", err)
		}
	}
}

func announcedByRule(a *announcing, alice, bob *lab.Phone) {
	a.choose("activated", nil)
	a.rules("alice", dialplan.Flags{OutgoingInternal: true})
	a.rules("bob", dialplan.Flags{OnDemand: true})
	var caller, callee *lab.Call
	cdr := a.cdrOf(func() {
		caller, callee = a.talk(alice, bob, "1002")
		a.clear(caller)
		uuid := a.now(recorder.Live).Recording.UUID
		a.lasted(a.evidence(uuid, 2), recorder.TellsStart, helloTime)
		from := []int{len(caller.Heard()), len(callee.Heard())}
		a.press(callee) // a second wish is not announced again: a beep answers it
		a.eventually("both hear the beep", func() error {
			if d := beeped(callee, from[1]); d < 300*time.Millisecond {
				return fmt.Errorf("for %s", d)
			}
			return nil
		})
		a.about([]*lab.Call{caller, callee}, from, helloHz, 0)
		a.evidence(uuid, 2)
		a.hangup(caller)
	})
	a.about([]*lab.Call{caller, callee}, []int{0, 0}, helloHz, helloTime)
	if len(cdr.Recordings) != 1 {
		a.t.Fatalf("recordings: %+v", cdr.Recordings)
	}
	media := a.media(cdr, cdr.Recordings[0])
	a.hears(media, toneA, toneB)
	if err := lab.CheckNoTone(media, helloHz); err != nil {
		a.t.Errorf("the recording: %v", err)
	}
}

func announcedByBeep(a *announcing, alice, bob *lab.Phone) {
	a.choose("custom/not-there", nil)
	a.mayToggle(true, true)
	cdr := a.cdrOf(func() {
		caller, callee := a.both(alice, bob, "1002")
		calls, from := []*lab.Call{caller, callee}, []int{len(caller.Heard()), len(callee.Heard())}
		a.press(caller)
		uuid := a.now(recorder.Live).Recording.UUID
		list := a.evidence(uuid, 2)
		must(a.t, caller.Talk(within(a.t), 500*time.Millisecond))
		a.about(calls, from, beepHz, 500*time.Millisecond)
		for _, e := range list {
			if e.kind != recorder.EventAnnouncementFailed || e.sound != "custom/not-there" || e.detail == "" {
				a.t.Errorf("%+v", e)
			}
		}
		a.hangup(caller)
	})
	a.recorded(cdr, []claim{{"alice", dialplan.OnDemand}}, toneA, toneC)
}

func announcedToNobody(a *announcing, alice, bob *lab.Phone) {
	a.choose(a.bye, a.bye)
	a.rules("alice", dialplan.Flags{OutgoingInternal: true})
	a.rules("bob", dialplan.Flags{})
	cdr := a.cdrOf(func() {
		caller, callee := a.talk(alice, bob, "1002")
		a.clear(caller)
		must(a.t, callee.WaitTone(within(a.t), lab.AnnouncementHz))
		uuid := a.now(recorder.Live).Recording.UUID
		a.eventually("it is heard", func() error {
			if n := len(a.events(recorder.EventAnnounced, uuid)); n != 2 {
				return fmt.Errorf("by %d", n)
			}
			return nil
		})
		a.hangup(caller) // and no channel of ours is left
		for _, e := range a.evidence(uuid, 2) {
			if e.kind == recorder.EventAnnouncementEnded && e.detail != "the call was over" || e.kind == recorder.EventAnnouncementFailed {
				a.t.Errorf("%+v", e)
			}
		}
	})
	if len(cdr.Recordings) != 1 || cdr.Recordings[0].State != "ready" {
		a.t.Errorf("recordings: %+v", cdr.Recordings)
	}
}

// Who comes by a transfer is told, and nobody twice: not those who stay, nor
// those who were there before a restart of the daemon.
func TestAnnouncementsOfATransferAfterARestart(t *testing.T) {
	t.Parallel()
	a := newAnnouncing(t)
	s := staged(a.site)
	a.choose("activated", a.bye)
	s.rules("alice", outInt)
	caller, callee := s.meet("alice", "1002", "bob")
	uuid := s.runs("alice", recorder.Live).UUID
	s.evidence(uuid, 2)
	s.stop()
	s.start()
	if now := s.runs("alice", recorder.Live).UUID; now != uuid {
		t.Errorf("recording %s has become %s", uuid, now)
	}
	from := len(caller.Heard())
	must(t, callee.BlindTransfer(within(t), "1003"))
	c := s.takes("carol")
	s.both(caller, "alice", c, "carol")
	list := s.evidence(uuid, 3)
	s.say(caller)
	s.about([]*lab.Call{caller}, []int{from}, helloHz, 0)
	s.about([]*lab.Call{callee, c}, []int{0, 0}, helloHz, helloTime)
	if last := list[len(list)-1]; last.kind != recorder.EventAnnouncementEnded || last.user != s.users["carol"].UUID || last.detail != "" {
		t.Errorf("%+v", last)
	}
	s.over(caller)
	s.gone(c)
	must(t, s.pbx.WaitIdle(within(t)))
	s.evidence(uuid, 3)
}
