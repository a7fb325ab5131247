package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/lab"
)

const (
	// talkTime is how long both sides of a call play their tones, at least.
	talkTime = 3 * time.Second
	// ringTime is how long a telephone rings before it answers.
	ringTime  = 300 * time.Millisecond
	trunkName = "trunk-a"
	outside   = "outside"
	// spare is the user whose telephone is not there, for a softphone.
	spare = "guest"
)

// person is somebody with a telephone that plays a tone of its own.
type person struct {
	name, number string
	tone         float64
	record       string // the rules, as callrecordd user create has them
	onDemand     bool   // may press *3
}

// title is the name as Asterisk shows it.
func (p person) title() string { return strings.ToUpper(p.name[:1]) + p.name[1:] }

// cast are all who can be heard. No tone is a multiple of another.
func cast() []person {
	return append(users(), person{name: outside, number: "0301234567", tone: 1430})
}

// users are the users of the PBX. The second and the third are the members of
// the lab's ring group.
func users() []person {
	return []person{
		{name: "alice", number: "1001", tone: 440, record: "outgoing-internal"},
		{name: "bob", number: "1002", tone: 610, record: "incoming-internal"},
		{name: "carol", number: "1003", tone: 790, record: "incoming-external,outgoing-external"},
		{name: "dave", number: "1004", tone: 970, record: "none"},
		{name: "erin", number: "1005", tone: 1150, record: "none", onDemand: true},
		{name: spare, number: "1006", tone: 1650, record: "all", onDemand: true},
	}
}

func find(name string) (person, bool) {
	all := cast()
	i := slices.IndexFunc(all, func(p person) bool { return p.name == name })
	if i < 0 {
		return person{}, false
	}
	return all[i], true
}

// scene is a call and what must become of it.
type scene struct {
	from, dial string
	answers    string
	// rings has a rule but does not answer, so the rule must not count.
	rings string
	// presses are what the caller dials in the call, with the time that is
	// talked after each.
	presses []press
	// pause is how long the recording must at least be silent in between.
	pause  time.Duration
	reason dialplan.Reason // empty: no rule wants it
	why    string
}

type press struct {
	digits string
	talk   time.Duration
}

// The feature codes, as the shipped configuration has them.
const (
	starAuto     = "*26"
	starOnDemand = "*3"
)

// script are the calls; those of one wave happen at the same time. Nobody is in
// two calls of a wave.
func script() [][]scene {
	return [][]scene{
		{
			{from: "alice", dial: "1004", answers: "dave", reason: dialplan.RuleOutInternal, why: "Alice's rule for calls to users"},
			{from: outside, dial: lab.PrefixDID + "1003", answers: "carol", reason: dialplan.RuleInExternal, why: "Carol's rule for calls from outside"},
		},
		{
			{from: "dave", dial: "1002", answers: "bob", reason: dialplan.RuleInInternal, why: "Bob's rule for calls from users"},
			{from: "carol", dial: lab.PrefixOut + "0409876543", answers: outside, reason: dialplan.RuleOutExternal, why: "Carol's rule for calls to the outside"},
		},
		{
			{from: "dave", dial: "1001", answers: "alice", why: "no rule wants it"},
			{from: "erin", dial: lab.ExtenGroup, answers: "carol", rings: "bob", why: "no rule wants it: Carol answers the group's call, Bob's rule does not count"},
		},
		{
			{from: "dave", dial: starAuto, why: "Dave switches the recording of his calls on, on his telephone"},
			{
				from: "erin", dial: "1001", answers: "alice", reason: dialplan.OnDemand, pause: 1500 * time.Millisecond,
				presses: []press{{starOnDemand, 2 * time.Second}, {starOnDemand, 2 * time.Second}, {starOnDemand, 2 * time.Second}},
				why:     "Erin presses *3 to record, *3 to pause and *3 to resume",
			},
		},
		{
			{from: "dave", dial: "1005", answers: "erin", reason: dialplan.RuleOutInternal, why: "Dave has dialled *26"},
		},
	}
}

