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
	// "alice+bob", for a second at least, or one of the words below. No other
	// voice or sound may be in the file.
	hears []string
}

// gap is a part of a file that need not be there and lasts for the grace time
// at most: silence, one person alone, ringing. Music, announcements and two
// persons are none.
const gap = "…"

// held is a part of a file during which the recorded party is on hold and hears
// music: in a transfer by DTMF that is as long as the digits take.
const held = "♫"

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
}

// newStage starts a PBX with an addition to its dialplan, the daemon and all
// phones. Calls are answered by hand.
func newStage(t *testing.T, cfg lab.Config) *stage {
	t.Helper()
	s := siteAt(t, newPBX(t, cfg))
	s.calm()
	s.start()
	s.populate()
	out := &stage{site: s, phones: map[string]*lab.Phone{"trunk-a": s.trunk(lab.Manual())}}
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

// run plays the situations and compares what is left of each. Who takes another's
// place has lower RTP sequence numbers: Asterisk keeps their packets from a
// recorder that runs on (asterisk#507).
func (s *stage) run(t *testing.T, list []situation) {
	t.Helper()
	for _, c := range list {
		t.Run(c.name, func(t *testing.T) {
			s := &stage{site: s.sub(t), phones: s.phones}
			for user := range s.users {
				s.rules(user, c.rules[user])
			}
			for i, name := range []string{"alice", "bob", "carol", "dave", "trunk-a"} {
				s.phones[name].OnIncoming(lab.Manual())
				s.phones[name].BeginAt(uint16(50000 - 10000*i))
			}
			decisions := s.count("SELECT count(*) FROM events WHERE kind = ?", recorder.EventDecision)
			recordings := len(s.stored())
			c.play(s)
			must(t, s.pbx.WaitIdle(within(t)))
			s.compare(c, s.finals(recordings + len(c.want))[recordings:])
			s.decisions(decisions, c.decided)
		})
	}
	if n := s.count("SELECT count(*) FROM recordings"); n != len(s.files()) {
		t.Errorf("there are %d recordings and %d files in the end", n, len(s.files()))
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
	return list
}

// compare checks the recordings of a situation, the oldest first.
func (s *stage) compare(c situation, got []final) {
	s.t.Helper()
	if len(got) != len(c.want) {
		for i, f := range got {
			audio, err := lab.ReadWAV(s.path(f))
			s.t.Errorf("recording %d of %d, want %d: %q on %s follows %q: %v %v", i+1, len(got), len(c.want), s.claimsOf(f.claims), nameOf(f.hookName), f.follows, passages(audio), err)
		}
		return
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
		if hook, first := nameOf(f.hookName), strings.Fields(want.claims)[0]; first != "nobody" && hook != first {
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

// seam is how much of what follows may be in a file before its recorder is
// muted: 50 ms, and what a busy machine adds.
const seam = 150 * time.Millisecond

// drift is how far a file may be behind the clock: a recorder writes nothing
// while neither side sends, as when a leg moves.
const drift = 700 * time.Millisecond

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

func (s *stage) path(f final) string {
	return filepath.Join(s.cfg.Recordings.Root, f.tenant, "monitor", f.uuid+".wav")
}

// listen checks what is heard in a file, and that whoever is heard is stored
// as a party of that time.
func (s *stage) listen(c situation, n int, f final, want []string) {
	s.t.Helper()
	audio, err := lab.ReadWAV(s.path(f))
	must(s.t, err)
	got := passages(audio)
	s.t.Logf("file %d: %v", n, got)
	if !matches(got, want) {
		s.t.Errorf("in file %d %v is heard, want %q", n, got, want)
	}
	within := time.Duration(0)
	if strings.Contains(strings.Join(want, " "), gap) {
		within = seam
	}
	all := strings.NewReplacer(gap, "ringing", held, "music ringing").Replace(strings.Join(want, " "))
	for who, hz := range voices() {
		spans := slices.DeleteFunc(lab.Tones(audio, []float64{hz}), func(s lab.Span) bool { return s.To-s.From <= within })
		if !strings.Contains(all, who) && len(spans) > 0 {
			s.t.Errorf("%s is in file %d: %v", who, n, spans)
		}
		if _, person := s.phones[who]; person && !c.gaps {
			s.present(n, f, audio.Duration(), who, spans)
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
	if want[0] == gap || want[0] == held {
		for n := 0; n <= len(got); n++ {
			if isGap(got[:n], want[0] == held) && matches(got[n:], want[1:]) {
				return true
			}
		}
		return false
	}
	return len(got) > 0 && got[0].who == strings.TrimSuffix(want[0], "silence") &&
		got[0].to-got[0].from >= time.Second && matches(got[1:], want[1:])
}

func isGap(list []passage, music bool) bool {
	for _, p := range list {
		if music {
			p.who = strings.TrimSuffix(p.who, "+music")
		}
		if strings.Contains(strings.TrimSuffix(p.who, "+ringing"), "+") || p.who == "music" || p.who == "announcement" {
			return false
		}
	}
	return music || len(list) == 0 || list[len(list)-1].to-list[0].from <= call.Grace+blink
}

// present checks that who is heard was a party then. A recorder writes before
// its start is confirmed: a file longer than its row's time began that much earlier.
func (s *stage) present(n int, f final, length time.Duration, who string, spans []lab.Span) {
	s.t.Helper()
	f.started = min(f.started, f.ended-length.Microseconds())
	var times []lab.Span
	s.query(`SELECT from_at, coalesce(to_at, ?) FROM recording_parties WHERE recording_uuid = ? AND endpoint = ? ORDER BY from_at`,
		[]any{f.ended, f.uuid, "PJSIP/" + who}, func(r *sql.Rows) error {
			var from, to int64
			err := r.Scan(&from, &to)
			times = append(times, lab.Span{
				From: time.Duration(from-f.started)*time.Microsecond - drift,
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
