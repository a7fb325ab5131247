package audit

import (
	"slices"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/call"
	"callrecordd/internal/recorder"
)

// Person is a party of a call.
type Person struct {
	Leg      string `json:"leg"`
	Endpoint string `json:"endpoint"`
	UserUUID string `json:"user_uuid,omitempty"`
	Name     string `json:"name,omitempty"`
	Tenant   string `json:"tenant_uuid,omitempty"`
}

// Span is a time from one moment to another.
type Span struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// Recording is whose file has it.
	Recording string `json:"recording,omitempty"`
}

// File is a recording as an audit sees it. Seconds are measured from the audio.
type File struct {
	UUID    string         `json:"uuid"`
	Tenant  string         `json:"tenant_uuid,omitempty"`
	State   recorder.State `json:"state"`
	Cause   string         `json:"cause,omitempty"`
	Follows string         `json:"follows,omitempty"`
	Started time.Time      `json:"started"`
	Ended   time.Time      `json:"ended,omitzero"`
	Seconds float64        `json:"seconds"`
	// Looked: the file was looked at now; Reread: its audio was measured again.
	Looked bool `json:"looked,omitempty"`
	Reread bool `json:"reread,omitempty"`
}

// Finding is a part of a call that is not as it has to be.
type Finding struct {
	Class   Class     `json:"class"`
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
	Seconds float64   `json:"seconds"`
	// Cause is one of the recorder's causes, of the kinds of outages, or of this
	// package's.
	Cause string `json:"cause"`
	// Event is the stored event that shows the cause, 0 if there is none.
	Event     int64    `json:"event,omitempty"`
	Recording string   `json:"recording,omitempty"`
	Text      string   `json:"text"`
	Told      []Notice `json:"told,omitempty"`
}

// The causes that only an audit knows.
const (
	CauseFileGone    = "file_gone"       // it was there, and nobody who may has removed it
	CauseAltered     = "file_altered"    // it is another one than was recorded
	CauseFewFrames   = "few_frames"      // less audio than the recorder ran
	CauseSlowStart   = "slow_start"      // Asterisk answered late
	CauseSeenLate    = "seen_late"       // the talk was decided on long after its beginning
	CauseNotStarted  = "not_started"     // nothing is known of a start
	CauseReplaced    = "recorder_ended"  // between one recorder and the next
	CauseRemoved     = "removed"         // by somebody who may
	CauseOpen        = "not_closed"      // the recording is not finished yet
	CauseNotReadable = "not_looked_at"   // the file could not be looked at
	CauseNoRecord    = "no_call_record"  // a recording whose call has no CDR
	CauseNoTalks     = "talks_not_known" // who talked when is not stored
	CauseNoRule      = "no_rule"         // recorded though nobody asked for it
	CausePauseHeard  = "pause_not_silent"
	CauseUnreadable  = "event_unreadable"
)

// Verdict is what an audit says of a call.
type Verdict struct {
	CDRID        int64     `json:"cdr_id,omitempty"`
	Conversation string    `json:"conversation_id"`
	Tenant       string    `json:"tenant_uuid"`
	Start        time.Time `json:"start"`
	Answer       time.Time `json:"answer,omitzero"`
	End          time.Time `json:"end,omitzero"`
	Class        Class     `json:"class"`
	// Reason is the cause of the worst finding.
	Reason      string    `json:"reason,omitempty"`
	Explanation string    `json:"explanation"`
	Parties     []Person  `json:"parties"`
	Required    []Need    `json:"required"`
	Covered     []Span    `json:"covered"`
	Recordings  []File    `json:"recordings"`
	Findings    []Finding `json:"findings"`
	Told        []Notice  `json:"told"`
	// RequiredSeconds are less pauses, LackingSeconds those of them that are in no
	// file, those that were deleted not among them.
	RequiredSeconds float64 `json:"required_seconds"`
	LackingSeconds  float64 `json:"lacking_seconds"`
}

// Judge says what became of a call. An error is one of the directory's.
func Judge(c Call, w World) (Verdict, error) {
	v := Verdict{
		CDRID: c.ID, Conversation: c.Conversation, Tenant: c.Tenant, Start: c.Start, Answer: c.Answer, End: c.End,
		Parties: []Person{}, Required: []Need{}, Covered: []Span{}, Recordings: []File{}, Findings: []Finding{}, Told: []Notice{},
	}
	j := judging{call: c, world: w, verdict: &v}
	for _, r := range c.Recordings {
		if j.sees(r.TenantUUID) {
			v.Recordings = append(v.Recordings, fileOf(r))
		}
	}
	switch {
	case c.Imported:
		v.Class, v.Explanation = Imported, "The call was brought in from elsewhere: what had to be recorded then is not known here."
		return v, nil
	case c.ID == 0:
		j.recordless()
	default:
		if err := j.judge(); err != nil {
			return v, err
		}
	}
	j.conclude()
	return v, nil
}

