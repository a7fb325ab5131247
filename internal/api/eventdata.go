package api

import (
	"callrecordd/internal/events"
	"callrecordd/internal/export"
	"callrecordd/internal/recorder"
)

// The data of events, as Wazo's bus has it (cdr-api 7.8, 9.5, recording-rules
// 4.6). They have the shapes of the same things in answers.

// CDREventData is that of a CDR, with the recordings of those tenants.
func CDREventData(r Record, tenants []string) any { return toJSON(r, tenants) }

// UserCDREventData is that of a CDR for one of its participants, with the
// recordings of the participant's tenant.
func UserCDREventData(r Record, tenant string) any {
	return myCDR{cdrJSON: toJSON(r, []string{tenant})}
}

// ExportEventData is that of an export.
func ExportEventData(e export.Export) any { return exportToJSON(e) }

// recordingEventJSON is what is told of a recording. Wazo has call_id alone.
type recordingEventJSON struct {
	CallID        string   `json:"call_id"`
	UserUUID      *string  `json:"user_uuid"`
	RecordingUUID string   `json:"recording_uuid"`
	TenantUUID    string   `json:"tenant_uuid"`
	RecordState   string   `json:"record_state"`
	State         string   `json:"state"`
	Cause         *string  `json:"cause"`
	Reason        *string  `json:"reason"`
	Follows       *string  `json:"follows"`
	CDRID         *int64   `json:"cdr_id"`
	StartTime     *string  `json:"start_time"`
	EndTime       *string  `json:"end_time"`
	MediaDuration *float64 `json:"media_duration"`
}

// RecordingEventData is that of the event with the name about a recording, and
// the user whose channel it was made on, if any. The row may be newer than the
// event; what the event's name says is taken from that.
func RecordingEventData(name string, r recorder.Recording, user string, settled recorder.State, cause string) any {
	described := recordingJSON(r, r.CDRID)
	out := recordingEventJSON{
		CallID: r.Hook, UserUUID: orNull(user), RecordingUUID: r.UUID, TenantUUID: r.TenantUUID, RecordState: string(recorder.Inactive),
		Reason: described.Reason, Follows: described.Follows, StartTime: described.StartTime,
	}
	switch name {
	case events.RecordingStarted, events.RecordingResumed:
		out.RecordState, out.State = string(recorder.Active), string(recorder.Live)
	case events.RecordingPaused:
		out.RecordState, out.State = string(recorder.PartyPaused), string(recorder.Paused)
	case events.RecordingStopped:
		out.State, out.EndTime = string(recorder.Closing), described.EndTime
	default:
		out.State, out.Cause, out.EndTime = string(settled), orNull(cause), described.EndTime
		out.CDRID, out.MediaDuration = orNull(r.CDRID), described.MediaDuration
	}
	return out
}
