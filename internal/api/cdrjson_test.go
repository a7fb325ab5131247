package api

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"callrecordd/dialplan"
	"callrecordd/internal/cdr"
	"callrecordd/internal/recorder"
)

// TestGolden has every key in its order, first with all values, then with none.
func TestGolden(t *testing.T) {
	start := time.Date(2026, 11, 23, 10, 0, 0, 0, time.FixedZone("", 3600))
	w := newWorld(t)
	w.cdrs.records = []Record{
		{
			CDR: cdr.CDR{
				ID: 1, TenantUUID: master, Start: start, Answer: start.Add(1500 * time.Millisecond), End: start.Add(62 * time.Second),
				CallDirection: "internal", CallStatus: "answered", ConversationID: "1795428000.1",
				DestinationDetails:   map[string]any{"type": "user", "user_uuid": other, "user_name": "Bob"},
				DestinationExtension: "1002", DestinationInternalContext: "users", DestinationInternalExtension: "1002",
				DestinationLineID: 4, DestinationName: "Bob <&>", DestinationUserUUID: other,
				RequestedName: "Bob", RequestedContext: "users", RequestedExtension: "1002",
				RequestedInternalContext: "users", RequestedInternalExtension: "1002", RequestedUserUUID: other,
				SourceExtension: "1001", SourceInternalContext: "users", SourceInternalName: "Alice", SourceInternalExtension: "1001",
				SourceName: "Alïce", SourceUserUUID: child, SourceLineID: 3,
				Participants: []cdr.Participant{{Tags: []string{"sales", "north"}}, {Tags: []string{"north"}}},
			},
			Recordings: []recorder.Recording{
				{
					UUID: rec1, TenantUUID: master, State: recorder.Ready, StartedAt: start.Add(1600 * time.Millisecond), EndedAt: start.Add(62 * time.Second),
					Claims:  []recorder.Claim{{Reason: dialplan.Reason("rule.out.internal")}, {Reason: dialplan.Reason("on_demand")}},
					Samples: 12000, Rate: 8000, SHA256: "abc",
				},
				{
					UUID: rec2, TenantUUID: child, State: recorder.Deleted, IntentAt: start, Cause: "never_seen", Detail: "no file", Follows: rec1,
				},
			},
		},
		{CDR: cdr.CDR{ID: 2, TenantUUID: master, Start: start, CallStatus: "unknown"}},
	}
	for path, lines := range map[string][]string{
		"/1.0/cdr/1": {
			`{"id":1,"tenant_uuid":"` + master + `","start":"2026-11-23T09:00:00+00:00","end":"2026-11-23T09:01:02+00:00"`,
			`"answered":true,"answer":"2026-11-23T09:00:01.500000+00:00","duration":60,"call_direction":"internal"`,
			`"call_status":"answered","conversation_id":"1795428000.1"`,
			`"destination_details":{"type":"user","user_name":"Bob","user_uuid":"` + other + `"},"destination_extension":"1002"`,
			`"destination_internal_context":"users","destination_internal_extension":"1002","destination_line_id":4`,
			`"destination_name":"Bob \u003c\u0026\u003e","destination_user_uuid":"` + other + `","requested_name":"Bob"`,
			`"requested_context":"users","requested_extension":"1002","requested_internal_context":"users"`,
			`"requested_internal_extension":"1002","requested_user_uuid":"` + other + `","source_extension":"1001"`,
			`"source_internal_context":"users","source_internal_name":"Alice","source_internal_extension":"1001"`,
			`"source_line_id":3,"source_name":"Alïce","source_user_uuid":"` + child + `","tags":["sales","north"]`,
			`"recordings":[{"uuid":"` + rec1 + `","start_time":"2026-11-23T09:00:01.600000+00:00","end_time":"2026-11-23T09:01:02+00:00"`,
			`"deleted":false,"filename":"2026-11-23T09_00_01UTC-1-` + rec1 + `.wav","state":"ready","cause":null,"detail":null`,
			`"reason":"rule.out.internal","follows":null,"media_duration":1.5}`,
			`{"uuid":"` + rec2 + `","start_time":"2026-11-23T09:00:00+00:00","end_time":null,"deleted":true`,
			`"filename":"2026-11-23T09_00_00UTC-1-` + rec2 + `.wav","state":"deleted","cause":"never_seen","detail":"no file"`,
			`"reason":null,"follows":"` + rec1 + `","media_duration":null}]}`,
		},
		"/1.0/cdr/2": {
			`{"id":2,"tenant_uuid":"` + master + `","start":"2026-11-23T09:00:00+00:00","end":null,"answered":false,"answer":null`,
			`"duration":null,"call_direction":null,"call_status":"unknown","conversation_id":null`,
			`"destination_details":{"type":"unknown"},"destination_extension":null,"destination_internal_context":null`,
			`"destination_internal_extension":null,"destination_line_id":null,"destination_name":null,"destination_user_uuid":null`,
			`"requested_name":null,"requested_context":null,"requested_extension":null,"requested_internal_context":null`,
			`"requested_internal_extension":null,"requested_user_uuid":null,"source_extension":null,"source_internal_context":null`,
			`"source_internal_name":null,"source_internal_extension":null,"source_line_id":null,"source_name":null`,
			`"source_user_uuid":null,"tags":[],"recordings":[]}`,
		},
	} {
		if diff := cmp.Diff(strings.Join(lines, ",")+"\n", w.get(path).body); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
}

// TestOutboundNames: the other side of an outbound call has an empty name
// where others have none (cdr-api 10.6).
func TestOutboundNames(t *testing.T) {
	empty, carol := "", "Carol"
	for _, c := range []struct {
		name                   string
		cdr                    cdr.CDR
		requested, destination *string
	}{
		{"dialled", cdr.CDR{CallDirection: cdr.DirectionOutbound, RequestedExtension: "0123"}, &empty, &empty},
		{"then transferred", cdr.CDR{CallDirection: cdr.DirectionOutbound, RequestedExtension: "0123", DestinationName: carol}, &empty, &carol},
		{"originated", cdr.CDR{CallDirection: cdr.DirectionOutbound}, nil, &empty},
		{"forwarded", cdr.CDR{CallDirection: cdr.DirectionInternal, RequestedExtension: "1002"}, nil, nil},
	} {
		got := toJSON(Record{CDR: c.cdr}, nil)
		if diff := cmp.Diff([]*string{c.requested, c.destination}, []*string{got.RequestedName, got.DestinationName}); diff != "" {
			t.Errorf("%s: requested and destination name (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestDuration(t *testing.T) {
	at := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	if d := duration(cdr.CDR{Answer: at, End: at.Add(-time.Minute)}); d == nil || *d != 0 {
		t.Errorf("a clock that was set back: %v", d)
	}
	if d := duration(cdr.CDR{Answer: at, End: at.Add(2*time.Second - 1)}); d == nil || *d != 1 {
		t.Errorf("floor: %v", d)
	}
	if s := timestamp(at.Add(999)); *s != "2026-11-23T10:00:00+00:00" {
		t.Errorf("less than a microsecond: %s", *s)
	}
}
