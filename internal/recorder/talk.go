package recorder

import (
	"maps"
	"slices"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/call"
)

// talk is what the machine knows of a talk of the call model.
type talk struct {
	id        call.TalkID
	legs      []call.Leg
	parties   []dialplan.Party
	claims    []Claim // in force, the first claimant first
	gone      map[string]bool
	current   string // uuid of its active recording, at most one
	follows   string // uuid that the next recording continues
	suspended bool
	attempt   int       // failed starts since the last decision or proof
	blocked   bool      // no more starts before the next decision, or Able
	blockedAt time.Time // when that began
	revived   int       // how often Able has ended it since
	lack      lack
	firstAt   time.Time // of the first attempt
	recheck   time.Time

	pause Pause           // in force if From is set; no recorder starts then
	stops map[string]bool // legs whose rule claims a stop has ended
	beep  bool            // is due once the recorder does what was asked
	// starter is whose start the beep is for, empty if it is for something else.
	starter string
	// due: there is something to be told by an announcement. last and tenant are of
	// the recording that it is about, and ended says that it has.
	due, ended   bool
	last, tenant string
	misled       bool    // the owner of the pause has heard beeperr for it
	again        bool    // all its legs were talking before a restart of ours
	heirs        []Claim // claims by *3 and API whose legs have left

	gap     Gap       // what is on no file since a recording broke off, until one goes on
	cutOff  string    // the recording whose file was closed by nobody knows whom
	cutHook string    // and its leg
	awaits  string    // the tenant whose folder is waited for
	bare    time.Time // since when it has been wanted on file and is not
}

func (t *talk) has(leg string) bool {
	return slices.ContainsFunc(t.legs, func(l call.Leg) bool { return l.ID == leg })
}

// hook is the leg of the first claim that still has its channel.
func (t *talk) hook() (call.Leg, bool) {
	for _, c := range t.claims {
		for _, l := range t.legs {
			if l.ID == c.Leg && !t.gone[l.ID] {
				return l, true
			}
		}
	}
	return call.Leg{}, false
}

func (t *talk) party(leg string) dialplan.Party {
	for _, p := range t.parties {
		if p.Leg == leg {
			return p
		}
	}
	return dialplan.Party{Leg: leg, Role: dialplan.RoleUnknown, Kind: dialplan.KindUnknown}
}

func (m *Machine) talkChange(now time.Time, in TalkChange) {
	c := in.Change
	t := m.talks[c.Talk]
	if t == nil {
		if c.Kind == call.Ended {
			return
		}
		t = &talk{id: c.Talk, gone: map[string]bool{}, stops: map[string]bool{}}
		m.talks[c.Talk] = t
	}
	m.touchTalk(t)
	switch c.Kind {
	case call.Began, call.Changed:
		m.decide(now, t, in)
	case call.Resumed:
		if !sameLegs(t.legs, c.Legs) {
			m.decide(now, t, in)
			return
		}
		t.suspended = false
		m.ensure(now, t)
	case call.Suspended:
		t.suspended = true
		if r := m.recs[t.current]; r != nil {
			m.attend(now, t, r)
		}
	case call.Ended:
		m.endTalk(now, t, c.MergedInto)
	}
}

// sameLegs also compares names: another name is another person (design 5).
func sameLegs(a, b []call.Leg) bool {
	key := func(legs []call.Leg) []string {
		out := make([]string, 0, len(legs))
		for _, l := range legs {
			out = append(out, l.ID+" "+l.Name)
		}
		slices.Sort(out)
		return out
	}
	return slices.Equal(key(a), key(b))
}

// decide is a decision point: rule claims are computed anew (design 6).
func (m *Machine) decide(now time.Time, t *talk, in TalkChange) {
	t.suspended = false
	m.inherit(now, t, in.Change.Legs)
	m.seat(t, in.Change.Legs)
	t.parties = in.Parties
	m.touchTalk(t)
	maps.DeleteFunc(t.gone, func(leg string, _ bool) bool { return !t.has(leg) })
	m.recallTalk(t)
	m.inheritPause(now, t)
	t.attempt, t.blocked, t.recheck, t.firstAt, t.revived = 0, false, time.Time{}, time.Time{}, 0
	if !in.Found.IsZero() {
		t.lacks(in.Found, CauseDaemonDown)
	}
	m.takeOver(now, t)
	d := dialplan.Decide(dialplan.Input{Parties: t.parties})
	old := t.claims
	t.claims = m.claims(now, t, d)
	data := DecisionData{
		Talk: t.id, Change: in.Change.Kind.String(),
		Input: dialplan.Input{Parties: slices.Clone(t.parties)}, Decision: d,
		Claims: slices.Clone(t.claims), Records: len(t.claims) > 0,
	}
	callID := ""
	if len(t.legs) > 0 {
		callID = t.legs[0].ID
	}
	m.emit(Log{Event{At: now, Kind: EventDecision, Recording: t.current, Call: callID, Data: data}})
	m.logClaims(now, callID, t.current, old, t.claims)
	t.hushStarter(m.held)
	if len(t.claims) == 0 {
		t.lack = lack{} // nobody has lacked anything
	}
	m.ensure(now, t)
}

