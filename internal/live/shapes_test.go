package live_test

import (
	"time"

	"callrecordd/internal/lab"
)

// shape is a kind of call.
type shape struct {
	name string
	play func(*stage)
	// want are the talks the design demands, each as its spans: endpoint, role
	// and the hops of via, nearest first, each with the queue's name before the
	// extension. Written by hand, so that two adapters which err alike are found.
	want [][]string
	// live shapes are placed anew in every run.
	live bool
}

// once is a single talk of unchanging legs.
func once(spans ...string) [][]string { return [][]string{spans} }

const (
	aliceBob   = "alice caller, bob peer <1002@users"
	aliceCarol = "alice caller, carol peer <1003@users"
)

func shapes() []shape {
	auto, ring, hand := lab.AutoAnswer(0), lab.RingOnly(), lab.Manual()
	// A name for plain calls between alice and whoever answers the extension.
	plain := func(exten string, bob, carol lab.Incoming, answers string) func(*stage) {
		return func(s *stage) {
			a, b, c := s.trio(bob, carol)
			callee := b
			if answers == "carol" {
				callee = c
			}
			call, _ := s.talk(a, callee, exten)
			s.pass(call, 500*time.Millisecond)
			s.hangup(call)
		}
	}
	// Nobody talks: alice dials and hears how it ends.
	refused := func(exten string, bob lab.Incoming) func(*stage) {
		return func(s *stage) {
			s.phone("bob", bob)
			must(s.t, s.dial(s.phone("alice", hand), exten).WaitEnded(within(s.t)))
		}
	}
	// blind is a transfer of alice by bob, or of bob by alice, to an extension
	// that carol answers.
	blind := func(by, exten string, carol lab.Incoming) func(*stage) {
		return func(s *stage) {
			a, b, c := s.trio(auto, carol)
			ac, bc := s.talk(a, b, "1002")
			if by == "alice" {
				a, ac, bc = b, bc, ac
			}
			must(s.t, bc.BlindTransfer(within(s.t), exten))
			s.join(a, ac, c)
			must(s.t, bc.WaitEnded(within(s.t)))
			s.hangup(ac)
		}
	}
	pickup := func(exten string) func(*stage) {
		return func(s *stage) {
			a, _, c := s.trio(ring, hand)
			ac := s.dial(a, "1002")
			must(s.t, ac.WaitRinging(within(s.t)))
			cc := s.dial(c, exten)
			s.hear(ac, c)
			s.hear(cc, a)
			s.hangup(ac, cc)
		}
	}
	return []shape{
		{name: "answered", play: plain("1002", auto, hand, "bob"), want: once(aliceBob), live: true},
		{name: "cancelled", play: func(s *stage) {
			a, _, _ := s.trio(ring, hand)
			ac := s.dial(a, "1002")
			must(s.t, ac.WaitRinging(within(s.t)))
			must(s.t, ac.Cancel(within(s.t)))
		}},
		{name: "rejected", play: refused("1002", lab.RejectWith(486))},
		{name: "busy", play: refused(lab.ExtenBusy, hand)},
		{name: "from_trunk", play: func(s *stage) {
			tc, _ := s.talk(s.trunk(hand), s.phone("bob", auto), lab.PrefixDID+"1002")
			s.hangup(tc)
		}, want: once("trunk-a caller, bob peer <5551002@from-trunk")},
		{name: "to_trunk", play: func(s *stage) {
			ac, _ := s.talk(s.phone("alice", hand), s.trunk(auto), lab.PrefixOut+"0891234")
			s.hangup(ac)
		}, want: once("alice caller, trunk-a peer <90891234@users")},
		{
			name: "group", play: plain(lab.ExtenGroup, ring, auto, "carol"),
			want: once("alice caller, carol peer <2000@users"),
		},
		{
			name: "queue", play: plain(lab.ExtenQueue, ring, auto, "carol"),
			want: once("alice caller, carol peer <support 3000@users"),
		},
		{
			name: "queue_local_optimised", play: plain(extenLocalQueue, ring, auto, "carol"),
			want: once("alice caller, carol peer <1003@users <locals 3001@users"), live: true,
		},
		{
			name: "queue_local_kept", play: plain(extenLocalQueue, auto, ring, "bob"),
			want: once("alice caller, bob peer <1002@users <locals 3001@users"),
		},
		{
			name: "local_optimised", play: plain(lab.ExtenLocal, auto, hand, "bob"),
			want: once("alice caller, bob peer <1002@users <1301@users"),
		},
		{
			name: "local_kept", play: plain(lab.ExtenForward, auto, hand, "bob"),
			want: once("alice caller, bob peer <1002@users <1401@users"),
		},
		{name: "trunk_to_queue", play: func(s *stage) {
			tc, _ := s.talk(s.trunk(hand), s.phone("carol", auto), lab.PrefixDID+lab.ExtenQueue)
			s.hangup(tc)
		}, want: once("trunk-a caller, carol peer <support 3000@users")},
		{
			name: "early_media", play: plain(lab.ExtenEarly, auto, hand, "bob"),
			want: once("alice caller, bob peer <5002@users"),
		},
		{name: "hold", play: func(s *stage) {
			a, b, _ := s.trio(auto, hand)
			ac, bc := s.talk(a, b, "1002")
			must(s.t, ac.Hold(within(s.t)))
			must(s.t, bc.WaitTone(within(s.t), lab.MusicHz))
			must(s.t, ac.Unhold(within(s.t)))
			s.hear(ac, b)
			s.hangup(bc)
		}, want: once(aliceBob)},
		// Who is transferred is the caller of what follows; with a quick answer
		// it is the same talk, after more than the grace time another one.
		{name: "blind_by_callee", play: blind("bob", "1003", auto), want: once(aliceBob, aliceCarol)},
		{
			name: "blind_by_caller", play: blind("alice", "1003", auto),
			want: once(aliceBob, "bob caller, carol peer <1003@users"),
		},
		{
			name: "blind_slow", play: blind("bob", "1003", lab.AutoAnswer(2500*time.Millisecond)),
			want: [][]string{{aliceBob}, {aliceCarol}},
		},
		{name: "blind_to_queue", play: func(s *stage) {
			a, b, c := s.trio(auto, auto)
			ac, bc := s.talk(a, b, "1002")
			b.OnIncoming(ring)
			must(s.t, bc.BlindTransfer(within(s.t), lab.ExtenQueue))
			s.join(a, ac, c)
			s.hangup(ac)
		}, want: once(aliceBob, "alice caller, carol peer <support 3000@users")},
		{name: "blind_to_conference", play: func(s *stage) {
			a, b, c := s.trio(auto, hand)
			cc := s.dial(c, lab.ExtenConference)
			must(s.t, cc.WaitAnswered(within(s.t)))
			ac, bc := s.talk(a, b, "1002")
			must(s.t, bc.BlindTransfer(within(s.t), lab.ExtenConference))
			s.hear(cc, a)
			s.hear(ac, c)
			s.hangup(ac, cc)
		}, want: once(aliceBob)},
		{name: "feature_blind", play: func(s *stage) {
			a, b, c := s.trio(auto, auto)
			ac, bc := s.talk(a, b, "1002")
			must(s.t, bc.SendDTMF(within(s.t), lab.FeatureBlind))
			must(s.t, ac.WaitTone(within(s.t), lab.MusicHz))
			must(s.t, bc.SendDTMF(within(s.t), "1003"))
			s.join(a, ac, c)
			s.hangup(ac)
		}, want: once(aliceBob, aliceCarol)},
		// The consultation is a talk of its own; the older one takes carol over.
		{name: "attended", play: func(s *stage) {
			a, b, c := s.trio(auto, auto)
			ac, b1 := s.talk(a, b, "1002")
			must(s.t, b1.Hold(within(s.t)))
			b2, cc := s.talk(b, c, "1003")
			must(s.t, b1.AttendedTransfer(within(s.t), b2))
			s.hear(ac, c)
			s.hear(cc, a)
			must(s.t, b1.WaitEnded(within(s.t)))
			must(s.t, b2.WaitEnded(within(s.t)))
			s.hangup(cc)
		}, want: [][]string{{aliceBob, aliceCarol}, {"bob caller, carol peer <1003@users"}}, live: true},
		{name: "attended_by_caller", play: func(s *stage) {
			a, b, c := s.trio(auto, auto)
			a1, bc := s.talk(a, b, "1002")
			must(s.t, a1.Hold(within(s.t)))
			a2, cc := s.talk(a, c, "1003")
			must(s.t, a1.AttendedTransfer(within(s.t), a2))
			s.hear(bc, c)
			s.hear(cc, b)
			must(s.t, a1.WaitEnded(within(s.t)))
			must(s.t, a2.WaitEnded(within(s.t)))
			s.hangup(cc)
		}, want: [][]string{{aliceBob, "bob peer <1002@users, carol peer <1003@users"}, {aliceCarol}}},
		// By feature code bob's one leg goes to carol and stays in its talk. No
		// Dial names bob anew: he was called in this call.
		{name: "feature_attended", play: func(s *stage) {
			a, b, c := s.trio(auto, auto)
			ac, bc := s.talk(a, b, "1002")
			must(s.t, bc.SendDTMF(within(s.t), lab.FeatureAttended))
			must(s.t, ac.WaitTone(within(s.t), lab.MusicHz))
			must(s.t, bc.SendDTMF(within(s.t), "1003"))
			s.join(b, bc, c)
			must(s.t, bc.Hangup(within(s.t)))
			s.hear(ac, c)
			s.hangup(ac)
		}, want: once(aliceBob, "bob peer <1002@users, carol peer <1003@users", aliceCarol)},
		// Parked is no talk; nobody dials at the retrieval, so both are callers.
		{name: "park", play: func(s *stage) {
			a, b, c := s.trio(auto, hand)
			ac, bc := s.talk(a, b, "1002")
			must(s.t, bc.BlindTransfer(within(s.t), lab.ExtenPark))
			must(s.t, ac.WaitTone(within(s.t), lab.MusicHz))
			must(s.t, bc.Hangup(within(s.t)))
			s.pass(ac, 2500*time.Millisecond)
			cc := s.dial(c, "701")
			s.hear(cc, a)
			s.hear(ac, c)
			s.hangup(cc, ac)
		}, want: [][]string{{aliceBob}, {"alice caller, carol caller"}}},
		// The picker is behind the leg that rang; what led there is forgotten.
		{name: "pickup", play: pickup(lab.PrefixPickup + "1002"), want: once("alice caller, carol peer"), live: true},
		{name: "pickup_group", play: pickup(lab.ExtenPickupGroup), want: once("alice caller, carol peer")},
		{name: "pickup_queue", play: func(s *stage) {
			a, _, _ := s.trio(ring, ring)
			d := s.phone("dave", hand)
			ac := s.dial(a, lab.ExtenQueue)
			must(s.t, ac.WaitTone(within(s.t), lab.MusicHz))
			dc := s.dial(d, lab.PrefixPickup+"1002")
			s.hear(ac, d)
			s.hear(dc, a)
			s.hangup(ac, dc)
		}, want: once("alice caller, dave peer")},
		// An operator sends one of the two to carol; he was connected, so he goes
		// on in his own channel.
		{name: "redirect_callee", play: func(s *stage) {
			a, b, c := s.trio(auto, auto)
			_, bc := s.talk(a, b, "1002")
			s.redirect("bob", "1003")
			s.join(b, bc, c)
			s.hangup(bc)
		}, want: once(aliceBob, "bob caller, carol peer <1003@users")},
		{name: "redirect_caller", play: func(s *stage) {
			a, b, c := s.trio(auto, auto)
			ac, _ := s.talk(a, b, "1002")
			s.redirect("alice", "1003")
			s.join(a, ac, c)
			s.hangup(ac)
		}, want: once(aliceBob, aliceCarol)},
		{name: "voicemail", play: func(s *stage) {
			ac := s.dial(s.phone("alice", hand), lab.ExtenVoicemail)
			must(s.t, ac.WaitAnswered(within(s.t)))
			s.pass(ac, 2*time.Second)
			s.hangup(ac)
		}},
		{name: "voicemail_no_answer", play: func(s *stage) {
			a, _, _ := s.trio(ring, hand)
			ac := s.dial(a, lab.ExtenNoAnswer)
			must(s.t, ac.WaitAnswered(within(s.t)))
			s.pass(ac, 2*time.Second)
			s.hangup(ac)
		}},
		{name: "conference", play: func(s *stage) {
			a, b, c := s.trio(hand, hand)
			ac, bc, cc := s.dial(a, lab.ExtenConference), s.dial(b, lab.ExtenConference), s.dial(c, lab.ExtenConference)
			s.hear(bc, a)
			s.hear(cc, b)
			s.hangup(bc, ac, cc)
		}},
		{name: "page", play: func(s *stage) {
			a, b, c := s.trio(auto, auto)
			ac := s.dial(a, lab.ExtenPage)
			for _, p := range []party{b, c} {
				heard, err := p.WaitCall(within(s.t))
				must(s.t, err)
				must(s.t, heard.WaitAnswered(within(s.t)))
				s.hear(heard, a)
			}
			s.hangup(ac)
		}},
	}
}
