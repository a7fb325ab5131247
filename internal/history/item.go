// Package history carries calls in and out: items as the API shows them, with
// what else is needed to keep them, as JSON Lines, and Asterisk's Master.csv.
//
// It may import internal/cdr, internal/recorder and internal/audio: what is
// stored, and how, is the business of others.
package history

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"callrecordd/internal/cdr"
	"callrecordd/internal/recorder"
)

// Text is "" where the API has null.
type Text string

// MarshalJSON implements json.Marshaler.
func (t Text) MarshalJSON() ([]byte, error) { return orNull(t == "", string(t)) }

// Number is 0 where the API has null.
type Number int64

// MarshalJSON implements json.Marshaler.
func (n Number) MarshalJSON() ([]byte, error) { return orNull(n == 0, int64(n)) }

// Moment is the zero time where the API has null. It is written as the API
// writes times, and read from anything that RFC 3339 allows; without a zone it
// is UTC.
type Moment struct{ time.Time }

// MarshalJSON implements json.Marshaler.
func (m Moment) MarshalJSON() ([]byte, error) {
	return orNull(m.IsZero(), m.UTC().Format("2006-01-02T15:04:05.999999-07:00"))
}

// UnmarshalJSON implements json.Unmarshaler.
func (m *Moment) UnmarshalJSON(data []byte) error {
	if bytes.Equal(data, []byte("null")) {
		m.Time = time.Time{}
		return nil
	}
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return errors.New("a time must be a text such as 2026-11-23T10:00:00+00:00")
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999"} {
		if t, err := time.Parse(layout, s); err == nil {
			if t.Year() < 1900 || t.Year() > 9999 {
				break
			}
			m.Time = t.UTC().Truncate(time.Microsecond)
			return nil
		}
	}
	return fmt.Errorf("%.40q is no time", s)
}

func orNull(null bool, v any) ([]byte, error) {
	if null {
		return []byte("null"), nil
	}
	return json.Marshal(v)
}

// Item is a call. Its keys are those of GET /cdr (cdr-api 4), and participants
// and paths, which that does not show. Channels are for a call of Master.csv,
// whose users the directory has to find.
type Item struct {
	Line int `json:"line,omitempty"` // of the file, for messages

	ID                           int64          `json:"id,omitempty"`
	TenantUUID                   Text           `json:"tenant_uuid"`
	Start                        Moment         `json:"start"`
	End                          Moment         `json:"end"`
	Answer                       Moment         `json:"answer"`
	CallDirection                Text           `json:"call_direction"`
	CallStatus                   Text           `json:"call_status"`
	ConversationID               Text           `json:"conversation_id"`
	DestinationDetails           map[string]any `json:"destination_details"`
	DestinationExtension         Text           `json:"destination_extension"`
	DestinationInternalContext   Text           `json:"destination_internal_context"`
	DestinationInternalExtension Text           `json:"destination_internal_extension"`
	DestinationLineID            Number         `json:"destination_line_id"`
	DestinationName              Text           `json:"destination_name"`
	DestinationUserUUID          Text           `json:"destination_user_uuid"`
	RequestedName                Text           `json:"requested_name"`
	RequestedContext             Text           `json:"requested_context"`
	RequestedExtension           Text           `json:"requested_extension"`
	RequestedInternalContext     Text           `json:"requested_internal_context"`
	RequestedInternalExtension   Text           `json:"requested_internal_extension"`
	RequestedUserUUID            Text           `json:"requested_user_uuid"`
	SourceExtension              Text           `json:"source_extension"`
	SourceInternalContext        Text           `json:"source_internal_context"`
	SourceInternalName           Text           `json:"source_internal_name"`
	SourceInternalExtension      Text           `json:"source_internal_extension"`
	SourceLineID                 Number         `json:"source_line_id"`
	SourceName                   Text           `json:"source_name"`
	SourceUserUUID               Text           `json:"source_user_uuid"`
	Tags                         []string       `json:"tags"`
	Recordings                   []Recording    `json:"recordings"`
	Participants                 []Participant  `json:"participants"`

	Channel            string `json:"channel,omitempty"`
	DestinationChannel string `json:"destination_channel,omitempty"`
}

// Recording is one of a call. Path is its file, on the machine of the daemon.
type Recording struct {
	UUID       string `json:"uuid"`
	TenantUUID Text   `json:"tenant_uuid"` // empty: that of the call
	StartTime  Moment `json:"start_time"`
	EndTime    Moment `json:"end_time"`
	Deleted    bool   `json:"deleted"`
	State      Text   `json:"state"`
	Follows    Text   `json:"follows"`
	Path       string `json:"path,omitempty"`
}

// Participant is a user's part in a call.
type Participant struct {
	UserUUID  string   `json:"user_uuid"`
	LineID    Number   `json:"line_id"`
	Role      string   `json:"role"`
	Tags      []string `json:"tags"`
	Answered  bool     `json:"answered"`
	Requested bool     `json:"requested"`
}

const (
	maxText = 1000
	// maxID leaves ids for the calls to come, and lists hold sets of ids.
	maxID    = 1 << 31
	maxLists = 1000
)