// hushStarter: the beep of a start goes with its claim, or it would sound at the
// start of a rule.
func (t *talk) hushStarter(held map[string]Claim) {
	if _, ok := held[t.starter]; t.starter != "" && (!ok || !t.has(t.starter)) {
		t.beep, t.starter = false, ""
	}
}

func (m *Machine) logClaims(now time.Time, callID, uuid string, old, claims []Claim) {
	for _, c := range old {
		if !slices.Contains(claims, c) {
			m.emit(Log{Event{At: now, Kind: EventRelease, Recording: uuid, Call: callID, Data: c}})
		}
	}
	for _, c := range claims {
		if !slices.Contains(old, c) {
			m.emit(Log{Event{At: now, Kind: EventClaim, Recording: uuid, Call: callID, Data: c}})
		}
	}
}

// claims returns those in force after a decision: claims that go on keep their
// place and time, new ones follow in the decision's order, callers first.
func (m *Machine) claims(now time.Time, t *talk, d dialplan.Decision) []Claim {
	var out []Claim
	add := func(c Claim) {
		if !slices.ContainsFunc(out, func(o Claim) bool { return o.Leg == c.Leg && isRule(o.Reason) == isRule(c.Reason) }) {
			out = append(out, c)
		}
	}
	wanted := slices.DeleteFunc(d.Claims(), func(v dialplan.Verdict) bool { return t.stops[v.Leg] })
	for _, c := range t.claims {
		if !t.has(c.Leg) || isRule(c.Reason) && t.stops[c.Leg] {
			continue
		}
		i := slices.IndexFunc(wanted, func(v dialplan.Verdict) bool { return v.Leg == c.Leg })
		switch {
		case !isRule(c.Reason):
			if h, ok := m.held[c.Leg]; ok {
				add(h)
			}
		case i >= 0:
			c.Reason, c.UserUUID = wanted[i].Reason, t.party(c.Leg).UserUUID
			add(c)
		case never(d):
		case t.party(c.Leg).Role == dialplan.RoleUnknown || t.again:
			// Found at a resync: neither a restart nor that we no longer know
			// who called whom is a reason to stop what was decided.
			add(c)
		}
	}
	for _, l := range t.legs {
		if h, ok := m.held[l.ID]; ok {
			add(h)
		}
	}
	for _, v := range wanted {
		add(Claim{Leg: v.Leg, UserUUID: t.party(v.Leg).UserUUID, Reason: v.Reason, At: now})
	}
	return out
}

// never says whether no rule may record the talk: each verdict says so then.
func never(d dialplan.Decision) bool {
	return slices.ContainsFunc(d.Verdicts, func(v dialplan.Verdict) bool { return v.Reason == dialplan.NeverReason })
}

// isRule includes Resync, the claim for a recorder whose row was lost: like
// that of a rule it lasts as long as the talk wants it.
func isRule(r dialplan.Reason) bool {
	return r == dialplan.RuleOutInternal || r == dialplan.RuleOutExternal ||
		r == dialplan.RuleInInternal || r == dialplan.RuleInExternal || r == dialplan.AlwaysReason || r == dialplan.Resync
}

// takeOver attaches an active recording that already sits on a leg of the
// talk: one found by Reconcile, or one of a talk that is merging into this.
func (m *Machine) takeOver(now time.Time, t *talk) {
	if t.current != "" {
		return
	}
	for _, r := range m.hooked(t.ids()...) {
		if !r.active() {
			continue
		}
		if o := m.talks[r.talk]; o != nil && o.current == r.UUID {
			o.current = ""
		}
		m.attach(now, t, r)
		return
	}
}

func (m *Machine) attach(now time.Time, t *talk, r *rec) {
	t.current, r.talk, t.lack = r.UUID, t.id, lack{}
	t.records(r)
	for _, c := range r.Claims {
		if !r.adopted || !t.has(c.Leg) {
			continue
		}
		if isRule(c.Reason) {
			t.claims = append(t.claims, c)
		} else if _, ok := m.held[c.Leg]; !ok && !m.withdrawn(c) {
			m.held[c.Leg] = c
		}
	}
	r.adopted = false
	m.joinPause(now, t, r)
}

