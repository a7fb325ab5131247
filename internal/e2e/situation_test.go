package e2e

import (
	"cmp"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"callrecordd/ari/ami"
	"callrecordd/dialplan"
	"callrecordd/internal/call"
	"callrecordd/internal/lab"
	"callrecordd/internal/recorder"
)

// A situation is a call, or a few that belong together, of which docs/transfers.md
// says what is recorded. The tests that follow place it with real phones, each
// with a voice of its own, and compare files, decisions and parties with what
// that page says.
type situation struct {
	name  string
	rules map[string]dialplan.Flags // of users; none by default
	play  func(s *stage)
	want  []file
	// decided are all decisions, in order: what became of the talk, and who is
	// in it, with the reason of those who want a recording.
	decided []string
	// gaps says that there are times without a packet: the files are shorter
	// than the clock.
	gaps bool
}

// file is a recording that a situation leaves.
type file struct {
	claims  string // of its end, the first claimant's leg bearing the recorder: "alice rule.out.internal, ..."
	follows bool   // the one before it
	// hears is the file from its beginning to its end: who is heard, such as
	// "alice+bob", for a second at least. "?" before it: it may be there, for at
	// most the grace time. No other voice or sound may be in the file.
	hears []string
}

// voices are the tones of the parties and of what the PBX plays.
func voices() map[string]float64 {
	return map[string]float64{
		"alice": toneA, "bob": toneB, "carol": toneC, "dave": 1340, "trunk-a": 1640,
		"music": lab.MusicHz, "announcement": lab.AnnouncementHz, "ringing": lab.RingHz,
	}
}

// stage is a site whose people play situations, one after another.
type stage struct {
	*site
	phones map[string]*lab.Phone
	total  *int // recordings so far
}

// newStage starts a PBX with an addition to its dialplan, the daemon and all
// phones. Calls are answered by hand.
func newStage(t *testing.T, cfg lab.Config) *stage {
	t.Helper()
	s := siteAt(t, newPBX(t, cfg))
	s.calm()
	s.start()
	s.populate()
	out := &stage{site: s, phones: map[string]*lab.Phone{"trunk-a": s.trunk(lab.Manual())}, total: new(int)}
	for _, u := range lab.DefaultUsers() {
		out.phones[u.Name] = s.phone(u.Name, lab.Manual())
	}
	return out
}

// dialplanOf is an addition to the users' context: extensions and what they do.
func dialplanOf(extens map[string][]string) string {
	var b strings.Builder
	b.WriteString("\n[" + lab.ContextUsers + "]\n")
	for exten, apps := range extens {
		for i, app := range apps {
			fmt.Fprintf(&b, "exten => %s,%d,%s\n", exten, i+1, app)
		}
	}
	return b.String()
}

// run plays the situations and compares what is left of each.
func (s *stage) run(t *testing.T, list []situation) {
	t.Helper()
	for _, c := range list {
		t.Run(c.name, func(t *testing.T) {
			s := &stage{site: s.sub(t), phones: s.phones, total: s.total}
			for user := range s.users {
				s.rules(user, c.rules[user])
			}
			for _, p := range s.phones {
				p.OnIncoming(lab.Manual())
			}
			decisions := s.count("SELECT count(*) FROM events WHERE kind = ?", recorder.EventDecision)
			*s.total += len(c.want)
			c.play(s)
			must(t, s.pbx.WaitIdle(within(t)))
			rows := s.finals(*s.total)
			s.compare(c, rows[max(0, len(rows)-len(c.want)):])
			s.decisions(decisions, c.decided)
		})
	}
	if n := s.count("SELECT count(*) FROM recordings"); n != *s.total {
		t.Errorf("there are %d recordings in the end, want %d", n, *s.total)
	}
	if n := len(s.files()); n != *s.total {
		t.Errorf("there are %d files in the end, want %d", n, *s.total)
	}
}

// final is a recording that is over.
type final struct {
	row
	hookName, claims, tenant string
	started, ended           int64 // microseconds
}

