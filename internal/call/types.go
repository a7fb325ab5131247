// Package call is the one pure model of calls: real legs, Local pairs, bridges,
// talks, roles and via (design 2.2 to 2.4 and 5). ARI events feed it live, CEL
// rows feed it afterwards; recorder, CDR derivation and audit read it.
//
// It must not import anything of ours and does no I/O: time comes with the
// events, and the same events give the same talks however they are split.
package call

import (
	"strings"
	"time"
)

// Kind says what an Event reports.
type Kind uint8

// The kinds of events. Each names the fields of Event it uses besides At.
const (
	// ChannelStarted: Channel was created.
	ChannelStarted Kind = iota + 1
	// ChannelChanged: Channel is a newer snapshot of a channel. Of one that is
	// not alive it tells nothing: Asterisk's last words about a channel may
	// come after its end.
	ChannelChanged
	// ChannelEnded: Channel is gone, with Cause.
	ChannelEnded
	// BridgeEntered: Channel is now in Bridge.
	BridgeEntered
	// BridgeLeft: Channel is no longer in Bridge.
	BridgeLeft
	// DialBegun: Channel (may be empty: an originate) began to dial Peer.
	DialBegun
	// Restarted: Asterisk has started anew, every channel is gone.
	Restarted
	// PickedUp: Channel answers the call that was ringing elsewhere: whatever
	// queue or group had led to its leg no longer counts (design 5).
	PickedUp
	// DialAnswered: Peer has answered the dial of Channel. Who was not dialled
	// has picked the call up.
	DialAnswered
)

// Event is one thing that happened in Asterisk, in the words of neither ARI
// nor CEL. Events are applied in the order in which Asterisk told them.
type Event struct {
	At      time.Time
	Kind    Kind
	Channel Channel
	Peer    Channel
	Bridge  Bridge
	Cause   int // Q.850 cause of ChannelEnded, 0 if unknown
}

// Channel is a snapshot of an Asterisk channel.
type Channel struct {
	ID   string // uniqueid
	Name string // e.g. PJSIP/alice-0000000a or Local/2000@users-00000001;2
	Up   bool   // state Up: answered
	// CallerName and CallerNumber are the channel's own caller id.
	CallerName   string
	CallerNumber string
	Exten        string
	Context      string
	App          string // dialplan application that runs, e.g. Dial, Queue
	AppData      string
	// Vars are the optional CALLRECORD_* variables (design 4), nil if none.
	Vars map[string]string
}

// BridgeKind says whether being in a bridge together is talking to each other.
type BridgeKind uint8

// Mixing bridges join their channels. Holding bridges (parking, waiting) and
// ConfBridge's bridges do not (design 2.3).
const (
	Mixing BridgeKind = iota
	Holding
	Conference
)

// Bridge is an Asterisk bridge.
type Bridge struct {
	ID   string
	Kind BridgeKind
}

// Role is what a leg was in the last dial that named it (design 5).
type Role uint8

// A leg named by no dial is a caller. RoleUnknown marks legs that were found
// at a resync, whose dial nobody saw.
const (
	RoleCaller Role = iota
	RolePeer
	RoleUnknown
)

// ParseRole is the reverse of String; what it does not know is RoleUnknown.
func ParseRole(s string) Role {
	for _, r := range []Role{RoleCaller, RolePeer} {
		if r.String() == s {
			return r
		}
	}
	return RoleUnknown
}

// String returns the name used in stored decisions.
func (r Role) String() string {
	switch r {
	case RoleCaller:
		return "caller"
	case RolePeer:
		return "peer"
	case RoleUnknown:
		return "unknown"
	}
	return "invalid"
}

// Hop is one dial on the way to a peer, the caller's side of it.
type Hop struct {
	Queue   string // name of the app_queue queue, if the caller ran Queue
	Group   string // CALLRECORD_GROUP of the caller, if set
	Exten   string // where the caller was in the dialplan when it dialled
	Context string
}

// Leg is a real channel's part in a talk.
type Leg struct {
	ID           string // uniqueid
	Name         string
	Role         Role
	Via          []Hop // nearest dial first; further ones through Local pairs
	CallerName   string
	CallerNumber string
	Vars         map[string]string
	Joined       time.Time
}

// Endpoint returns technology and resource of a channel name, e.g. PJSIP/alice
// for PJSIP/alice-0000000a. The resource may itself contain dashes; Asterisk
// appends one dash and eight hex digits (channel.c, ast_channel_alloc users).
func Endpoint(name string) string {
	name = strings.TrimSuffix(name, "<ZOMBIE>")
	if i := strings.LastIndexByte(name, '-'); i > 0 {
		return name[:i]
	}
	return name
}

// Endpoint returns the endpoint of the leg's channel.
func (l Leg) Endpoint() string { return Endpoint(l.Name) }

// ChangeKind says what became of a talk.
type ChangeKind uint8

// What may become of a talk. Began, Changed and (with different legs) Resumed
// are decision points.
const (
	// Began: two real legs are connected.
	Began ChangeKind = iota + 1
	// Changed: the set of legs, or who is behind one of them, is another.
	Changed
	// Suspended: fewer than two legs are connected; Legs are those remembered.
	Suspended
	// Resumed: two are back within the grace time, with the same legs.
	Resumed
	// Ended: all legs are gone, the grace time has passed, or the talk has
	// become part of another one (MergedInto).
	Ended
)

// String returns the name used in events and logs.
func (k ChangeKind) String() string {
	switch k {
	case Began:
		return "began"
	case Changed:
		return "changed"
	case Suspended:
		return "suspended"
	case Resumed:
		return "resumed"
	case Ended:
		return "ended"
	}
	return "invalid"
}

// TalkID numbers the talks of one Model, in the order in which they began.
type TalkID uint64

// Talk is a talk as it is now.
type Talk struct {
	ID TalkID
	// Legs are callers first, then in the order in which they joined.
	Legs []Leg
	// Suspended says that fewer than two of them are connected.
	Suspended bool
}

// Change is a step in the life of a talk.
type Change struct {
	At   time.Time
	Kind ChangeKind
	Talk TalkID
	// Legs are the real legs after the change, callers first, then in the
	// order in which they joined. The slice is the receiver's to keep.
	Legs []Leg
	// MergedInto is the talk that took over the legs, with Ended only.
	MergedInto TalkID
}

// Grace is how long a talk outlives having fewer than two legs (design 2.4):
// long enough for a leg that moves between bridges, short enough that no
// music, menu or PIN that follows is recorded.
const Grace = 2 * time.Second
