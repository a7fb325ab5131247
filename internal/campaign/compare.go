package campaign

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"callrecordd/internal/bench/load"
	"callrecordd/internal/campaign/voice"
)

// Measures, in frames: what of the begin, the end and in between may be
// missing without a call being late, short or with a gap, and how much of what
// nobody wanted may be there.
func measures() tolerances {
	return tolerances{start: 25, end: 25, inside: 25, foreign: 15, near: 10}
}

// beforeKill is how long before a SIGKILL of Asterisk a call must have rung or
// been answered to count: later ones may not have come to the journal.
const beforeKill = time.Second

// counts says whether a call must have exactly one CDR, and why not.
func counts(d Drawn, c load.Call, killed []time.Time) (bool, string) {
	first := c.Ringing
	if first.IsZero() || !c.Answered.IsZero() && c.Answered.Before(first) {
		first = c.Answered
	}
	if first.IsZero() && d.Ending == Busy && strings.HasPrefix(c.Failure, "refused: 486") {
		first = c.Over
	}
	if first.IsZero() {
		return false, "neither 180 nor 200 came: " + c.Failure
	}
	for _, k := range killed {
		if k.After(c.Invite) && k.Before(first.Add(beforeKill)) {
			return false, fmt.Sprintf("%s before a SIGKILL of Asterisk", k.Sub(first).Round(ms))
		}
	}
	return true, ""
}

// Case is a call with all that is known of it.
type Case struct {
	Problem string    `json:"problem"`
	Call    Drawn     `json:"call"`
	Phone   load.Call `json:"phone"`
	Truth   Truth     `json:"truth"`
	CDRs    []CDR     `json:"cdrs"`
	Files   []*File   `json:"files"`
	Audit   []Verdict `json:"audit"`
	// Meanwhile are the faults that happened during the call.
	Meanwhile []Incident `json:"meanwhile"`
}

// evidence is what there is of all calls.
type evidence struct {
	seed      uint64
	calls     []load.Call
	cdrs      map[int][]CDR
	files     map[string]*File
	byVoice   map[int][]*File
	verdicts  map[int64]Verdict // by CDR
	incidents []Incident
	killed    []time.Time
}

func compare(seed uint64, calls []load.Call, cdrs []CDR, files map[string]*File, verdicts []Verdict, incidents []Incident) Report {
	e := evidence{
		seed: seed, calls: calls, cdrs: make(map[int][]CDR), files: files, byVoice: make(map[int][]*File),
		verdicts: make(map[int64]Verdict), incidents: incidents,
	}
	r := Report{Seed: seed, Placed: len(calls), CDRs: len(cdrs), Files: len(files), Incidents: incidents, Classes: make(map[Class]int)}
	linked := make(map[string]bool)
	for _, c := range cdrs {
		n, ok := c.number()
		if !ok || n >= len(calls) {
			r.Strange = append(r.Strange, fmt.Sprintf("CDR %d is of no call that was placed: %s, %s", c.ID, c.Exten, c.Start))
			continue
		}
		e.cdrs[n] = append(e.cdrs[n], c)
		for _, rec := range c.Recordings {
			linked[rec.UUID] = true
		}
	}
	for _, f := range files {
		if f.Whose != nil && *f.Whose < len(calls) {
			e.byVoice[*f.Whose] = append(e.byVoice[*f.Whose], f)
		}
		if !linked[f.UUID] {
			r.Strange = append(r.Strange, fmt.Sprintf("file %s of %s belongs to no CDR; %s", f.UUID, f.Length, f.says()))
		}
	}
	for _, v := range verdicts {
		e.verdicts[v.CDR] = v
	}
	for _, in := range incidents {
		if !in.Killed.IsZero() {
			e.killed = append(e.killed, in.Killed)
		}
	}
	for n := range calls {
		e.look(n, &r)
	}
	slices.Sort(r.Strange)
	r.agree()
	return r
}

func (f *File) says() string {
	switch {
	case f.fault != "":
		return f.fault
	case f.Whose != nil:
		return fmt.Sprintf("the voices of call %d are in it", *f.Whose)
	default:
		return "it is not clear whose voices are in it"
	}
}

// look compares one call.
func (e *evidence) look(n int, r *Report) {
	c := e.gather(n)
	if !c.Phone.Answered.IsZero() {
		r.Answered++
	}
	counted, why := counts(c.Call, c.Phone, e.killed)
	fail := func(list *[]Case, format string, args ...any) {
		c := c
		c.Problem = fmt.Sprintf(format, args...)
		*list = append(*list, c)
	}
	switch {
	case counted && len(c.CDRs) == 1:
		r.Counted++
	case counted:
		r.Counted++
		fail(&r.Wrong, "%d CDRs", len(c.CDRs))
	case len(c.CDRs) > 1:
		fail(&r.Wrong, "%d CDRs, and none is needed: %s", len(c.CDRs), why)
	default:
		fail(&r.NotCounted, "%s", why)
	}
	for _, f := range c.Files {
		if f.Whose != nil && *f.Whose != n {
			fail(&r.Wrong, "the voices in file %s are those of call %d", f.UUID, *f.Whose)
		} else if h := f.frames.Listen(n); h.Foreign > measures().foreign {
			fail(&r.Wrong, "for %s another call is heard in file %s", frameTime(h.Foreign), f.UUID)
		}
	}
	if c.Truth.OneSided {
		fail(&r.Notes, "one side is missing in the recording")
	}
	if c.Truth.Twice > frameTime(measures().inside) {
		fail(&r.Notes, "%s are in files twice", c.Truth.Twice)
	}
	if !counted || len(c.CDRs) != 1 {
		return
	}
	if c.Truth.Unjudged != "" {
		r.Unjudged++
		if c.Truth.Unjudged == busy {
			r.Busy++
		}
		fail(&r.NotJudged, "%s", c.Truth.Unjudged)
		return
	}
	r.Classes[c.Truth.Class]++
	if c.untold() {
		fail(&r.NotTold, "Asterisk stood still")
		return
	}
	r.judge(c)
}

