package e2e

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"callrecordd/internal/directory"
	"callrecordd/internal/lab"
)

// What the dialplan of the shapes has beside the lab's.
const (
	extenFirm      = "80891234" // out, with the firm's name and number
	extenErin      = "1605"     // of a user without a phone: forwarded to carol
	extenFrank     = "1606"     // of a user without a phone: forwarded to the outside
	extenBusy      = "1607"     // bob, who is busy, then carol
	extenAnnounced = "3100"     // a queue that tells the agent something first
	extenEmpty     = "3200"     // a queue without members
	extenBoard     = "6000"     // waits in a holding bridge
	extenProgram   = "6100"     // a Stasis program that does nothing for a second
	external       = lab.PrefixOut + "0891234"
)

const shapesDialplan = `
[` + lab.ContextUsers + `]
exten => ` + extenFirm + `,1,Set(CALLERID(all)="Acme" <5550000>)
 same => n,Dial(PJSIP/0891234@trunk-a,30)
exten => ` + extenErin + `,1,Dial(Local/1003@` + lab.ContextUsers + `/n,30)
exten => ` + extenFrank + `,1,Dial(PJSIP/0891234@trunk-a,30)
exten => ` + extenBusy + `,1,Dial(PJSIP/bob,30)
 same => n,Dial(PJSIP/carol,30)
exten => ` + extenAnnounced + `,1,Answer()
 same => n,Queue(announced,tT,,,60)
exten => ` + extenEmpty + `,1,Answer()
 same => n,Queue(empty,tT,,,60)
exten => ` + extenBoard + `,1,Answer()
 same => n,BridgeWait()
exten => ` + extenProgram + `,1,Answer()
 same => n,Set(TIMEOUT(absolute)=1)
 same => n,Stasis(callrecordd,nothing)
; where the phones send calls when they answer 302: to their own names
exten => bob,1,Goto(1003,1)
exten => carol,1,Goto(` + external + `,1)
`

const shapesQueues = `[general]
persistentmembers=no
[` + lab.QueueName + `]
strategy=ringall
ringinuse=no
joinempty=yes
member => PJSIP/bob
member => PJSIP/carol
[announced]
strategy=ringall
joinempty=yes
announce=activated
member => PJSIP/carol
[empty]
joinempty=yes
`

// cdrShape is a row of the table "Call shapes" of cdr-api 10.
type cdrShape struct {
	name       string
	bob, carol lab.Incoming
	play       func(s *site, p *desk)
	// want are all fields that are not null, but for those which every CDR has.
	want map[string]any
	// parties are the participants: user, role, answered, requested.
	parties []string
}

// desk is the phones of the shapes.
type desk struct{ alice, bob, carol, dave, trunk *lab.Phone }

// person gives the fields of one side that is a user's line.
func (s *site) person(side, user string) map[string]any {
	u := s.users[user]
	line := u.Lines[0]
	f := map[string]any{
		side + "_name": u.FirstName, side + "_extension": line.Exten, side + "_user_uuid": u.UUID,
		side + "_internal_extension": line.Exten, side + "_internal_context": lab.ContextUsers,
	}
	if side != "requested" {
		f[side+"_line_id"] = float64(line.ID)
	}
	if side == "source" {
		f["source_internal_name"] = u.FirstName
	}
	return f
}

// dest is a user who was reached, whom the details name too.
func (s *site) dest(user string) map[string]any {
	u := s.users[user]
	return all(s.person("destination", user), map[string]any{
		"destination_details": map[string]any{"type": "user", "user_uuid": u.UUID, "user_name": u.FirstName},
	})
}

func dialled(exten string) map[string]any {
	return map[string]any{"requested_extension": exten, "requested_context": lab.ContextUsers}
}

func (s *site) group() map[string]any {
	s.t.Helper()
	var groups []directory.Group
	s.do("GET", "groups", nil, &groups)
	return map[string]any{
		"requested_name": "Sales", "requested_internal_extension": lab.ExtenGroup, "requested_internal_context": lab.ContextUsers,
		"destination_name": "Sales", "destination_extension": lab.ExtenGroup,
		"destination_details": map[string]any{"type": "group", "group_label": "Sales", "group_id": float64(groups[0].ID)},
	}
}