// finals waits until n recordings are over and each belongs to a call.
func (s *stage) finals(n int) []final {
	s.t.Helper()
	var list []final
	s.eventually(fmt.Sprintf("%d recordings are over", n), func() error {
		list = nil
		open := 0
		s.query(`SELECT uuid, state, cause, detail, follows, intent_at, hook_name, claims, tenant_uuid,
			coalesce(started_at, 0), coalesce(ended_at, 0), cdr_id IS NULL OR state IN ('starting', 'recording', 'paused', 'closing')
			FROM recordings ORDER BY intent_at`, nil, func(r *sql.Rows) error {
			var f final
			var isOpen bool
			err := r.Scan(&f.uuid, &f.state, &f.cause, &f.detail, &f.follows, &f.intent, &f.hookName, &f.claims, &f.tenant,
				&f.started, &f.ended, &isOpen)
			if isOpen {
				open++
			}
			list = append(list, f)
			return err
		})
		if len(list) < n || open > 0 {
			return fmt.Errorf("there are %d, %d of them open or without a CDR: %+v", len(list), open, list[min(len(list), max(0, n-3)):])
		}
		return nil
	})
	if len(list) > n {
		s.t.Errorf("there are %d recordings, want %d: %+v", len(list), n, list[n-1:])
	}
	return list
}

// compare checks the recordings of a situation, the oldest first.
func (s *stage) compare(c situation, got []final) {
	s.t.Helper()
	if len(got) != len(c.want) {
		s.t.Fatalf("%d recordings, want %d", len(got), len(c.want))
	}
	for i, want := range c.want {
		f := got[i]
		if f.state != "ready" || f.cause != "" {
			s.t.Errorf("file %d is %+v", i+1, f.row)
		}
		follows := ""
		if want.follows {
			follows = got[i-1].uuid
		}
		if f.follows != follows {
			s.t.Errorf("file %d follows %q, want %q", i+1, f.follows, follows)
		}
		if claims := s.claimsOf(f.claims); claims != want.claims {
			s.t.Errorf("file %d is there for %q, want %q", i+1, claims, want.claims)
		}
		if hook, first := nameOf(f.hookName), strings.Fields(want.claims)[0]; hook != first {
			s.t.Errorf("the recorder of file %d sits on %s, want %s", i+1, hook, first)
		}
		s.listen(c, i+1, f, want.hears)
	}
}

// nameOf is the lab's name of who is behind a channel.
func nameOf(channel string) string {
	return strings.TrimPrefix(call.Endpoint(channel), "PJSIP/")
}

func (s *stage) claimsOf(stored string) string {
	s.t.Helper()
	var list []struct {
		UserUUID string `json:"user_uuid"`
		Reason   string `json:"reason"`
	}
	must(s.t, json.Unmarshal([]byte(stored), &list))
	var out []string
	for _, c := range list {
		who := "nobody"
		for name, u := range s.users {
			if u.UUID == c.UserUUID {
				who = name
			}
		}
		out = append(out, who+" "+c.Reason)
	}
	return strings.Join(out, ", ")
}

// decisions compares those stored since the first n.
func (s *stage) decisions(n int, want []string) {
	s.t.Helper()
	var got []string
	s.eventually(fmt.Sprintf("%d decisions are stored", len(want)), func() error {
		got = nil
		for _, data := range s.events(recorder.EventDecision, "")[n:] {
			var d recorder.DecisionData
			must(s.t, json.Unmarshal([]byte(data), &d))
			text := d.Change + ":"
			for i, p := range d.Input.Parties {
				text += " " + strings.TrimPrefix(p.Endpoint, "PJSIP/")
				if v := d.Decision.Verdicts[i]; v.Records {
					text += "=" + string(v.Reason)
				}
			}
			got = append(got, text)
		}
		if len(got) < len(want) {
			return fmt.Errorf("there are %q", got)
		}
		return nil
	})
	if !slices.Equal(got, want) {
		s.t.Errorf("decided %s\nwant    %s", strings.Join(got, " | "), strings.Join(want, " | "))
	}
}

// passage is a time in a file during which the same voices are heard.
type passage struct {
	who      string // such as "alice+bob", "" for silence
	from, to time.Duration
}