// standsStill is the fault that makes a file lack words though it has its length.
const standsStill = "asterisk-freeze"

// untold says whether the audit says itself that it cannot know, and is right: the
// call had to be recorded, and Asterisk did stand still in it.
func (c Case) untold() bool {
	return len(c.Audit) == 1 && c.Audit[0].Class == "unverifiable" && c.Audit[0].Reason == "asterisk_stalled" && c.Truth.Required > 0 &&
		slices.ContainsFunc(c.Meanwhile, func(in Incident) bool { return in.Fault == standsStill })
}

// gather collects what there is of a call.
func (e *evidence) gather(n int) Case {
	c := Case{Call: draw(e.seed, n), Phone: e.calls[n], CDRs: e.cdrs[n]}
	for _, cdr := range c.CDRs {
		for _, rec := range cdr.Recordings {
			if f := e.files[rec.UUID]; f != nil {
				c.Files = append(c.Files, f)
			}
		}
		if v, ok := e.verdicts[cdr.ID]; ok {
			c.Audit = append(c.Audit, v)
		}
	}
	for _, f := range e.byVoice[n] {
		if !slices.Contains(c.Files, f) {
			c.Files = append(c.Files, f)
		}
	}
	var heard []voice.Heard
	for _, f := range c.Files {
		if f.fault == "" {
			heard = append(heard, f.frames.Listen(n))
		}
	}
	c.Truth = judge(c.Call, c.Phone, heard, e.killed, measures())
	if slices.ContainsFunc(c.Files, func(f *File) bool { return f.fault != "" }) {
		c.Truth.broken()
	}
	if e.lingers(c.Phone) {
		c.Truth.lingers()
	}
	end := c.Phone.Over
	if end.IsZero() {
		end = c.Phone.Invite.Add(setup)
	}
	for _, in := range e.incidents {
		if in.At.Before(end) && in.Ready.After(c.Phone.Invite) {
			c.Meanwhile = append(c.Meanwhile, in)
		}
	}
	for _, in := range c.Meanwhile {
		if in.Fault == standsStill && !c.Phone.Answered.IsZero() && in.At.Before(c.Phone.Answered.Add(frameTime(measures().start))) && in.Until.After(c.Phone.Answered) {
			c.Truth.stoodAtBegin()
		}
	}
	c.Truth.Unjudged = unjudged(c)
	return c
}

// goodbye is for how long a call may go on in Asterisk that has answered its BYE:
// it does that first.
const goodbye = 50 * ms

// lingers says whether Asterisk ended the call later than the caller: it was late
// with its answer, or stood still behind it.
func (e *evidence) lingers(p load.Call) bool {
	if p.Bye.IsZero() {
		return false
	}
	tol := measures()
	return p.Over.Sub(p.Bye) > frameTime(tol.end-tol.near) || slices.ContainsFunc(e.incidents, func(in Incident) bool {
		return in.Fault == standsStill && in.At.Before(p.Over.Add(goodbye)) && in.Until.After(p.Bye)
	})
}

// busy is why a call cannot be judged.
const busy = "the telephone was late: the machine is too busy"

// hearing is by how much a press and a fault may be apart and still meet.
const hearing = time.Second

// tooLate is how late a telephone may be: on a machine that is too busy it says
// less than it should, or longer than it should.
const tooLate = 200 * ms

// unjudged says why nothing can be said of a call: the telephone was not able to
// do its part; or, with presses, one of them may not have been noticed: nobody
// can know that afterwards, and what the next one does depends on it.
func unjudged(c Case) string {
	if c.Phone.Late > tooLate || !c.Phone.Bye.IsZero() && c.Phone.Bye.Sub(c.Phone.Answered) > c.Call.Talk+tooLate {
		return busy
	}
	if len(c.Call.Presses) == 0 || c.Phone.Answered.IsZero() {
		return ""
	}
	first := c.Phone.Answered.Add(c.Call.Presses[0] - hearing)
	last := c.Phone.Answered.Add(c.Call.Presses[len(c.Call.Presses)-1] + pressed + hearing)
	for _, in := range c.Meanwhile {
		if in.deaf && in.At.Before(last) && in.Ready.Add(hearing).After(first) {
			return "*3 was pressed during " + in.Fault
		}
	}
	return ""
}