func queued(name, exten string) map[string]any {
	return map[string]any{
		"requested_name": name, "requested_internal_extension": exten, "requested_internal_context": lab.ContextUsers,
		"destination_details": map[string]any{"type": "unknown"},
	}
}

func unknownDetails() map[string]any {
	return map[string]any{"destination_details": map[string]any{"type": "unknown"}}
}

// whole checks every field of the CDR: those not wanted must be null.
func (s *site) whole(cdr cdrView, want map[string]any, parties []string) {
	s.t.Helper()
	s.fields(cdr, want) // the times too
	var got map[string]any
	s.getJSON(fmt.Sprintf("/1.0/cdr/%d", cdr.ID), &got)
	tags := []any{}
	for _, p := range parties {
		name, _, _ := strings.Cut(p, " ")
		for tag := range strings.SplitSeq(s.users[name].UserField, ",") {
			if tag != "" && !slices.Contains(tags, any(tag)) {
				tags = append(tags, tag)
			}
		}
	}
	want = all(map[string]any{
		"tenant_uuid": s.users["alice"].TenantUUID, "tags": tags, "recordings": []any{}, "id": float64(cdr.ID),
		"conversation_id": cdr.ConversationID, "start": cdr.Start,
	}, want)
	for key, value := range got {
		switch key {
		case "end", "answer", "duration": // fields has checked them
		default:
			if !reflect.DeepEqual(value, want[key]) {
				s.t.Errorf("%s is %#v, want %#v", key, value, want[key])
			}
		}
	}
	if cdr.ConversationID == "" || got["end"] == nil {
		s.t.Errorf("conversation %q, end %v", cdr.ConversationID, got["end"])
	}
	var stored string
	s.rows(`SELECT coalesce(group_concat(p, char(10)), '') FROM (SELECT user_uuid || ' ' || role || iif(answered, ' answered', '') ||
		iif(requested, ' requested', '') AS p FROM cdr_participants WHERE cdr_id = ? ORDER BY pos)`, []any{cdr.ID}, &stored)
	for name, u := range s.users {
		stored = strings.ReplaceAll(stored, u.UUID, name)
	}
	list := strings.Split(stored, "\n")
	if slices.Sort(list[min(1, len(list)):]); stored != strings.Join(parties, "\n") && !slices.Equal(list, parties) {
		s.t.Errorf("participants are\n%s\nwant\n%s", stored, strings.Join(parties, "\n"))
	}
}

func shapesSite(t *testing.T) (*site, *desk) {
	t.Helper()
	s := siteAt(t, newPBX(t, lab.Config{AMIWrite: originators, ExtraDialplan: shapesDialplan, ExtraFiles: map[string]string{"queues.conf": shapesQueues}}))
	s.start()
	s.populate()
	for name, exten := range map[string]string{"erin": extenErin, "frank": extenFrank} {
		s.users[name] = s.create("users", directory.User{
			FirstName: strings.ToUpper(name[:1]) + name[1:],
			Lines:     []directory.Line{{Endpoint: "PJSIP/" + name, Exten: exten, Context: lab.ContextUsers, Main: true}},
		})
	}
	for name, tags := range map[string]string{"alice": "vip", "bob": "sales,north"} {
		u := s.users[name]
		u.UserField = tags
		s.do("PATCH", "users/"+u.UUID, map[string]string{"user_field": tags}, nil)
		s.users[name] = u
	}
	return s, &desk{
		s.phone("alice", lab.Manual()), s.phone("bob", lab.Manual()), s.phone("carol", lab.Manual()),
		s.phone("dave", lab.Manual()), s.trunk(lab.AutoAnswer(0)),
	}
}

// hear waits until both hear each other.
func (s *site) hear(one, two *lab.Call) {
	s.t.Helper()
	one.Play(toneA)
	two.Play(toneC)
	must(s.t, one.WaitTone(within(s.t), toneC))
	must(s.t, two.WaitTone(within(s.t), toneA))
}

// end hangs up all that are still there.
func (s *site) end(calls ...*lab.Call) {
	s.t.Helper()
	for _, c := range calls {
		_ = c.Hangup(within(s.t)) // the other side may have been faster
	}
	must(s.t, s.pbx.WaitIdle(within(s.t)))
}

