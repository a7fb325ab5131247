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
	list, err := needs(j.call, j.told, j.world)
	if err != nil {
		return err
	}
	j.pauses = pauses(j.call, j.told)
	j.covers = covers(j.call.Recordings, onHold(j.call, j.told))
	for i := range list {
		j.endOf(&list[i])
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

// endOf finds the end of a talk whose end nothing tells: Asterisk died in it, or
// its journal lacks the rows.
func (j *judging) endOf(n *Need) {
	if !n.EndUnknown {
		return
	}
	end := n.To
	for _, o := range j.world.Outages {
		if o.Kind == AsteriskGone && !o.Unsure && !o.From.Before(n.To.Add(-clocks)) {
			end = later(end, o.From)
			break
		}
	}
	for _, c := range j.covers {
		if !shares(c, *n) {
			continue
		}
		for _, p := range c.parts { // what Asterisk has written, it has heard
			end = later(end, p.to)
		}
		if c.Cause == "" && c.State == recorder.Ready && !c.EndedAt.IsZero() && !c.altered {
			end = later(end, c.EndedAt)
		}
	}
	n.To = end
}

// shares says whether a recording is of the talk that a need is of.
func shares(c cover, n Need) bool {
	return slices.Contains(n.legs, c.Hook) || slices.ContainsFunc(c.Legs, func(l string) bool { return slices.Contains(n.legs, l) })
}

// need looks for a time that had to be in a file.
func (j *judging) need(n Need) {
	v, edge := j.verdict, j.world.Tolerances.edge(n.stretch().length())
	wanted := without([]stretch{n.stretch()}, j.pauses)
	v.RequiredSeconds += total(wanted).Seconds()
	left := wanted
	var mine []cover
	for _, c := range j.covers {
		if shares(c, n) {
			mine = append(mine, c)
			left = without(left, c.parts)
		}
	}
	covered := total(wanted) > total(left)
	small := time.Duration(0)
	for _, g := range left {
		if g.length() <= edge {
			small += g.length()
			continue
		}
		j.lack(n, g, mine, covered, edge)
	}
	if small > 4*edge {
		j.add(Finding{Class: Gap, From: n.From, To: n.To, Seconds: small.Seconds(), Cause: CauseFewFrames}, nil)
	}
}

// lack classes a time that is in no file.
func (j *judging) lack(n Need, g stretch, mine []cover, covered bool, edge time.Duration) {
	rest := []stretch{g}
	for i := range mine {
		c := &mine[i]
		class, cause, lost := lostBy(c)
		if !lost {
			continue
		}
		for _, part := range within(rest, c.clock) {
			if part.length() > edge {
				j.add(Finding{Class: class, From: part.from, To: part.to, Seconds: part.length().Seconds(), Cause: cause, Recording: c.UUID}, c)
				rest = without(rest, []stretch{part})
				covered = covered || class == Deleted || class == Corrupt
			}
		}
	}
	for _, part := range rest {
		if part.length() > edge {
			j.position(n, part, mine, covered, edge)
		}
	}
}

// lostBy says what became of a file that had been there, or may be.
func lostBy(c *cover) (Class, string, bool) {
	f := c.File
	switch {
	case c.State == recorder.Deleted && c.Removed != nil:
		return Deleted, CauseRemoved, true
	case c.State == recorder.Deleted:
		return Missing, CauseFileGone, true
	case !final(c.State):
		return Unverifiable, CauseOpen, true
	case f.Unknown != "":
		return Unverifiable, CauseNotReadable, true
	case f.Broken != "":
		return Corrupt, recorder.CauseUnreadable, true
	case c.altered:
		return Corrupt, CauseAltered, true
	case !f.Exists && c.State != recorder.Missing:
		return Missing, CauseFileGone, true
	}
	return "", "", false
}

func final(s recorder.State) bool {
	switch s {
	case recorder.Ready, recorder.Empty, recorder.Interrupted, recorder.Missing, recorder.Deleted:
		return true
	case recorder.Starting, recorder.Live, recorder.Paused, recorder.Closing:
	}
	return false
}

// position classes a time in which nobody recorded, by where in the talk it is.
func (j *judging) position(n Need, g stretch, mine []cover, covered bool, edge time.Duration) {
	f := Finding{From: g.from, To: g.to, Seconds: g.length().Seconds()}
	var near *cover // whose recorder ran then, or should have
	for i := range mine {
		c := &mine[i]
		if c.clock.from.Before(g.to.Add(edge)) && c.clock.to.After(g.from.Add(-edge)) && (near == nil || worse(c, near)) {
			near = c
		}
	}
	switch {
	case !covered && near != nil && near.File.Exists && near.File.Samples == 0:
		f.Class = Empty
	case !covered:
		f.Class = Missing
	case !g.from.After(n.From.Add(edge)):
		f.Class = Late
	case near != nil && len(near.parts) > 0 && near.State == recorder.Ready && near.clock.to.After(g.to.Add(-edge)) && !j.blind(g):
		// The recorder ran to the end and wrote less: nobody can say where it lacks.
		f.Class, f.Cause = Gap, CauseFewFrames
	case !g.to.Before(n.To.Add(-edge)):
		f.Class = Short
	default:
		f.Class = Gap
	}
	if near != nil {
		f.Recording = near.UUID
	}
	j.because(&f, near, mine)
	j.add(f, near)
}

// worse prefers the recording that has something to say.
func worse(a, b *cover) bool { return a.Cause != "" && b.Cause == "" }

// blind says whether nobody saw the end of a time.
func (j *judging) blind(g stretch) bool {
	return slices.ContainsFunc(j.world.Outages, func(o Outage) bool {
		return (o.Kind == DaemonDown || o.Kind == EventsGone || o.Kind == AsteriskGone) && o.overlaps(g.from, g.to)
	})
}

// because finds out why nothing was recorded.
func (j *judging) because(f *Finding, near *cover, mine []cover) {
	if f.Cause != "" {
		return
	}
	if near != nil && near.Cause != "" {
		f.Cause = near.Cause
	}
	order := []OutageKind{DaemonDown, AsteriskGone, EventsGone, ManagerGone, StorageGone, Alarmed}
	if f.Cause == "" || f.Cause == recorder.CauseDaemonDown || f.Cause == recorder.CauseNoManager || recorder.Storage(f.Cause) {
		if o, ok := j.outage(f.From, f.To, order); ok {
			f.Event = o.Event
			if f.Cause == "" {
				f.Cause = string(o.Kind)
			}
		}
	}
	switch {
	case f.Cause != "":
	case near != nil && near.File.Samples == 0 && near.Silent:
		f.Cause = recorder.CauseSilent
	case f.Class == Late && near != nil && near.StartedAt.Sub(near.IntentAt) > j.world.Tolerances.Edge/2:
		f.Cause = CauseSlowStart
	case len(mine) == 0:
		f.Cause = CauseNotStarted
	default:
		f.Cause = CauseReplaced
	}
}

// outage is one of the time, of the first kind of order that there is.
func (j *judging) outage(from, to time.Time, order []OutageKind) (Outage, bool) {
	for _, kind := range order {
		for _, o := range j.world.Outages {
			if o.Kind == kind && o.overlaps(from.Add(-clocks), to) {
				return o, true
			}
		}
	}
	return Outage{}, false
}

// extra looks for audio that nobody had asked for.
func (j *judging) extra(c cover, list []Need) {
	if permitted(c.Recording.Recording) || c.altered {
		return
	}
	tol := j.world.Tolerances
	var allowed []stretch
	for _, n := range list {
		to := n.To.Add(tol.Extra)
		if n.EndUnknown {
			to = later(to, c.clock.to.Add(time.Hour))
		}
		allowed = append(allowed, stretch{n.From.Add(-tol.edge(n.stretch().length())), to})
	}
	over := without(c.parts, joined(allowed))
	if total(over) <= tol.Edge {
		return
	}
	f := Finding{Class: Unexpected, From: over[0].from, To: over[len(over)-1].to, Seconds: total(over).Seconds(), Cause: CauseNoRule, Recording: c.UUID}
	if o, ok := j.outage(f.From, f.To, []OutageKind{DaemonDown, EventsGone, ManagerGone, StorageGone}); ok && len(list) > 0 {
		f.Cause, f.Event = string(o.Kind), o.Event
	}
	j.add(f, &c)
}

// heard looks for sound in what was to be silent.
func (j *judging) heard(c cover) {
	for _, p := range c.Pauses {
		if p.Silence == recorder.NotSilent && len(c.parts) > 0 {
			j.add(Finding{
				Class: Unexpected, From: p.From, To: p.To, Seconds: p.To.Sub(p.From).Seconds(), Cause: CausePauseHeard, Recording: c.UUID,
			}, &c)
		}
	}
}

// alteration tells of a file that is another one, also if all of its time is there.
func (j *judging) alteration(c cover) {
	if !c.altered || slices.ContainsFunc(j.verdict.Findings, func(f Finding) bool { return f.Recording == c.UUID && f.Class == Corrupt }) {
		return
	}
	j.add(Finding{Class: Corrupt, From: c.clock.from, To: c.clock.to, Cause: CauseAltered, Recording: c.UUID}, &c)
}

func (j *judging) unknown(cause, why string) {
	j.add(Finding{Class: Unverifiable, From: j.call.Start, To: lastEnd(j.call), Cause: cause, Text: why}, nil)
}

// recordless judges recordings whose call has no CDR.
func (j *judging) recordless() {
	j.covers = covers(j.call.Recordings, nil)
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
	for i := len(list) - 1; i >= 0; i-- {
		for _, v := range list[i].data.Decision.Verdicts {
			if !v.Records {
				return v.Reason
			}
		}
	}
	return ""
}