// withdrawn says whether a claim that a row still has was ended before a restart.
func (m *Machine) withdrawn(c Claim) bool {
	s, ok := m.memory.stored[c.Leg]
	return ok && s.Claim.Leg == "" && !s.At.Before(c.At)
}

// ensure brings the talk's recording in line with its claims.
func (m *Machine) ensure(now time.Time, t *talk) {
	r := m.recs[t.current]
	if r != nil && !t.has(r.Hook) && !r.orphanBy.IsZero() {
		return // it is moving here: the change that names its leg is under way
	}
	if len(t.claims) == 0 {
		t.follows = ""
		if r != nil {
			m.close(now, r, string(dialplan.NoneFlagsOff))
			t.ended = true
		}
		m.toTell(t)
		return
	}
	if r != nil && t.has(r.Hook) {
		r.orphanBy = time.Time{}
		m.refresh(now, t, r)
		return
	}
	if r != nil {
		m.leave(r)
		m.close(now, r, string(dialplan.ClaimantLeft))
	}
	switch {
	case t.paused() || t.suspended || t.blocked || !t.recheck.IsZero():
	case m.blind:
		t.recheck = now
	default:
		m.start(now, t)
	}
}

// refresh writes claims, legs and parties of a recording that goes on.
func (m *Machine) refresh(now time.Time, t *talk, r *rec) {
	if r.renewal.heard == nil {
		r.renewal.recall(r.Legs, t.legs)
	}
	changed := !slices.Equal(r.Claims, t.claims)
	r.Claims = slices.Clone(t.claims)
	for _, l := range t.legs {
		if !slices.Contains(r.Legs, l.ID) {
			r.Legs = append(r.Legs, l.ID)
			changed = true
		}
		if l.ID == r.Hook && l.Name != r.HookName {
			r.HookName = l.Name
			changed = true
		}
	}
	if changed {
		m.emit(Save{Row: r.snapshot()})
	}
	m.present(now, t, r)
	m.toTell(t)
	if news := r.renewal.listen(t.legs); news {
		m.renew(now, r, RenewParty)
	}
	m.attend(now, t, r)
}

// present opens and closes parties so that they match the talk's.
func (m *Machine) present(now time.Time, t *talk, r *rec) {
	var list []Party
	open := map[string]bool{}
	for i, p := range r.parties {
		if !p.To.IsZero() {
			continue
		}
		cur := t.party(p.Leg)
		if t.has(p.Leg) && cur.UserUUID == p.UserUUID && cur.Endpoint == p.Endpoint {
			open[p.Leg] = true
			continue
		}
		r.parties[i].To = now
		list = append(list, r.parties[i])
	}
	for _, p := range t.parties {
		if open[p.Leg] {
			continue
		}
		from := now
		if len(r.parties) == 0 && slices.Contains(r.Legs, p.Leg) {
			from = r.IntentAt // adopted: the row that was written at its start
		}
		list = append(list, Party{Leg: p.Leg, UserUUID: p.UserUUID, Endpoint: p.Endpoint, From: from})
	}
	for _, p := range list {
		if p.To.IsZero() {
			r.parties = append(r.parties, p)
		}
	}
	if len(list) > 0 {
		m.emit(Parties{UUID: r.UUID, List: list})
	}
}

// endTalk ends a talk's recording, unless the talk lives on in another one. A
// claim by *3 or API lives on with its leg, and so does that leg's pause: nobody
// has resumed, and no beep has told that somebody listens again.
func (m *Machine) endTalk(now time.Time, t *talk, into call.TalkID) {
	m.seat(t, nil)
	delete(m.talks, t.id)
	r := m.recs[t.current]
	s := m.talks[into]
	if s != nil {
		maps.Copy(s.gone, t.gone) // its change, which comes next, drops what is not in it
		maps.Copy(s.stops, t.stops)
		m.mergePause(now, s, t)
		m.touchTalk(s)
	}
	owner := t.pause.Owner
	if _, held := m.held[owner]; held && s == nil && t.paused() && m.talkOf(owner) == nil {
		m.pausedLegs[owner] = t.pause
		m.touch(owner)
	}
	switch {
	case r == nil:
	case s == nil || s.current != "":
		m.close(now, r, CauseTalkEnded)
	case s.has(r.Hook):
		// The survivor has decided with this leg and without a recording:
		// either nobody wants one or this is it.
		m.attach(now, s, r)
		m.ensure(now, s)
	default:
		// Its change is under way; it decides whether this one goes on.
		r.orphanBy = now.Add(call.Grace)
		m.attach(now, s, r)
	}
}
