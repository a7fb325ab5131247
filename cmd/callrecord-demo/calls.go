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
		{"alice", "1001", 440, "outgoing-internal"},
		{"bob", "1002", 610, "incoming-internal"},
		{"carol", "1003", 790, "incoming-external,outgoing-external"},
		{"dave", "1004", 970, "none"},
		{"erin", "1005", 1150, "none"},
		{spare, "1006", 1650, "all"},
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
	rings  string
	reason dialplan.Reason // empty: no rule wants it
	why    string
}

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
		s.say("    %s calls %s, %s answers: %s", sc.from, sc.dial, sc.answers, sc.why)
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
	callee, _ := find(sc.answers) // the script names people of the cast
	return s.call(ctx, sc.from, sc.dial, talkTime, callee.tone)
}

// call lets somebody call an extension, talk for a time and hang up. A tone
// other than 0 must be heard from the other side.
func (s *stage) call(ctx context.Context, from, exten string, talk time.Duration, tone float64) (err error) {
	p, _ := find(from)
	phone, ok := s.phones[from]
	if !ok {
		return fmt.Errorf("call %s: there is no telephone %q", exten, from)
	}
	ctx, cancel := context.WithTimeout(ctx, talk+patience)
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
	if err := call.Talk(ctx, talk); err != nil {
		return err
	}
	return call.Hangup(ctx)
}
