package e2e

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"callrecordd/config"
	"callrecordd/dialplan"
	"callrecordd/internal/app"
	"callrecordd/internal/control"
	"callrecordd/internal/lab"
	"callrecordd/internal/recorder"
)

// stageWith is a stage whose daemon has settings of its own.
func stageWith(t *testing.T, change ...func(*config.Config)) *stage {
	t.Helper()
	s := siteAt(t, newPBX(t, lab.Config{}), change...)
	s.calm()
	s.start()
	s.populate()
	return staged(s)
}

// staged gives a site that runs its telephones.
func staged(s *site) *stage {
	s.t.Helper()
	out := &stage{site: s, phones: map[string]*lab.Phone{"trunk-a": s.trunk(lab.Manual())}}
	for _, u := range lab.DefaultUsers() {
		out.phones[u.Name] = s.phone(u.Name, lab.Manual())
	}
	return out
}

// may are rules of somebody who may press *3 as well.
func may(f dialplan.Flags) dialplan.Flags {
	f.OnDemand = true
	return f
}

// party is somebody's part in the talk that it is in, and that talk.
func (s *stage) party(who string) (app.LiveTalk, app.LiveLeg, error) {
	s.t.Helper()
	var talks []app.LiveTalk
	s.do("GET", "live", nil, &talks)
	for _, t := range talks {
		for _, l := range t.Legs {
			if l.Endpoint == "PJSIP/"+who {
				return t, l, nil
			}
		}
	}
	return app.LiveTalk{}, app.LiveLeg{}, fmt.Errorf("%s is not in %+v", who, talks)
}

// wish waits until the record state of somebody's own wish is that.
func (s *stage) wish(who string, want recorder.PartyState) {
	s.t.Helper()
	s.eventually(who+"'s wish is "+string(want), func() error {
		_, leg, err := s.party(who)
		if err == nil && leg.RecordState != want {
			err = fmt.Errorf("it is %+v", leg)
		}
		return err
	})
}

// runs waits until somebody's talk is recorded in that state.
func (s *stage) runs(who string, state recorder.State) app.LiveRecording {
	s.t.Helper()
	var found app.LiveRecording
	s.eventually(who+"'s talk is "+string(state), func() error {
		talk, _, err := s.party(who)
		switch {
		case err != nil:
			return err
		case talk.Recording == nil || talk.Recording.State != state:
			return fmt.Errorf("the talk is %+v with %+v", talk.Legs, talk.Recording)
		}
		found = *talk.Recording
		return nil
	})
	return found
}

// idle waits until no recorder runs for somebody's talk.
func (s *stage) idle(who string) {
	s.t.Helper()
	s.eventually("nothing records "+who, func() error {
		talk, _, err := s.party(who)
		if err == nil && talk.Recording != nil {
			err = fmt.Errorf("there is %+v", talk.Recording)
		}
		return err
	})
}

// starts presses *3 and waits until the talk is recorded and both know.
func (s *stage) starts(c *lab.Call, who string) {
	s.t.Helper()
	s.presses(c, "*3")
	s.runs(who, recorder.Live)
	s.wish(who, recorder.Active)
	s.say(c)
}

// adds presses *3 where somebody else has pressed it, and waits for the wish.
func (s *stage) adds(c *lab.Call, who string, state recorder.PartyState) {
	s.t.Helper()
	s.presses(c, "*3")
	s.wish(who, state)
}

// mutes counts the mutes of a recording that Asterisk has confirmed.
func (s *stage) mutes(uuid string) int { return len(s.events(recorder.EventMuted, uuid)) }

// pauses presses *3 and waits until nothing more is written.
func (s *stage) pauses(c *lab.Call, who string) {
	s.t.Helper()
	uuid := s.runs(who, recorder.Live).UUID
	before := s.mutes(uuid)
	s.presses(c, "*3")
	s.runs(who, recorder.Paused)
	s.hushed(uuid, before)
	s.wish(who, recorder.PartyPaused)
}

// hushed waits until a recording has more than that many confirmed mutes.
func (s *stage) hushed(uuid string, before int) {
	s.t.Helper()
	s.eventually("the recorder is muted", func() error {
		if n := s.mutes(uuid); n <= before {
			return fmt.Errorf("%d confirmed mutes", n)
		}
		return nil
	})
}

// resumes presses *3 and lets the call go on, recorded.
func (s *stage) resumes(c *lab.Call, who string) {
	s.t.Helper()
	s.presses(c, "*3")
	s.goesOn(c, who)
}

// goesOn lets a call go on once it is recorded.
func (s *stage) goesOn(c *lab.Call, who string) {
	s.t.Helper()
	s.runs(who, recorder.Live)
	s.wish(who, recorder.Active)
	s.say(c)
}

