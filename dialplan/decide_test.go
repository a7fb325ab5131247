package dialplan

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func user(leg string, role Role, f Flags) Party {
	return Party{Leg: leg, Role: role, Kind: KindUser, UserUUID: "u-" + leg, Flags: f}
}

func TestDecide(t *testing.T) {
	var (
		outInt = Flags{OutgoingInternal: true}
		outExt = Flags{OutgoingExternal: true}
		inInt  = Flags{IncomingInternal: true}
		inExt  = Flags{IncomingExternal: true}
		trunk  = Party{Leg: "t", Kind: KindTrunk, Role: RolePeer}
		from   = Party{Leg: "t", Kind: KindTrunk, Role: RoleCaller}
	)
	tests := []struct {
		name    string
		parties []Party
		want    []Verdict
	}{
		{
			"caller's outgoing internal rule",
			[]Party{user("a", RoleCaller, outInt), user("b", RolePeer, Flags{})},
			[]Verdict{{"a", true, RuleOutInternal, ""}, {"b", false, NoneFlagsOff, ""}},
		},
		{
			"outgoing external rule does not record an internal call",
			[]Party{user("a", RoleCaller, outExt), user("b", RolePeer, Flags{})},
			[]Verdict{{"a", false, NoneFlagsOff, ""}, {"b", false, NoneFlagsOff, ""}},
		},
		{
			"outgoing external alone records a call over a trunk",
			[]Party{user("a", RoleCaller, outExt), trunk},
			[]Verdict{{"a", true, RuleOutExternal, ""}, {"t", false, NoneNoUser, ""}},
		},
		{
			"callee's incoming internal rule",
			[]Party{user("a", RoleCaller, Flags{}), user("b", RolePeer, inInt)},
			[]Verdict{{"a", false, NoneFlagsOff, ""}, {"b", true, RuleInInternal, ""}},
		},
		{
			"callee's incoming external rule",
			[]Party{from, user("b", RolePeer, inExt)},
			[]Verdict{{"t", false, NoneNoUser, ""}, {"b", true, RuleInExternal, ""}},
		},
		{
			"both want it, the caller comes first",
			[]Party{user("a", RoleCaller, outInt), user("b", RolePeer, inInt)},
			[]Verdict{{"a", true, RuleOutInternal, ""}, {"b", true, RuleInInternal, ""}},
		},
		{
			"trunk to trunk is nobody's",
			[]Party{from, trunk},
			[]Verdict{{"t", false, NoneNoUser, ""}, {"t", false, NoneNoUser, ""}},
		},
		{
			"an unclassified endpoint counts as external and says so",
			[]Party{user("a", RoleCaller, outExt), {Leg: "x", Kind: KindUnknown, Role: RolePeer}},
			[]Verdict{{"a", true, RuleOutExternal, EndpointUnknown}, {"x", false, EndpointUnknown, ""}},
		},
		{
			"a device is internal",
			[]Party{user("a", RoleCaller, outInt), {Leg: "d", Kind: KindDevice, Role: RolePeer}},
			[]Verdict{{"a", true, RuleOutInternal, ""}, {"d", false, NoneNoUser, ""}},
		},
		{
			"with an unknown role either flag suffices",
			[]Party{user("a", RoleUnknown, inInt), user("b", RoleUnknown, Flags{})},
			[]Verdict{{"a", true, RuleInInternal, Resync}, {"b", false, NoneFlagsOff, Resync}},
		},
		{
			"a third party on a trunk makes it external for all",
			[]Party{user("a", RoleCaller, outInt), user("b", RolePeer, inExt), trunk},
			[]Verdict{{"a", false, NoneFlagsOff, ""}, {"b", true, RuleInExternal, ""}, {"t", false, NoneNoUser, ""}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, Decide(Input{Parties: tt.parties}).Verdicts); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestReasonsAreClosed names each reason code of design 6: a new one has to be
// added here, to the list and to the documentation.
func TestReasonsAreClosed(t *testing.T) {
	want := []Reason{
		"rule.out.internal", "rule.out.external", "rule.in.internal", "rule.in.external",
		"on_demand", "api", "none.flags_off", "none.no_user", "none.conference", "none.no_talk",
		"refused.user", "refused.group", "refused.queue", "refused.trunk", "refused.paused_by_other",
		"claimant_left", "endpoint_unknown", "resync", "storage_stalled", "disk_full", "safety_net",
		"auto.always", "auto.never",
	}
	if diff := cmp.Diff(want, Reasons()); diff != "" {
		t.Error(diff)
	}
}