var uuidForm = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// CDR checks an item and returns it as it is stored. The error is a sentence
// for people.
func (it Item) CDR() (cdr.CDR, error) {
	if it.ID < 0 || it.ID > maxID {
		return cdr.CDR{}, fmt.Errorf("id %d is not between 1 and %d", it.ID, maxID)
	}
	if !uuidForm.MatchString(string(it.TenantUUID)) {
		return cdr.CDR{}, fmt.Errorf("tenant_uuid %.40q is no uuid", string(it.TenantUUID))
	}
	if it.Start.IsZero() {
		return cdr.CDR{}, errors.New("start is missing")
	}
	if d := it.CallDirection; d != "" && d != cdr.DirectionInternal && d != cdr.DirectionInbound && d != cdr.DirectionOutbound {
		return cdr.CDR{}, fmt.Errorf("call_direction %.40q is neither internal, inbound nor outbound", string(d))
	}
	status := string(it.CallStatus)
	if status == "" {
		status = map[bool]string{true: cdr.StatusUnknown, false: cdr.StatusAnswered}[it.Answer.IsZero()]
	}
	if !slices.Contains([]string{cdr.StatusAnswered, cdr.StatusUnknown, cdr.StatusVoicemail, cdr.StatusBlocked}, status) {
		return cdr.CDR{}, fmt.Errorf("call_status %.40q is neither answered, unknown, voicemail nor blocked", status)
	}
	c := cdr.CDR{
		ID: it.ID, TenantUUID: string(it.TenantUUID), Start: it.Start.Time, End: it.End.Time, Answer: it.Answer.Time,
		CallDirection: string(it.CallDirection), CallStatus: status, ConversationID: string(it.ConversationID),
		DestinationDetails: it.DestinationDetails, DestinationExtension: string(it.DestinationExtension),
		DestinationInternalContext: string(it.DestinationInternalContext), DestinationInternalExtension: string(it.DestinationInternalExtension),
		DestinationName: string(it.DestinationName), DestinationUserUUID: string(it.DestinationUserUUID), DestinationLineID: int64(it.DestinationLineID),
		RequestedName: string(it.RequestedName), RequestedContext: string(it.RequestedContext), RequestedExtension: string(it.RequestedExtension),
		RequestedInternalContext: string(it.RequestedInternalContext), RequestedInternalExtension: string(it.RequestedInternalExtension),
		RequestedUserUUID: string(it.RequestedUserUUID), SourceExtension: string(it.SourceExtension),
		SourceInternalContext: string(it.SourceInternalContext), SourceInternalName: string(it.SourceInternalName),
		SourceInternalExtension: string(it.SourceInternalExtension), SourceName: string(it.SourceName),
		SourceUserUUID: string(it.SourceUserUUID), SourceLineID: int64(it.SourceLineID),
		// No journal: it is never taken for a call of this machine.
		Source: cdr.SourceJournal,
	}
	if c.DestinationDetails["type"] == nil {
		c.DestinationDetails = map[string]any{"type": "unknown"}
	}
	var err error
	if c.Participants, err = it.participants(); err != nil {
		return cdr.CDR{}, err
	}
	return c, it.badText()
}

// participants are those of the item or, if it has none, its users; its tags
// are the source's then.
func (it Item) participants() ([]cdr.Participant, error) {
	if len(it.Participants) > maxLists || len(it.Tags) > maxLists {
		return nil, fmt.Errorf("there are more than %d participants or tags", maxLists)
	}
	var out []cdr.Participant
	for _, p := range it.Participants {
		if p.Role != cdr.RoleSource && p.Role != cdr.RoleDestination {
			return nil, fmt.Errorf("role %.40q of a participant is neither source nor destination", p.Role)
		}
		out = append(out, cdr.Participant{
			UserUUID: p.UserUUID, LineID: int64(p.LineID), Role: p.Role, Tags: p.Tags, Answered: p.Answered, Requested: p.Requested,
		})
	}
	if out != nil {
		return out, nil
	}
	answered := !it.Answer.IsZero()
	if it.SourceUserUUID != "" || len(it.Tags) > 0 {
		out = append(out, cdr.Participant{
			UserUUID: string(it.SourceUserUUID), LineID: int64(it.SourceLineID), Role: cdr.RoleSource, Tags: it.Tags, Answered: answered,
		})
	}
	if it.DestinationUserUUID != "" {
		out = append(out, cdr.Participant{
			UserUUID: string(it.DestinationUserUUID), LineID: int64(it.DestinationLineID), Role: cdr.RoleDestination,
			Answered: answered, Requested: it.RequestedUserUUID == it.DestinationUserUUID,
		})
	}
	return out, nil
}