// denied presses *3, which must be refused for that reason.
func (s *stage) denied(c *lab.Call, who string, reason dialplan.Reason) {
	s.t.Helper()
	before := s.refusals(reason, s.users[who].UUID)
	s.presses(c, "*3")
	s.refused(reason, s.users[who].UUID, before+1)
}

// order is what an administrator asks for at somebody's call.
func (s *stage) order(who, op string) {
	s.t.Helper()
	_, leg, err := s.party(who)
	must(s.t, err)
	s.do("POST", control.Path("live", leg.Channel, op), nil, nil)
}

// asks is what somebody asks for at its own call through the API.
func (s *stage) asks(who string, op recorder.Op) (recorder.Outcome, error) {
	s.t.Helper()
	_, leg, err := s.party(who)
	must(s.t, err)
	outcome, err := s.app.RequestLive(within(s.t), app.LiveRequest{Channel: leg.Channel, Op: op, Actor: who})
	return outcome.Outcome, err
}

func (s *stage) asked(who string, op recorder.Op, want recorder.PartyState) {
	s.t.Helper()
	if outcome, err := s.asks(who, op); err != nil || outcome.State != want {
		s.t.Errorf("%s asks for %s: %+v %v, want %s", who, op, outcome, err, want)
	}
}

// cardNumber is spoken in tones that nobody else has, one for each digit.
func cardNumber() []float64 { return []float64{1840, 2240, 1940, 2700, 1540} }

// tells lets somebody say the card number to somebody who hears each digit.
func (s *stage) tells(c *lab.Call, who string, listener *lab.Call) {
	s.t.Helper()
	for _, hz := range cardNumber() {
		c.Play(hz)
		must(s.t, listener.WaitTone(within(s.t), hz))
	}
	c.Play(voices()[who])
	must(s.t, listener.WaitNoTone(within(s.t), cardNumber()[len(cardNumber())-1]))
}

// digitsOnDisk looks for the digits in every file below the root, whatever its
// name, and returns those found.
func (s *stage) digitsOnDisk() []string {
	s.t.Helper()
	var found []string
	must(s.t, filepath.WalkDir(s.cfg.Recordings.Root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		// A daemon that is killed while it tries the disk leaves an empty file.
		if info, err := d.Info(); err == nil && info.Size() == 0 && strings.HasPrefix(d.Name(), ".callrecordd-probe-") {
			return nil
		}
		audio, err := lab.ReadWAV(path)
		if err != nil {
			return fmt.Errorf("a file that cannot be searched: %w", err)
		}
		for _, span := range lab.Tones(audio, cardNumber()) {
			found = append(found, fmt.Sprintf("%s: %.0f Hz %s–%s", filepath.Base(path), span.Hz, span.From, span.To))
		}
		return nil
	}))
	return found
}

// secret plays situations in which the card number is told in a pause. It must
// be in no file, and no pause may have been found to have words in it.
func (s *stage) secret(t *testing.T, list []situation) {
	t.Helper()
	for _, c := range list {
		s.run(t, []situation{c})
		if found := s.digitsOnDisk(); len(found) > 0 {
			t.Fatalf("%s: digits are on disk: %q", c.name, found)
		}
		s.silent(t, c.name)
	}
}

// pause is one that is stored.
type pause struct {
	uuid, silence string
	from, to      time.Duration // since the recording's start
}

// stillness are the stored pauses of a recording, or of all with "".
func (s *stage) stillness(uuid string) []pause {
	s.t.Helper()
	var out []pause
	s.query(`SELECT p.recording_uuid, p.silence, p.from_at - r.started_at, coalesce(p.to_at, -1) - r.started_at
		FROM recording_pauses p JOIN recordings r ON r.uuid = p.recording_uuid
		WHERE ?1 = '' OR r.uuid = ?1 ORDER BY p.from_at`, []any{uuid}, func(r *sql.Rows) error {
		var p pause
		var from, to int64
		err := r.Scan(&p.uuid, &p.silence, &from, &to)
		p.from, p.to = time.Duration(from)*time.Microsecond, time.Duration(to)*time.Microsecond
		out = append(out, p)
		return err
	})
	return out
}

// silent checks what was found where pauses are. A file that lacks some time, as
// after a transfer, may leave open where in it a pause is.
func (s *stage) silent(t *testing.T, name string) {
	t.Helper()
	list := s.stillness("")
	if len(list) == 0 {
		t.Errorf("%s: no pause is stored", name)
	}
	for _, p := range list {
		if !slices.Contains([]string{string(recorder.Silent), string(recorder.CutOut), string(recorder.Unchecked)}, p.silence) {
			t.Errorf("%s: the pause %+v is not silent", name, p)
		}
	}
}

// refusedAs is the reason of an error of a request, empty if it is another.
func refusedAs(err error) dialplan.Reason {
	if r, ok := errors.AsType[*app.Refused](err); ok {
		return r.Reason
	}
	return ""
}
