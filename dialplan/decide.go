package dialplan

import "slices"

// Reason says why a recording exists or does not. The enumeration is closed:
// stored decisions, the API and the audit use these words (design 6).
type Reason string

// The reason codes.
const (
	RuleOutInternal Reason = "rule.out.internal"
	RuleOutExternal Reason = "rule.out.external"
	RuleInInternal  Reason = "rule.in.internal"
	RuleInExternal  Reason = "rule.in.external"
	OnDemand        Reason = "on_demand"
	API             Reason = "api"
	NoneFlagsOff    Reason = "none.flags_off"
	NoneNoUser      Reason = "none.no_user"
	NoneConference  Reason = "none.conference"
	NoneNoTalk      Reason = "none.no_talk" // nobody is there to talk with: a menu, a queue, a mailbox
	RefusedUser     Reason = "refused.user"
	RefusedGroup    Reason = "refused.group"
	RefusedQueue    Reason = "refused.queue"
	RefusedTrunk    Reason = "refused.trunk"
	RefusedPaused   Reason = "refused.paused_by_other"
	ClaimantLeft    Reason = "claimant_left"
	EndpointUnknown Reason = "endpoint_unknown"
	Resync          Reason = "resync"
	StorageStalled  Reason = "storage_stalled"
	DiskFull        Reason = "disk_full"
	// SafetyNetMade is a recording that Asterisk made by itself while the daemon was
	// away.
	SafetyNetMade Reason = "safety_net"
	AlwaysReason  Reason = "auto.always"
	NeverReason   Reason = "auto.never"
)

// Reasons returns every reason code, in the order of design 6.
func Reasons() []Reason {
	return []Reason{
		RuleOutInternal, RuleOutExternal, RuleInInternal, RuleInExternal,
		OnDemand, API, NoneFlagsOff, NoneNoUser, NoneConference, NoneNoTalk,
		RefusedUser, RefusedGroup, RefusedQueue, RefusedTrunk, RefusedPaused,
		ClaimantLeft, EndpointUnknown, Resync, StorageStalled, DiskFull, SafetyNetMade,
		AlwaysReason, NeverReason,
	}
}

// Role is a party's part in the dial that made the talk.
type Role string

// The roles. RoleUnknown is a leg found at a resync: either flag suffices.
const (
	RoleCaller  Role = "caller"
	RolePeer    Role = "peer"
	RoleUnknown Role = "unknown"
)

// EndpointKind says what a leg's endpoint is in the directory (design 5).
type EndpointKind string

// The endpoint kinds. An endpoint that the directory does not know counts as
// external until somebody classifies it.
const (
	KindUser    EndpointKind = "user"
	KindTrunk   EndpointKind = "trunk"
	KindDevice  EndpointKind = "device"
	KindUnknown EndpointKind = "unknown"
)

// External says whether an endpoint is outside for everybody else in its talk.
func (k EndpointKind) External() bool { return k == KindTrunk || k == KindUnknown }

// Flags are a user's rules for automatic recording, and OnDemand, its own
// permission for `*3` (online_call_record_enabled). All default to false.
type Flags struct {
	OutgoingInternal bool `json:"outgoing_internal"`
	OutgoingExternal bool `json:"outgoing_external"`
	IncomingInternal bool `json:"incoming_internal"`
	IncomingExternal bool `json:"incoming_external"`
	OnDemand         bool `json:"on_demand"`
}

// AutoRecord is what a group, a queue or a trunk says of the calls that it
// leads to. Anything else than always and never is inherit: the users' rules.
type AutoRecord string

// The choices.
const (
	AutoInherit AutoRecord = "inherit"
	AutoAlways  AutoRecord = "always"
	AutoNever   AutoRecord = "never"
)

// AutoRecords returns the choices.
func AutoRecords() []AutoRecord { return []AutoRecord{AutoInherit, AutoAlways, AutoNever} }

// Party is one real leg of a talk as the rules see it. All fields are stored
// with the decision, so that it can be replayed.
type Party struct {
	Leg      string       `json:"leg"` // uniqueid
	Endpoint string       `json:"endpoint"`
	Role     Role         `json:"role"`
	Kind     EndpointKind `json:"kind"`
	UserUUID string       `json:"user_uuid,omitempty"` // with KindUser only
	Tenant   string       `json:"tenant_uuid,omitempty"`
	Flags    Flags        `json:"flags"`
	// Queue and Group are the uuids of what led to the peer, empty if none.
	Queue string `json:"queue,omitempty"`
	Group string `json:"group,omitempty"`
	// QueueToggle and GroupToggle are their dtmf_record_toggle.
	QueueToggle bool `json:"queue_toggle,omitempty"`
	GroupToggle bool `json:"group_toggle,omitempty"`
	// QueueAuto and GroupAuto are their auto_record, TrunkAuto that of the trunk
	// that the party is.
	QueueAuto AutoRecord `json:"queue_auto,omitempty"`
	GroupAuto AutoRecord `json:"group_auto,omitempty"`
	TrunkAuto AutoRecord `json:"trunk_auto,omitempty"`
}