func (p passage) String() string {
	return fmt.Sprintf("%s %.1f–%.1f s", cmp.Or(p.who, "silence"), p.from.Seconds(), p.to.Seconds())
}

// blink is how long voices may overlap or be missing at a change of speakers
// without being a passage: the ends of tones are exact to 50 ms, and packets
// are late on a busy machine.
const blink = 300 * time.Millisecond

// passages divides a file.
func passages(audio lab.Audio) []passage {
	heard := make(map[string][]lab.Span)
	cuts := []time.Duration{0, audio.Duration()}
	for who, hz := range voices() {
		heard[who] = lab.Tones(audio, []float64{hz})
		for _, span := range heard[who] {
			cuts = append(cuts, span.From, span.To)
		}
	}
	slices.Sort(cuts)
	var out []passage
	for i, to := range cuts[1:] {
		from := cuts[i]
		var who []string
		for name, spans := range heard {
			if slices.ContainsFunc(spans, func(s lab.Span) bool { return s.From <= from && s.To >= to }) {
				who = append(who, name)
			}
		}
		slices.Sort(who)
		out = append(out, passage{strings.Join(who, "+"), from, to})
	}
	return joined(slices.DeleteFunc(joined(out), func(p passage) bool { return p.to-p.from < blink }))
}

// joined makes one of neighbours with the same voices.
func joined(list []passage) []passage {
	var out []passage
	for _, p := range list {
		if n := len(out); n > 0 && out[n-1].who == p.who {
			out[n-1].to = p.to
		} else if p.to > p.from {
			out = append(out, p)
		}
	}
	return out
}

// listen checks what is heard in a file, and that whoever is heard is stored
// as a party of that time.
func (s *stage) listen(c situation, n int, f final, want []string) {
	s.t.Helper()
	audio, err := lab.ReadWAV(filepath.Join(s.cfg.Recordings.Root, f.tenant, "monitor", f.uuid+".wav"))
	must(s.t, err)
	got := passages(audio)
	s.t.Logf("file %d: %v", n, got)
	if !matches(got, want) {
		s.t.Errorf("in file %d %v is heard, want %q", n, got, want)
	}
	all := strings.Join(want, " ")
	for who, hz := range voices() {
		spans := lab.Tones(audio, []float64{hz})
		if !strings.Contains(all, who) && len(spans) > 0 {
			s.t.Errorf("%s is in file %d: %v", who, n, spans)
		}
		if _, person := s.phones[who]; person && !c.gaps {
			s.present(n, f, who, spans)
		}
	}
	if clock := time.Duration(f.ended-f.started) * time.Microsecond; !c.gaps && (clock-audio.Duration()).Abs() > time.Second {
		s.t.Errorf("file %d plays %s and was recorded for %s", n, audio.Duration(), clock)
	}
}

// matches compares passages with the words of a file.
func matches(got []passage, want []string) bool {
	if len(want) == 0 {
		return len(got) == 0
	}
	who, optional := strings.CutPrefix(want[0], "?")
	if optional && matches(got, want[1:]) {
		return true
	}
	if len(got) == 0 || got[0].who != strings.TrimSuffix(who, "silence") {
		return false
	}
	lasts := got[0].to - got[0].from
	if optional && lasts > call.Grace+blink || !optional && lasts < time.Second {
		return false
	}
	return matches(got[1:], want[1:])
}

// present checks that who is heard was a party then.
func (s *stage) present(n int, f final, who string, spans []lab.Span) {
	s.t.Helper()
	var times []lab.Span
	s.query(`SELECT from_at, coalesce(to_at, ?) FROM recording_parties WHERE recording_uuid = ? AND endpoint = ? ORDER BY from_at`,
		[]any{f.ended, f.uuid, "PJSIP/" + who}, func(r *sql.Rows) error {
			var from, to int64
			err := r.Scan(&from, &to)
			times = append(times, lab.Span{
				From: time.Duration(from-f.started)*time.Microsecond - blink,
				To:   time.Duration(to-f.started)*time.Microsecond + blink,
			})
			return err
		})
	for _, span := range spans {
		if !slices.ContainsFunc(times, func(t lab.Span) bool { return t.From <= span.From && span.To <= t.To }) {
			s.t.Errorf("in file %d %s is heard from %s to %s, but was a party %v", n, who, span.From, span.To, times)
		}
	}
	if len(spans) == 0 && len(times) > 0 {
		s.t.Logf("in file %d %s, a party %v, is not heard", n, who, times)
	}
}

