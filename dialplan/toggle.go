package dialplan

// MayToggle says whether a party may switch the recording of its call by `*3`
// or the API, and the reason if it may not (design 6, On demand): a caller is
// judged by its own permission; a peer by that of the queue or else the group
// that led to it, which override its own in both directions. A party whose role
// was lost at a resync is judged by its own.
func MayToggle(p Party) (bool, Reason) {
	switch p.Kind {
	case KindUser:
	case KindTrunk:
		return false, RefusedTrunk
	case KindUnknown:
		return false, EndpointUnknown
	default:
		return false, NoneNoUser
	}
	allowed, refused := p.Flags.OnDemand, RefusedUser
	if p.Role == RolePeer {
		switch {
		case p.Queue != "":
			allowed, refused = p.QueueToggle, RefusedQueue
		case p.Group != "":
			allowed, refused = p.GroupToggle, RefusedGroup
		}
	}
	if !allowed {
		return false, refused
	}
	return true, OnDemand
}

// Flip is what `*26` makes of a user's flags: all four on become all off, any
// other mix all on (design 6). The permission for `*3` is not touched.
func Flip(f Flags) Flags {
	on := !Lit(f)
	f.OutgoingInternal, f.OutgoingExternal, f.IncomingInternal, f.IncomingExternal = on, on, on, on
	return f
}