// Input is all that an automatic decision depends on: the parties of a talk,
// callers first, then in the order in which they joined.
type Input struct {
	Parties []Party `json:"parties"`
}

// Verdict is the outcome for one party.
type Verdict struct {
	Leg     string `json:"leg"`
	Records bool   `json:"records"`
	Reason  Reason `json:"reason"`
	// Note is EndpointUnknown when "external" was concluded from an endpoint
	// that nobody has classified, Resync when the role was not known.
	Note Reason `json:"note,omitempty"`
}

// Decision says who wants the talk recorded, and for everybody why or why not.
type Decision struct {
	// Verdicts has one entry for each party, in the order of the input.
	Verdicts []Verdict `json:"verdicts"`
}

// Claims returns the verdicts that want a recording, the first one's leg being
// the one to hook: the caller's if both parties want it (design 6, Claims).
func (d Decision) Claims() []Verdict {
	var out []Verdict
	for _, v := range d.Verdicts {
		if v.Records {
			out = append(out, v)
		}
	}
	return out
}

// Decide applies the rules for automatic recording (design 6): the caller's
// leg wants it if its outgoing flag for internal or external is on, a peer's
// if its incoming flag is. External for a leg means that any other leg of the
// talk is a trunk or unknown; no caller id is guessed from.
//
// Before the users' rules come those of what led to a party (docs/rules.md): one
// never, and no rule records the talk; an always, and that party's leg wants it.
func Decide(in Input) Decision {
	d := Decision{Verdicts: make([]Verdict, 0, len(in.Parties))}
	never := slices.ContainsFunc(in.Parties, func(p Party) bool { a, _ := p.Auto(); return a == AutoNever })
	for i, p := range in.Parties {
		external, guessed := externalFor(in.Parties, i)
		v := verdict(p, external)
		if v.Note == "" && guessed && p.Kind == KindUser {
			v.Note = EndpointUnknown
		}
		auto, _ := p.Auto()
		switch {
		case never:
			v.Records, v.Reason = false, NeverReason
		case auto == AutoAlways:
			v.Records, v.Reason = true, AlwaysReason
		}
		d.Verdicts = append(d.Verdicts, v)
	}
	return d
}

// Source is what decides for a party before its user's rules do.
type Source string

// The sources. Without one the users' rules decide.
const (
	SourceNone  Source = ""
	SourceQueue Source = "queue"
	SourceGroup Source = "group"
	SourceTrunk Source = "trunk"
)

// Auto is what the trunk that a party is, and the queue or else the group that
// led to it, say together, and which of them says so: never before always. As
// with `*3`, only who was called was led to, and a queue counts in place of its
// group.
func (p Party) Auto() (AutoRecord, Source) {
	via, led := AutoInherit, SourceNone
	switch {
	case p.Role != RolePeer:
	case p.Queue != "":
		via, led = p.QueueAuto, SourceQueue
	case p.Group != "":
		via, led = p.GroupAuto, SourceGroup
	}
	trunk := AutoInherit
	if p.Kind == KindTrunk {
		trunk = p.TrunkAuto
	}
	switch {
	case via == AutoNever:
		return AutoNever, led
	case trunk == AutoNever:
		return AutoNever, SourceTrunk
	case via == AutoAlways:
		return AutoAlways, led
	case trunk == AutoAlways:
		return AutoAlways, SourceTrunk
	}
	return AutoInherit, SourceNone
}

// externalFor says whether the party at i talks to the outside, and whether
// only unclassified endpoints made it so.
func externalFor(parties []Party, i int) (external, guessed bool) {
	trunk := false
	for j, o := range parties {
		if j == i {
			continue
		}
		external = external || o.Kind.External()
		trunk = trunk || o.Kind == KindTrunk
	}
	return external, external && !trunk
}

func verdict(p Party, external bool) Verdict {
	v := Verdict{Leg: p.Leg}
	if p.Kind != KindUser {
		v.Reason = NoneNoUser
		if p.Kind == KindUnknown {
			v.Reason = EndpointUnknown
		}
		return v
	}
	out, in := p.Flags.OutgoingInternal, p.Flags.IncomingInternal
	outReason, inReason := RuleOutInternal, RuleInInternal
	if external {
		out, in = p.Flags.OutgoingExternal, p.Flags.IncomingExternal
		outReason, inReason = RuleOutExternal, RuleInExternal
	}
	switch p.Role {
	case RoleCaller:
		v.Records, v.Reason = out, outReason
	case RolePeer:
		v.Records, v.Reason = in, inReason
	case RoleUnknown:
		v.Records, v.Reason, v.Note = out || in, outReason, Resync
		if !out && in {
			v.Reason = inReason
		}
	}
	if !v.Records {
		v.Reason = NoneFlagsOff
	}
	return v
}
