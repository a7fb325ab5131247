package api

import (
	"slices"
	"time"

	"callrecordd/internal/cdr"
	"callrecordd/internal/recorder"
)

// cdrJSON is a CDR as clients see it: all keys always, in this order; null
// where nothing is known (cdr-api 4).
type cdrJSON struct {
	ID                           int64          `json:"id"`
	TenantUUID                   string         `json:"tenant_uuid"`
	Start                        *string        `json:"start"`
	End                          *string        `json:"end"`
	Answered                     bool           `json:"answered"`
	Answer                       *string        `json:"answer"`
	Duration                     *int64         `json:"duration"`
	CallDirection                *string        `json:"call_direction"`
	CallStatus                   string         `json:"call_status"`
	ConversationID               *string        `json:"conversation_id"`
	DestinationDetails           map[string]any `json:"destination_details"`
	DestinationExtension         *string        `json:"destination_extension"`
	DestinationInternalContext   *string        `json:"destination_internal_context"`
	DestinationInternalExtension *string        `json:"destination_internal_extension"`
	DestinationLineID            *int64         `json:"destination_line_id"`
	DestinationName              *string        `json:"destination_name"`
	DestinationUserUUID          *string        `json:"destination_user_uuid"`
	RequestedName                *string        `json:"requested_name"`
	RequestedContext             *string        `json:"requested_context"`
	RequestedExtension           *string        `json:"requested_extension"`
	RequestedInternalContext     *string        `json:"requested_internal_context"`
	RequestedInternalExtension   *string        `json:"requested_internal_extension"`
	RequestedUserUUID            *string        `json:"requested_user_uuid"`
	SourceExtension              *string        `json:"source_extension"`
	SourceInternalContext        *string        `json:"source_internal_context"`
	SourceInternalName           *string        `json:"source_internal_name"`
	SourceInternalExtension      *string        `json:"source_internal_extension"`
	SourceLineID                 *int64         `json:"source_line_id"`
	SourceName                   *string        `json:"source_name"`
	SourceUserUUID               *string        `json:"source_user_uuid"`
	Tags                         []string       `json:"tags"`
	Recordings                   []recordJSON   `json:"recordings"`
}

// recordJSON is a recording. The first five keys are Wazo's, the others tell
// what became of it (issue 5 counts on them too).
type recordJSON struct {
	UUID      string  `json:"uuid"`
	StartTime *string `json:"start_time"`
	EndTime   *string `json:"end_time"`
	Deleted   bool    `json:"deleted"`
	Filename  string  `json:"filename"`
	State     string  `json:"state"`
	Cause     *string `json:"cause"`
	Detail    *string `json:"detail"`
	Reason    *string `json:"reason"`
	Follows   *string `json:"follows"`
	// MediaDuration is measured from the audio data, in seconds.
	MediaDuration *float64 `json:"media_duration"`
}

func orNull[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// timestamp has microseconds only if there are any, and +00:00 for UTC.
func timestamp(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	layout := "2006-01-02T15:04:05-07:00"
	if t.Nanosecond()/1000 != 0 {
		layout = "2006-01-02T15:04:05.000000-07:00"
	}
	s := t.UTC().Format(layout)
	return &s
}

// toJSON renders a CDR for a request that sees those tenants. A recording
// belongs to the tenant of its first claimant (design 5), which need not be the
// CDR's: who does not see that tenant does not see the recording.
func toJSON(r Record, visible []string) cdrJSON {
	c := r.CDR
	out := cdrJSON{
		ID: c.ID, TenantUUID: c.TenantUUID,
		Start: timestamp(c.Start), End: timestamp(c.End), Answered: !c.Answer.IsZero(), Answer: timestamp(c.Answer),
		Duration: duration(c), CallDirection: orNull(c.CallDirection), CallStatus: c.CallStatus,
		ConversationID: orNull(c.ConversationID), DestinationDetails: c.DestinationDetails,
		DestinationExtension:         orNull(c.DestinationExtension),
		DestinationInternalContext:   orNull(c.DestinationInternalContext),
		DestinationInternalExtension: orNull(c.DestinationInternalExtension),
		DestinationLineID:            orNull(c.DestinationLineID),
		DestinationName:              orNull(c.DestinationName),
		DestinationUserUUID:          orNull(c.DestinationUserUUID),
		RequestedName:                orNull(c.RequestedName), RequestedContext: orNull(c.RequestedContext),
		RequestedExtension:         orNull(c.RequestedExtension),
		RequestedInternalContext:   orNull(c.RequestedInternalContext),
		RequestedInternalExtension: orNull(c.RequestedInternalExtension),
		RequestedUserUUID:          orNull(c.RequestedUserUUID),
		SourceExtension:            orNull(c.SourceExtension), SourceInternalContext: orNull(c.SourceInternalContext),
		SourceInternalName: orNull(c.SourceInternalName), SourceInternalExtension: orNull(c.SourceInternalExtension),
		SourceLineID: orNull(c.SourceLineID), SourceName: orNull(c.SourceName), SourceUserUUID: orNull(c.SourceUserUUID),
		Tags: tags(c), Recordings: []recordJSON{},
	}
	nameOutbound(&out)
	if out.DestinationDetails["type"] == nil {
		out.DestinationDetails = map[string]any{"type": "unknown"}
	}
	for _, rec := range r.Recordings {
		if !slices.Contains(visible, rec.TenantUUID) {
			continue
		}
		out.Recordings = append(out.Recordings, recordingJSON(rec, c.ID))
	}
	return out
}

// nameOutbound gives an outbound call empty names where others have null:
// nobody knows what the other side is called (cdr-api 10.6). Nothing was
// requested by an originated call.
func nameOutbound(c *cdrJSON) {
	if c.CallDirection == nil || *c.CallDirection != cdr.DirectionOutbound {
		return
	}
	if c.DestinationName == nil {
		c.DestinationName = new(string)
	}
	if c.RequestedName == nil && c.RequestedExtension != nil {
		c.RequestedName = new(string)
	}
}

// duration is the floor of the seconds from answer to end; a clock that was
// set back gives 0, not a negative number.
func duration(c cdr.CDR) *int64 {
	if c.Answer.IsZero() || c.End.IsZero() {
		return nil
	}
	s := max(0, int64(c.End.Sub(c.Answer)/time.Second))
	return &s
}

func tags(c cdr.CDR) []string {
	out := []string{}
	seen := make(map[string]bool)
	for _, p := range c.Participants {
		for _, t := range p.Tags {
			if !seen[t] {
				seen[t] = true
				out = append(out, t)
			}
		}
	}
	return out
}

func recordingJSON(r recorder.Recording, cdrID int64) recordJSON {
	out := recordJSON{
		UUID: r.UUID, StartTime: timestamp(began(r)), EndTime: timestamp(r.EndedAt),
		Deleted: r.State == recorder.Deleted, Filename: filename(r, cdrID),
		State: string(r.State), Cause: orNull(r.Cause), Detail: orNull(r.Detail), Follows: orNull(r.Follows),
	}
	if len(r.Claims) > 0 {
		out.Reason = orNull(string(r.Claims[0].Reason))
	}
	if r.Rate > 0 {
		seconds := float64(r.Samples) / float64(r.Rate)
		out.MediaDuration = &seconds
	}
	return out
}

func began(r recorder.Recording) time.Time {
	if r.StartedAt.IsZero() {
		return r.IntentAt
	}
	return r.StartedAt
}
