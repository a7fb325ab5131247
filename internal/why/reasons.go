package why

import "callrecordd/dialplan"

// reasonText names a reason code for people. A code that a later version has
// made stays as it is.
func reasonText(r dialplan.Reason) string {
	switch r {
	case dialplan.RuleOutInternal:
		return "the rule for outgoing internal calls"
	case dialplan.RuleOutExternal:
		return "the rule for outgoing external calls"
	case dialplan.RuleInInternal:
		return "the rule for incoming internal calls"
	case dialplan.RuleInExternal:
		return "the rule for incoming external calls"
	case dialplan.OnDemand:
		return "recording on demand"
	case dialplan.API:
		return "a request through the API"
	case dialplan.AlwaysReason:
		return "auto_record: always"
	case dialplan.NeverReason:
		return "auto_record: never"
	case dialplan.NoneFlagsOff:
		return "nobody asks for it"
	case dialplan.NoneNoUser:
		return "it is no user's telephone"
	case dialplan.NoneConference:
		return "conferences are not recorded"
	case dialplan.NoneNoTalk:
		return "it was talking with nobody"
	case dialplan.ClaimantLeft:
		return "the party has left"
	case dialplan.EndpointUnknown:
		return "its telephone is not in the directory"
	case dialplan.Resync:
		return "the recorder was found running, and who had asked for it is not known"
	case dialplan.SafetyNetMade:
		return "the safety net: callrecordd was away, and Asterisk recorded by itself"
	case dialplan.StorageStalled:
		return "the disk of the recordings did not answer"
	case dialplan.DiskFull:
		return "the disk of the recordings was full"
	case dialplan.RefusedUser:
		return "the user has no permission to record on demand (online_call_record_enabled is off)"
	case dialplan.RefusedGroup:
		return "the group does not allow recording on demand (dtmf_record_toggle is off)"
	case dialplan.RefusedQueue:
		return "the queue does not allow recording on demand (dtmf_record_toggle is off)"
	case dialplan.RefusedTrunk:
		return "it is a trunk; only users may"
	case dialplan.RefusedPaused:
		return "the other party has paused the recording, and only that party or an administrator may end the pause"
	}
	return "reason " + string(r)
}