// badText names a text that no call of ours could have.
func (it Item) badText() error {
	texts := []string{
		string(it.ConversationID), string(it.DestinationExtension), string(it.DestinationInternalContext),
		string(it.DestinationInternalExtension), string(it.DestinationName), string(it.DestinationUserUUID), string(it.RequestedName),
		string(it.RequestedContext), string(it.RequestedExtension), string(it.RequestedInternalContext),
		string(it.RequestedInternalExtension), string(it.RequestedUserUUID), string(it.SourceExtension), string(it.SourceInternalContext),
		string(it.SourceInternalName), string(it.SourceInternalExtension), string(it.SourceName), string(it.SourceUserUUID),
	}
	texts = append(texts, it.Tags...)
	for _, p := range it.Participants {
		texts = append(append(texts, p.UserUUID), p.Tags...)
	}
	for _, s := range texts {
		if len(s) > maxText || !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
			return fmt.Errorf("the text %.40q is longer than %d bytes or is no text", s, maxText)
		}
	}
	return nil
}

// Recorded returns the recordings of a checked item, without what only their
// files can tell.
func (it Item) Recorded() ([]recorder.Recording, error) {
	if len(it.Recordings) > maxLists {
		return nil, fmt.Errorf("there are more than %d recordings", maxLists)
	}
	var out []recorder.Recording
	seen := map[string]bool{}
	for _, r := range it.Recordings {
		tenant := cmp.Or(string(r.TenantUUID), string(it.TenantUUID))
		switch {
		case !recorder.ValidUUID(r.UUID):
			return nil, fmt.Errorf("uuid %.40q of a recording is none", r.UUID)
		case seen[r.UUID]:
			return nil, fmt.Errorf("recording %s is there twice", r.UUID)
		case !uuidForm.MatchString(tenant):
			return nil, fmt.Errorf("tenant_uuid %.40q of a recording is none", tenant)
		case r.Follows != "" && !recorder.ValidUUID(string(r.Follows)):
			return nil, fmt.Errorf("follows %.40q of a recording is no uuid", string(r.Follows))
		}
		seen[r.UUID] = true
		rec := recorder.Recording{
			UUID: r.UUID, TenantUUID: tenant, Follows: string(r.Follows), State: recorder.Missing, Cause: recorder.CauseNoFile,
			IntentAt: r.StartTime.Time, StartedAt: r.StartTime.Time, EndedAt: r.EndTime.Time, Detail: "imported without a file",
		}
		if rec.IntentAt.IsZero() {
			rec.IntentAt, rec.StartedAt = it.Start.Time, it.Start.Time
		}
		if rec.EndedAt.IsZero() {
			rec.EndedAt = cmp.Or(it.End.Time, rec.IntentAt)
		}
		if r.Deleted || recorder.State(r.State) == recorder.Deleted {
			rec.State, rec.Cause, rec.Detail = recorder.Deleted, "", ""
		}
		out = append(out, rec)
	}
	return out, nil
}

// FromCDR is the item of a stored call. path names the file of a recording.
func FromCDR(c cdr.CDR, recordings []recorder.Recording, path func(recorder.Recording) string) Item {
	it := Item{
		ID: c.ID, TenantUUID: Text(c.TenantUUID), Start: Moment{c.Start}, End: Moment{c.End}, Answer: Moment{c.Answer},
		CallDirection: Text(c.CallDirection), CallStatus: Text(c.CallStatus), ConversationID: Text(c.ConversationID),
		DestinationDetails: c.DestinationDetails, DestinationExtension: Text(c.DestinationExtension),
		DestinationInternalContext: Text(c.DestinationInternalContext), DestinationInternalExtension: Text(c.DestinationInternalExtension),
		DestinationLineID: Number(c.DestinationLineID), DestinationName: Text(c.DestinationName), DestinationUserUUID: Text(c.DestinationUserUUID),
		RequestedName: Text(c.RequestedName), RequestedContext: Text(c.RequestedContext), RequestedExtension: Text(c.RequestedExtension),
		RequestedInternalContext: Text(c.RequestedInternalContext), RequestedInternalExtension: Text(c.RequestedInternalExtension),
		RequestedUserUUID: Text(c.RequestedUserUUID), SourceExtension: Text(c.SourceExtension),
		SourceInternalContext: Text(c.SourceInternalContext), SourceInternalName: Text(c.SourceInternalName),
		SourceInternalExtension: Text(c.SourceInternalExtension), SourceLineID: Number(c.SourceLineID), SourceName: Text(c.SourceName),
		SourceUserUUID: Text(c.SourceUserUUID), Tags: []string{}, Recordings: []Recording{}, Participants: []Participant{},
	}
	for _, p := range c.Participants {
		it.Participants = append(it.Participants, Participant{p.UserUUID, Number(p.LineID), p.Role, p.Tags, p.Answered, p.Requested})
		for _, tag := range p.Tags {
			if !slices.Contains(it.Tags, tag) {
				it.Tags = append(it.Tags, tag)
			}
		}
	}
	for _, r := range recordings {
		out := Recording{
			UUID: r.UUID, TenantUUID: Text(r.TenantUUID), StartTime: Moment{cmp.Or(r.StartedAt, r.IntentAt)}, EndTime: Moment{r.EndedAt},
			Deleted: r.State == recorder.Deleted, State: Text(r.State), Follows: Text(r.Follows),
		}
		if r.State == recorder.Ready || r.State == recorder.Interrupted || r.State == recorder.Empty {
			out.Path = path(r)
		}
		it.Recordings = append(it.Recordings, out)
	}
	return it
}