func fileOf(r Recording) File {
	return File{
		UUID: r.UUID, Tenant: r.TenantUUID, State: r.State, Cause: r.Cause, Follows: r.Follows, Started: begin(r.Recording), Ended: r.EndedAt,
		Seconds: r.File.Seconds(), Looked: r.File.Looked, Reread: r.File.Reread,
	}
}

// judging is a call that is being judged.
type judging struct {
	call    Call
	world   World
	verdict *Verdict
	told    told
	covers  []cover
	pauses  []stretch
	// guessed: the talks are those of the decisions, for want of better.
	guessed bool
}

func (j *judging) judge() error {
	var err error
	if j.told, err = read(j.call.Events); err != nil {
		j.unknown(CauseUnreadable, "what was stored of the call cannot be read: "+err.Error())
		return nil
	}
	if len(j.call.Talks) == 0 {
		j.guessed = true
		j.call.Talks = talksOf(j.told.decisions, lastEnd(j.call))
	}
	if err := j.people(); err != nil {
		return err
	}
	if len(j.call.Talks) == 0 && !j.call.Answer.IsZero() && j.call.End.Sub(j.call.Answer) > j.world.Tolerances.Edge {
		j.unknown(CauseNoTalks, "who talked with whom from when to when is not stored")
		return nil
	}
	j.pauses = pauses(j.call, j.told)
	j.covers = covers(j.call.Recordings, j.call.Talks, onHold(j.call, j.told), j.world.stood)
	j.endTalks()
	list, err := needs(j.call, j.told, j.world)
	if err != nil {
		return err
	}
	for i := range list {
		for k := range list[i].By {
			j.mask(&list[i].By[k])
		}
	}
	j.verdict.Required = append(j.verdict.Required, list...)
	for _, c := range j.covers {
		for _, p := range c.parts {
			j.verdict.Covered = append(j.verdict.Covered, Span{p.from, p.to, j.shown(c.Recording)})
		}
	}
	for _, n := range list {
		j.need(n)
	}
	for _, c := range j.covers {
		j.extra(c, list)
		j.heard(c)
		j.alteration(c)
	}
	return nil
}

// sees says whether the one who asks may know of something of a tenant's.
func (j *judging) sees(tenant string) bool {
	return tenant == "" || j.world.Visible == nil || j.world.Visible(tenant)
}

// stranger is a party of a tenant that the one who asks does not see.
const stranger = "somebody of another tenant"

func (j *judging) name(user string) string {
	if user == "" || j.world.User == nil {
		return ""
	}
	return j.world.User(user)
}

// mask names who wanted a recording, if the one who asks may know.
func (j *judging) mask(b *By) {
	if b.Name = j.name(b.UserUUID); !j.sees(b.Tenant) {
		*b = By{Leg: b.Leg, Name: stranger, Reason: b.Reason}
	}
}

// shown is the uuid of a recording that the one who asks may see.
func (j *judging) shown(r *Recording) string {
	if j.sees(r.TenantUUID) {
		return r.UUID
	}
	return ""
}

// people are who talked.
func (j *judging) people() error {
	seen := map[string]bool{}
	put := func(p Person) {
		if key := p.Leg + " " + p.Endpoint; !seen[key] {
			seen[key] = true
			if p.Name = j.name(p.UserUUID); !j.sees(p.Tenant) {
				p = Person{Leg: p.Leg, Name: stranger}
			}
			j.verdict.Parties = append(j.verdict.Parties, p)
		}
	}
	for _, d := range j.told.decisions {
		for _, p := range d.data.Input.Parties {
			put(Person{Leg: p.Leg, Endpoint: p.Endpoint, UserUUID: p.UserUUID, Tenant: p.Tenant})
		}
	}
	for _, t := range j.call.Talks {
		for _, s := range t.Spans {
			if !slices.ContainsFunc(s.Legs, func(l call.Leg) bool { return !seen[l.ID+" "+l.Endpoint()] }) || j.world.Rules == nil {
				continue
			}
			list, err := j.world.Rules(s.From, s.Legs)
			if err != nil {
				return err
			}
			for _, p := range list {
				put(Person{Leg: p.Leg, Endpoint: p.Endpoint, UserUUID: p.UserUUID, Tenant: p.Tenant})
			}
		}
	}
	return nil
}