func scenes() []scene { return slices.Concat(script()...) }

// connectPhones registers everybody's telephone. They answer by themselves.
func (s *stage) connectPhones(ctx context.Context) error {
	for _, p := range cast() {
		if p.name == spare {
			continue
		}
		ready, cancel := context.WithTimeout(ctx, patience)
		var phone *lab.Phone
		var err error
		if p.name == outside {
			phone, err = lab.NewTrunk(ready, s.pbx, trunkName)
		} else {
			phone, err = lab.NewPhone(ready, s.pbx, lab.Account{User: p.name})
		}
		cancel()
		if err != nil {
			return err
		}
		s.undo = append(s.undo, func() error { phone.Close(); return nil })
		s.phones[p.name] = phone
		phone.OnIncoming(lab.AutoAnswer(ringTime))
		s.background.Go(func() { s.answer(ctx, phone, p.tone) })
	}
	return nil
}

// answer plays the telephone's tone to everybody who calls it.
func (s *stage) answer(ctx context.Context, phone *lab.Phone, tone float64) {
	for {
		call, err := phone.WaitCall(ctx)
		if err != nil {
			return // the end
		}
		s.background.Go(func() {
			if call.WaitAnswered(ctx) == nil { // somebody else may have answered
				call.Play(tone)
			}
		})
	}
}

// placeAll places the calls of a wave.
func (s *stage) placeAll(ctx context.Context, wave []scene) error {
	errs := make([]error, len(wave))
	var wg sync.WaitGroup
	for i, sc := range wave {
		answers := ""
		if sc.answers != "" {
			answers = ", " + sc.answers + " answers"
		}
		s.say("    %s calls %s%s: %s", sc.from, sc.dial, answers, sc.why)
		wg.Go(func() { errs[i] = s.place(ctx, sc) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (s *stage) place(ctx context.Context, sc scene) error {
	if sc.rings != "" {
		phone := s.phones[sc.rings]
		phone.OnIncoming(lab.RingOnly())
		defer phone.OnIncoming(lab.AutoAnswer(ringTime))
	}
	if sc.answers == "" {
		return s.dial(ctx, sc.from, sc.dial)
	}
	callee, _ := find(sc.answers) // the script names people of the cast
	return s.call(ctx, sc.from, sc.dial, callee.tone, func(ctx context.Context, c *lab.Call) error {
		if len(sc.presses) == 0 {
			return c.Talk(ctx, talkTime)
		}
		for _, p := range sc.presses {
			if err := c.SendDTMF(ctx, p.digits); err != nil {
				return err
			}
			if err := c.Talk(ctx, p.talk); err != nil {
				return err
			}
		}
		return nil
	})
}

// dial lets somebody call what hangs up by itself, such as a feature code.
func (s *stage) dial(ctx context.Context, from, exten string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	call, err := s.phones[from].Dial(ctx, exten)
	if err != nil {
		return err
	}
	return call.WaitEnded(ctx)
}

// call lets somebody call an extension, talk and hang up. A tone other than 0
// must be heard from the other side.
func (s *stage) call(ctx context.Context, from, exten string, tone float64, talk func(context.Context, *lab.Call) error) (err error) {
	p, _ := find(from)
	phone, ok := s.phones[from]
	if !ok {
		return fmt.Errorf("call %s: there is no telephone %q", exten, from)
	}
	all := ctx
	ctx, cancel := context.WithTimeout(all, patience)
	defer cancel()
	call, err := phone.Dial(ctx, exten)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
			defer cancel()
			err = errors.Join(err, call.Hangup(end))
		}
	}()
	if err := call.WaitAnswered(ctx); err != nil {
		return err
	}
	call.Play(p.tone)
	if tone != 0 {
		if err := call.WaitTone(ctx, tone); err != nil {
			return err
		}
	}
	if err := talk(all, call); err != nil {
		return err
	}
	end, cancel := context.WithTimeout(all, patience)
	defer cancel()
	return call.Hangup(end)
}