// plain is a call of alice's that is answered by callee.
func plain(exten string, callee func(*desk) *lab.Phone) func(*site, *desk) {
	return func(s *site, p *desk) {
		caller := s.dial(p.alice, exten)
		called := s.incoming(callee(p))
		must(s.t, caller.WaitAnswered(within(s.t)))
		s.hear(caller, called)
		s.end(caller)
	}
}

func bobs(p *desk) *lab.Phone   { return p.bob }
func carols(p *desk) *lab.Phone { return p.carol }
func trunks(p *desk) *lab.Phone { return p.trunk }

// TestCallShapes places each shape of the table of cdr-api 10 and checks every
// field of its CDR.
func TestCallShapes(t *testing.T) {
	t.Parallel()
	s, phones := shapesSite(t)
	auto, ring, hand := lab.AutoAnswer(0), lab.RingOnly(), lab.Manual()
	answered, unknown := status("internal", "answered"), status("internal", "unknown")
	alice, bob, carol := s.person("source", "alice"), s.dest("bob"), s.dest("carol")
	asked := all(s.person("requested", "bob"), dialled("1002"))
	both := []string{"alice source answered", "bob destination answered requested"}
	three := append(slices.Clone(both), "carol destination answered")
	passed := []string{"alice source answered", "bob destination requested", "carol destination answered"}

	for _, c := range []cdrShape{
		{"internal", auto, hand, plain("1002", bobs), all(answered, alice, asked, bob), both},
		{"internal unanswered", ring, hand, func(s *site, p *desk) {
			caller := s.dial(p.alice, "1002")
			must(s.t, caller.WaitRinging(within(s.t)))
			must(s.t, caller.Cancel(within(s.t)))
			s.end(caller)
		}, all(unknown, alice, asked, bob), []string{"alice source", "bob destination requested"}},
		{"incoming DID", auto, hand, func(s *site, p *desk) {
			caller := s.dial(p.trunk, lab.PrefixDID+"1002")
			s.hear(caller, s.incoming(p.bob))
			s.end(caller)
		}, all(status("inbound", "answered"), s.person("requested", "bob"), bob, map[string]any{
			"source_extension": "0301234567", "requested_extension": lab.PrefixDID + "1002", "requested_context": lab.ContextTrunk,
		}), both[1:]},
		{"outgoing", hand, hand, plain(external, trunks), all(status("outbound", "answered"), alice, dialled(external), unknownDetails(),
			map[string]any{"destination_extension": external, "destination_name": "", "requested_name": ""}), both[:1]},
		{"outgoing with the firm's number", hand, hand, plain(extenFirm, trunks), all(
			status("outbound", "answered"), alice, dialled(extenFirm), unknownDetails(), map[string]any{
				"source_name": "Acme", "source_extension": "5550000",
				"destination_extension": extenFirm, "destination_name": "", "requested_name": "",
			}), both[:1]},
		{
			"group", ring, auto, plain(lab.ExtenGroup, carols), all(answered, alice, dialled(lab.ExtenGroup), carol, s.group()),
			[]string{"alice source answered", "bob destination", "carol destination answered"},
		},
		{"queue", ring, auto, plain(lab.ExtenQueue, carols), all(answered, alice, dialled(lab.ExtenQueue), carol,
			queued(lab.QueueName, lab.ExtenQueue)), []string{"alice source answered", "bob destination", "carol destination answered"}},
		{"queue with an announcement", hand, auto, plain(extenAnnounced, carols), all(answered, alice, dialled(extenAnnounced), carol,
			queued("announced", extenAnnounced)), []string{"alice source answered", "carol destination answered"}},
		{"queue abandoned while the agent's phone rings", hand, ring, func(s *site, p *desk) {
			caller := s.dial(p.alice, extenAnnounced)
			s.incoming(p.carol)
			must(s.t, caller.WaitTone(within(s.t), lab.MusicHz))
			s.end(caller)
		}, all(unknown, alice, dialled(extenAnnounced), carol, queued("announced", extenAnnounced)), []string{"alice source", "carol destination"}},
		{"queue abandoned while waiting", hand, hand, func(s *site, p *desk) {
			caller := s.dial(p.alice, extenEmpty)
			must(s.t, caller.WaitTone(within(s.t), lab.MusicHz))
			s.end(caller)
		}, all(unknown, alice, dialled(extenEmpty), queued("empty", extenEmpty),
			map[string]any{"destination_extension": extenEmpty, "destination_name": "empty"}), []string{"alice source"}},
		{"switchboard", auto, hand, func(s *site, p *desk) {
			caller := s.dial(p.alice, extenBoard)
			must(s.t, caller.WaitTone(within(s.t), lab.MusicHz))
			s.manager("Redirect", "Channel", s.channelName("alice"), "Context", lab.ContextUsers, "Exten", "1002", "Priority", "1")
			s.hear(caller, s.incoming(p.bob))
			s.end(caller)
		}, all(answered, alice, s.person("requested", "bob"), dialled(extenBoard), bob), both},
		{"blind transfer", auto, auto, func(s *site, p *desk) {
			caller, called := s.talk(p.alice, p.bob, "1002")
			must(s.t, called.BlindTransfer(within(s.t), "1003"))
			s.hear(caller, s.incoming(p.carol))
			s.end(caller)
		}, all(answered, alice, asked, carol), three},
		{"blind transfer to the outside", auto, hand, func(s *site, p *desk) {
			caller, called := s.talk(p.alice, p.bob, "1002")
			must(s.t, called.BlindTransfer(within(s.t), external))
			s.hear(caller, s.incoming(p.trunk))
			s.end(caller)
		}, all(status("outbound", "answered"), alice, asked, unknownDetails(),
			map[string]any{"destination_extension": external, "destination_name": ""}), both},
		{"blind transfer to a queue", auto, auto, func(s *site, p *desk) {
			caller, called := s.talk(p.alice, p.bob, "1002")
			must(s.t, called.BlindTransfer(within(s.t), extenAnnounced))
			s.hear(caller, s.incoming(p.carol))
			s.end(caller)
		}, all(answered, alice, asked, carol, unknownDetails()), three},
		{"blind transfer to a conference", auto, hand, func(s *site, p *desk) {
			caller, called := s.talk(p.alice, p.bob, "1002")
			must(s.t, called.BlindTransfer(within(s.t), lab.ExtenConference))
			s.eventually("alice is in the conference", func() error {
				if text, err := s.pbx.Console(within(s.t), "confbridge list lab"); err != nil || !strings.Contains(text, "PJSIP/alice") {
					return fmt.Errorf("%s %w", text, err)
				}
				return nil
			})
			s.end(caller)
		}, all(answered, alice, asked, map[string]any{
			"destination_name": "lab", "destination_extension": lab.ExtenConference,
			"destination_details": map[string]any{"type": "conference"},
		}), both},
		{"attended transfer", auto, auto, func(s *site, p *desk) {
			caller, called := s.talk(p.alice, p.bob, "1002")
			must(s.t, called.Hold(within(s.t)))
			second, target := s.talk(p.bob, p.carol, "1003")
			must(s.t, called.AttendedTransfer(within(s.t), second))
			s.hear(caller, target)
			s.end(caller)
		}, all(answered, alice, asked, carol), three},
		{"forward if busy", lab.RejectWith(486), auto, plain(extenBusy, carols), all(answered, alice,
			s.person("requested", "bob"), dialled(extenBusy), carol), passed},
		{"forward by the phone", lab.RejectWith(302), auto, plain("1002", carols), all(answered, alice, asked, carol), passed},
		{
			"forward by the phone to the outside", hand, lab.RejectWith(302), plain("1003", trunks), all(answered, alice,
				s.person("requested", "carol"), dialled("1003"), unknownDetails(), map[string]any{"destination_extension": external}),
			[]string{"alice source answered", "carol destination requested"},
		},
		{
			"forward by the dialplan", hand, auto, plain(extenErin, carols), all(answered, alice,
				s.person("requested", "erin"), dialled(extenErin), carol),
			[]string{"alice source answered", "carol destination answered", "erin destination requested"},
		},
		{
			"forward by the dialplan to the outside", hand, hand, plain(extenFrank, trunks), all(answered, alice,
				s.person("requested", "frank"), dialled(extenFrank), unknownDetails(), map[string]any{"destination_extension": "0891234"}),
			[]string{"alice source answered", "frank destination requested"},
		},
		{"pickup", ring, hand, func(s *site, p *desk) {
			caller := s.dial(p.alice, "1002")
			must(s.t, caller.WaitRinging(within(s.t)))
			picker := s.dial(p.dave, lab.PrefixPickup+"1002")
			must(s.t, caller.WaitAnswered(within(s.t)))
			s.hear(caller, picker)
			s.end(caller)
		}, all(answered, alice, asked, s.dest("dave")), []string{"alice source answered", "bob destination requested", "dave destination answered"}},
		{"voicemail", ring, hand, func(s *site, p *desk) {
			caller := s.dial(p.alice, lab.ExtenNoAnswer)
			must(s.t, caller.WaitAnswered(within(s.t)))
			must(s.t, caller.Talk(within(s.t), time.Second))
			s.end(caller)
		}, all(status("internal", "voicemail"), alice, s.person("requested", "bob"), dialled(lab.ExtenNoAnswer), bob, map[string]any{
			"destination_details": map[string]any{"type": "voicemail", "voicemail_name": "1002@default"},
		}), []string{"alice source", "bob destination requested"}},
		{"conference", hand, hand, func(s *site, p *desk) {
			caller := s.dial(p.alice, lab.ExtenConference)
			must(s.t, caller.WaitAnswered(within(s.t)))
			must(s.t, caller.Talk(within(s.t), time.Second))
			s.end(caller)
		}, all(answered, alice, dialled(lab.ExtenConference), map[string]any{
			"destination_name": "lab", "destination_extension": lab.ExtenConference,
			"destination_details": map[string]any{"type": "conference"},
		}), both[:1]},
		{"originate over a Local channel", auto, hand, func(s *site, p *desk) {
			p.alice.OnIncoming(auto)
			s.originate("Local/1001@"+lab.ContextUsers, "Context", lab.ContextUsers, "Exten", "1002", "Priority", "1")
			first, second := s.incoming(p.alice), s.incoming(p.bob)
			s.hear(first, second)
			s.end(first)
		}, all(answered, alice, bob), []string{"alice source answered", "bob destination answered"}},
		{"originate at a phone", auto, hand, func(s *site, p *desk) {
			p.alice.OnIncoming(auto)
			s.originate("PJSIP/alice", "Context", lab.ContextUsers, "Exten", "1002", "Priority", "1")
			first, second := s.incoming(p.alice), s.incoming(p.bob)
			s.hear(first, second)
			s.end(first)
		}, all(answered, alice, asked, bob), both},
		{
			"parked", auto, hand, func(s *site, p *desk) {
				caller, called := s.talk(p.alice, p.bob, "1002")
				must(s.t, called.BlindTransfer(within(s.t), lab.ExtenPark))
				must(s.t, caller.WaitTone(within(s.t), lab.MusicHz))
				retriever := s.dial(p.dave, "701")
				s.hear(caller, retriever)
				s.end(caller)
			}, all(answered, alice, asked, s.dest("dave")),
			[]string{"alice source answered", "bob destination answered requested", "dave destination answered"},
		},
		{
			"a program", hand, hand, func(s *site, p *desk) {
				caller := s.dial(p.alice, extenProgram)
				must(s.t, caller.WaitEnded(within(s.t)))
				s.end(caller)
			}, all(unknown, alice, dialled(extenProgram), unknownDetails(), map[string]any{"destination_extension": extenProgram}),
			[]string{"alice source"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := s.sub(t)
			phones.alice.OnIncoming(hand)
			phones.bob.OnIncoming(c.bob)
			phones.carol.OnIncoming(c.carol)
			phones.drain()
			t.Cleanup(func() { // what a failed test leaves must not fail those after it
				if t.Failed() {
					_, err := s.pbx.Console(context.Background(), "channel request hangup all")
					t.Log("hang up all", err)
				}
			})
			s.whole(s.cdrOf(func() { c.play(s, phones) }), c.want, c.parties)
		})
	}
}

// drain forgets calls that nobody fetched, such as those a phone refused.
func (p *desk) drain() {
	for _, phone := range []*lab.Phone{p.alice, p.bob, p.carol, p.dave, p.trunk} {
		for {
			ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
			_, err := phone.WaitCall(ctx)
			cancel()
			if err != nil {
				break
			}
		}
	}
}