// endTalks finds the end of talks whose end nothing tells: Asterisk died in them,
// or its journal lacks the rows. It is before what was asked for in them is
// looked at: of that the journal knows nothing.
func (j *judging) endTalks() {
	j.call.Talks = slices.Clone(j.call.Talks)
	for i := range j.call.Talks {
		t := &j.call.Talks[i]
		if n := len(t.Spans); t.EndUnknown && n > 0 {
			t.Spans = slices.Clone(t.Spans)
			t.Ended = j.endOf(t.Spans[n-1])
			t.Spans[n-1].To = t.Ended
		}
	}
}

func (j *judging) endOf(span call.Span) time.Time {
	n := Need{To: span.To}
	for _, l := range span.Legs {
		n.legs = append(n.legs, l.ID)
	}
	heard := n.To
	for _, c := range j.covers {
		if !shares(c, n) {
			continue
		}
		for _, p := range c.parts { // what Asterisk has written, it has heard
			heard = later(heard, p.to)
		}
		if c.Cause == "" && c.State == recorder.Ready && !c.EndedAt.IsZero() && !c.altered {
			heard = later(heard, c.EndedAt)
		}
	}
	for _, o := range j.world.Outages {
		// One whose end it was heard beyond is that of the Asterisk before: the call began
		// in it, before we were connected again.
		if o.Kind == AsteriskGone && (o.To.IsZero() || o.To.After(heard)) {
			return later(heard, o.From) // it lived then
		}
	}
	return heard
}

func (j *judging) unknown(cause, why string) {
	j.add(Finding{Class: Unverifiable, From: j.call.Start, To: lastEnd(j.call), Cause: cause, Text: why}, nil)
}

// recordless judges recordings whose call has no CDR.
func (j *judging) recordless() {
	j.covers = covers(j.call.Recordings, nil, nil, nil)
	for i := range j.covers {
		c := &j.covers[i]
		f := Finding{Class: Unverifiable, From: c.clock.from, To: c.clock.to, Cause: CauseNoRecord, Recording: c.UUID}
		switch class, cause, lost := lostBy(c); {
		case c.State == recorder.Missing:
			if c.clock.length() <= j.world.Tolerances.Edge {
				continue // over before there was anything to record
			}
			f.Class, f.Cause, f.Seconds = Missing, c.Cause, c.clock.length().Seconds()
		case lost:
			f.Class, f.Cause = class, cause
		}
		j.add(f, c)
	}
	for _, r := range j.call.Recordings {
		for _, claim := range r.Claims {
			j.verdict.Parties = append(j.verdict.Parties, Person{Leg: claim.Leg, UserUUID: claim.UserUUID, Name: j.name(claim.UserUUID), Tenant: r.TenantUUID})
		}
	}
}

// add puts a finding into words and keeps it.
func (j *judging) add(f Finding, c *cover) {
	if _, jumped := j.outage(j.call.Start, lastEnd(j.call), []OutageKind{ClockJumped}); jumped && (f.Class == Late || f.Class == Short || f.Class == Gap || f.Class == Unexpected) {
		f.Class, f.Cause = Unverifiable, string(ClockJumped)
	}
	if f.Recording != "" {
		f.Told = append(f.Told, j.world.Told[f.Recording]...)
	}
	f.Text = j.text(f, c)
	if c != nil && !j.sees(c.TenantUUID) {
		f.Recording, f.Told = "", nil
	}
	j.verdict.Findings = append(j.verdict.Findings, f)
	if f.Class.Bad() && f.Class != Unexpected {
		j.verdict.LackingSeconds += f.Seconds
	}
}

// conclude makes the call's class of what was found.
func (j *judging) conclude() {
	v := j.verdict
	v.Class = NotRequired
	if v.RequiredSeconds > j.world.Tolerances.Edge.Seconds() || v.RequiredSeconds > 0 && len(v.Covered) > 0 {
		v.Class = Covered // a shorter talk need not be in a file
	}
	rank := Classes()
	var worst *Finding
	for i := range v.Findings {
		f := &v.Findings[i]
		if slices.Index(rank, f.Class) < slices.Index(rank, v.Class) {
			v.Class, worst = f.Class, f
		}
		for _, n := range f.Told {
			if !slices.Contains(v.Told, n) {
				v.Told = append(v.Told, n)
			}
		}
	}
	if worst != nil {
		v.Reason = worst.Cause
	} else if len(v.Required) > 0 && len(v.Required[0].By) > 0 {
		v.Reason = string(v.Required[0].By[0].Reason)
	} else {
		v.Reason = string(noneReason(j.told.decisions))
	}
	v.Explanation = j.explain()
}

// noneReason is why nothing had to be recorded, by the last decision.
func noneReason(list []decision) dialplan.Reason {
	for _, d := range slices.Backward(list) {
		for _, v := range dialplan.Decide(d.data.Input).Verdicts {
			if !v.Records {
				return v.Reason
			}
		}
	}
	return ""
}