// calm makes every error in the daemon's log a failure.
func (s *site) calm() {
	s.t.Cleanup(func() {
		data, err := os.ReadFile(s.logs.Name())
		must(s.t, err)
		for line := range strings.Lines(string(data)) {
			if strings.Contains(line, "level=ERROR") || strings.Contains(line, "panic") {
				s.t.Errorf("daemon log: %s", line)
			}
		}
	})
}

// rings is the next call to somebody, who lets it ring.
func (s *stage) rings(who string) *lab.Call {
	s.t.Helper()
	for {
		c := s.incoming(s.phones[who])
		if c.Over() {
			continue // of an earlier situation
		}
		must(s.t, c.Ring(within(s.t)))
		return c
	}
}

// takes is the next call to somebody, who answers it and speaks.
func (s *stage) takes(who string) *lab.Call {
	s.t.Helper()
	c := s.rings(who)
	must(s.t, c.Answer(within(s.t)))
	c.Play(voices()[who])
	return c
}

// calls dials for somebody, who speaks from the beginning.
func (s *stage) calls(who, exten string) *lab.Call {
	s.t.Helper()
	c := s.dial(s.phones[who], exten)
	c.Play(voices()[who])
	return c
}

// hear waits until the phone hears somebody.
func (s *stage) hear(c *lab.Call, who string) {
	s.t.Helper()
	must(s.t, c.WaitTone(within(s.t), voices()[who]))
}

// both waits until two people hear each other and lets them talk.
func (s *stage) both(a *lab.Call, from string, b *lab.Call, to string) {
	s.t.Helper()
	s.hear(a, to)
	s.hear(b, from)
	s.say(a)
}

// say lets a call go on for long enough to be a passage of a file.
func (s *stage) say(c *lab.Call) {
	s.t.Helper()
	must(s.t, c.Talk(within(s.t), speaking))
}

// meet lets one call another, who answers, and both talk.
func (s *stage) meet(from, exten, to string) (caller, callee *lab.Call) {
	s.t.Helper()
	caller = s.calls(from, exten)
	callee = s.takes(to)
	s.both(caller, from, callee, to)
	return caller, callee
}

// over hangs up.
func (s *stage) over(calls ...*lab.Call) {
	s.t.Helper()
	for _, c := range calls {
		must(s.t, c.Hangup(within(s.t)))
	}
}

// gone waits until calls have been ended by the other side.
func (s *stage) gone(calls ...*lab.Call) {
	s.t.Helper()
	for _, c := range calls {
		must(s.t, c.WaitEnded(within(s.t)))
	}
}

func (s *stage) presses(c *lab.Call, digits string) {
	s.t.Helper()
	must(s.t, c.SendDTMF(within(s.t), digits))
}

// channel is the name of somebody's only channel.
func (s *stage) channel(who string) string {
	s.t.Helper()
	list, err := s.pbx.Console(within(s.t), "core show channels concise")
	must(s.t, err)
	for line := range strings.Lines(list) {
		if name, _, _ := strings.Cut(line, "!"); nameOf(name) == who {
			return name
		}
	}
	s.t.Fatalf("%s has no channel: %s", who, list)
	return ""
}

// manager performs an action over a connection of its own, as other programs do.
func (s *stage) manager(action string, fields ...ami.Field) {
	s.t.Helper()
	conn, err := ami.Dial(within(s.t), ami.Config{Address: s.pbx.AMIAddr, User: s.pbx.AMIUser, Secret: s.pbx.AMIPassword})
	must(s.t, err)
	defer conn.Close()
	_, err = conn.Do(within(s.t), ami.Action{Name: action, Fields: fields})
	must(s.t, err)
}
