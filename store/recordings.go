package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/recorder"
)

// claim is the stored form of recorder.Claim.
type claim struct {
	Leg    string          `json:"leg"`
	User   string          `json:"user_uuid,omitempty"`
	Reason dialplan.Reason `json:"reason"`
	At     int64           `json:"at"`
}

// InsertIntent stores a recording that is about to be started. It goes first
// and is not fsynced (design 8, audio before paper).
func (s *Store) InsertIntent(ctx context.Context, r recorder.Recording) error {
	return s.Write(ctx, Intent, func(t *Tx) error { return t.InsertRecording(r) })
}

// UpdateRecording stores all fields of a recording but Pauses, for which there
// is SavePause, and CDRID, which the store sets itself. It is fsynced once the
// file's life is over. That a recorder is to hear nothing any more goes first: a
// daemon that dies before it is stored would be followed by one that lets it
// hear. One that was deleted meanwhile stays as it is. The error wraps ErrNotFound if
// there is no such recording.
func (s *Store) UpdateRecording(ctx context.Context, r recorder.Recording) error {
	p := Soon
	switch r.State {
	case recorder.Starting, recorder.Live:
		p = SoonUnsynced
	case recorder.Paused, recorder.Closing:
		p = Intent
	default: // its file is closed
	}
	return s.Write(ctx, p, func(t *Tx) error {
		if gone, err := t.deleted(r); err != nil || gone {
			return err
		}
		return t.UpdateRecording(r)
	})
}

// deleted says whether a recording was deleted meanwhile, by somebody who knew
// nothing of what is looked at: a file that is repaired later than its start.
// What is deleted remains so.
func (t *Tx) deleted(r recorder.Recording) (bool, error) {
	if r.State == recorder.Deleted {
		return false, nil
	}
	before, err := t.settled(r.UUID)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil // told by the update
	}
	return before.State == recorder.Deleted, err
}

// InsertRecording is InsertIntent within a transaction.
func (t *Tx) InsertRecording(r recorder.Recording) error {
	id, err := t.callOf(r)
	if err == nil {
		err = t.insertRecording(r, id)
	}
	if err != nil {
		return fmt.Errorf("store recording %s: %w", r.UUID, err)
	}
	return nil
}

// InsertGenerated is InsertRecording without entries of the ledger, for those who
// fill databases with made-up calls.
func (t *Tx) InsertGenerated(r recorder.Recording) error {
	if err := t.insertRow(r, 0); err != nil {
		return fmt.Errorf("store recording %s: %w", r.UUID, err)
	}
	return nil
}

// insertRecording stores a recording of that CDR, 0 if there is none yet.
func (t *Tx) insertRecording(r recorder.Recording, cdrID int64) error {
	if err := t.insertRow(r, cdrID); err != nil {
		return err
	}
	event := intend(r)
	if !r.State.Open() {
		event = Settle(r)
		event.Kind = EventImported
	}
	if err := t.AppendEvents(event); err != nil {
		return err
	}
	if cdrID == 0 {
		return nil
	}
	return t.noteAttached(cdrID, r.UUID)
}

// intend is the event of a recording that has a row from now on and no end yet.
func intend(r recorder.Recording) recorder.Event {
	return recorder.Event{
		At: r.IntentAt, Kind: recorder.EventIntent, Recording: r.UUID, Call: r.Call(),
		Data: recorder.Note{State: r.State, Hook: r.Hook, Follows: r.Follows, Stored: true},
	}
}

func (t *Tx) insertRow(r recorder.Recording, cdrID int64) error {
	args, err := recordingArgs(r)
	if err != nil {
		return err
	}
	if err := t.exec(`INSERT INTO recordings (tenant_uuid, boot, hook, hook_name, mixmonitor_id, follows, state, cause,
		detail, claims, intent_at, started_at, ended_at, silent, bytes, samples, rate, sha256, uuid, cdr_id)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, nullif(?, 0))`, append(args, cdrID)...); err != nil {
		return err
	}
	return t.insertLegs(r)
}

// UpdateRecording is Store.UpdateRecording within a transaction.
func (t *Tx) UpdateRecording(r recorder.Recording) error {
	args, err := recordingArgs(r)
	if err == nil {
		err = t.settle(r)
	}
	if err == nil {
		err = t.changed(`UPDATE recordings SET hook_name = ?4, mixmonitor_id = ?5,
			follows = ?6, state = ?7, cause = ?8, detail = ?9, claims = ?10, started_at = ?12, ended_at = ?13,
			silent = ?14, bytes = ?15, samples = ?16, rate = ?17, sha256 = ?18 WHERE uuid = ?19`, args...)
	}
	if err == nil {
		// Indexed and hardly ever changed: to set them anew would cost more
		// than all the others.
		err = t.exec(`UPDATE recordings SET tenant_uuid = ?1, boot = ?2, hook = ?3, intent_at = ?4
			WHERE uuid = ?5 AND (tenant_uuid, boot, hook, intent_at) <> (?1, ?2, ?3, ?4)`,
			r.TenantUUID, micros(r.Boot), r.Hook, micros(r.IntentAt), r.UUID)
	}
	if err == nil {
		err = t.saveLegs(r)
	}
	if err != nil {
		return fmt.Errorf("update recording %s: %w", r.UUID, err)
	}
	return nil
}

// settle notes that a recording becomes final, or final in another way, and
// what its file is then.
func (t *Tx) settle(r recorder.Recording) error {
	switch r.State {
	case recorder.Ready, recorder.Empty, recorder.Interrupted, recorder.Missing:
	default:
		return nil
	}
	before, err := t.settled(r.UUID)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	event := Settle(r)
	now, ok := event.Data.(Settled)
	if !ok {
		return nil
	}
	before.Cause, before.Proves, before.Row = now.Cause, now.Proves, now.Row
	if before == now { // all but what only the row's digest tells
		if before.Row, err = t.rowDigest(r.UUID); err != nil || before == now {
			return err
		}
	}
	if before.State == now.State {
		event.Kind = EventRestated
	}
	return t.AppendEvents(event)
}

// settled is what the row says, without the cause; sql.ErrNoRows if there is none.
func (t *Tx) settled(uuid string) (s Settled, err error) {
	st, err := t.prepared("SELECT state, sha256, bytes, samples, rate, tenant_uuid FROM recordings WHERE uuid = ?")
	if err == nil {
		err = st.QueryRowContext(t.ctx, uuid).Scan(&s.State, &s.SHA256, &s.Bytes, &s.Samples, &s.Rate, &s.Tenant)
	}
	return s, err
}

func claimsText(r recorder.Recording) (string, error) {
	claims := make([]claim, 0, len(r.Claims))
	for _, c := range r.Claims {
		claims = append(claims, claim{c.Leg, c.UserUUID, c.Reason, micros(c.At)})
	}
	js, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encode claims: %w", err)
	}
	return string(js), nil
}

func recordingArgs(r recorder.Recording) ([]any, error) {
	claims, err := claimsText(r)
	if err != nil {
		return nil, err
	}
	return []any{
		r.TenantUUID, micros(r.Boot), r.Hook, r.HookName, r.MixMonitorID, r.Follows, string(r.State), r.Cause, r.Detail,
		claims, micros(r.IntentAt), nullMicros(r.StartedAt), nullMicros(r.EndedAt), r.Silent, r.Bytes, r.Samples,
		r.Rate, r.SHA256, r.UUID,
	}, nil
}

// sameBoot holds if boot_s is ?1 or one of them is not known: uniqueids contain
// the time, so those of two boots are hardly ever the same anyway.
const sameBoot = "(boot_s = ?1 OR boot_s = 0 OR ?1 = 0)"

// saveLegs stores the uniqueids of the talk, and attaches the recording if the
// CDR of its call is there already.
func (t *Tx) saveLegs(r recorder.Recording) error {
	same, err := t.sameLegs(r)
	if err != nil {
		return err
	}
	if !same {
		if err := t.exec("DELETE FROM recording_legs WHERE recording_uuid = ?", r.UUID); err != nil {
			return err
		}
		if err := t.insertLegs(r); err != nil {
			return err
		}
	}
	id, err := t.callOf(r)
	if err != nil || id == 0 {
		return err
	}
	n, err := t.count("UPDATE recordings SET cdr_id = ? WHERE uuid = ? AND cdr_id IS NULL", id, r.UUID)
	if err != nil || n == 0 {
		return err
	}
	return t.noteAttached(id, r.UUID)
}

func (t *Tx) insertLegs(r recorder.Recording) error {
	for i, leg := range r.Legs {
		if err := t.exec("INSERT INTO recording_legs VALUES (?, ?, ?, ?)", r.UUID, i, bootKey(r.Boot), leg); err != nil {
			return err
		}
	}
	return nil
}

// callOf returns the oldest CDR that has one of the recording's legs, 0 if there
// is none. One look for each: a list of them would cost SQLite a table.
func (t *Tx) callOf(r recorder.Recording) (int64, error) {
	var oldest int64
	for _, leg := range append([]string{r.Hook}, r.Legs...) {
		var id sql.NullInt64
		if err := t.scan(&id, "SELECT min(cdr_id) FROM cdr_uniqueids WHERE uniqueid = ?2 AND "+sameBoot, bootKey(r.Boot), leg); err != nil {
			return 0, fmt.Errorf("look for the cdr of leg %s: %w", leg, err)
		}
		if id.Valid && (oldest == 0 || id.Int64 < oldest) {
			oldest = id.Int64
		}
	}
	return oldest, nil
}

// sameLegs says whether the legs are stored already: most saves change others
// of the fields.
func (t *Tx) sameLegs(r recorder.Recording) (bool, error) {
	st, err := t.prepared(`SELECT count(*) = ?2 AND coalesce(min(boot_s = ?3), true)
		AND json_group_array(leg ORDER BY pos) = ?4 FROM recording_legs WHERE recording_uuid = ?1`)
	if err != nil {
		return false, err
	}
	var same bool
	err = st.QueryRowContext(t.ctx, r.UUID, len(r.Legs), bootKey(r.Boot), list(r.Legs)).Scan(&same)
	return same, err
}

const recordingSelect = `SELECT uuid, tenant_uuid, boot, hook, hook_name, mixmonitor_id, follows, state, cause, detail,
	claims, intent_at, started_at, ended_at, silent, bytes, samples, rate, sha256, cdr_id,
	(SELECT json_group_array(leg ORDER BY pos) FROM recording_legs WHERE recording_uuid = uuid),
	` + pausesOf + ` FROM recordings`

func scanRecording(rows *sql.Rows) (recorder.Recording, error) {
	var r recorder.Recording
	var boot, intent int64
	var started, ended, cdrID sql.NullInt64
	var claims, legs, pauses string
	if err := rows.Scan(&r.UUID, &r.TenantUUID, &boot, &r.Hook, &r.HookName, &r.MixMonitorID, &r.Follows, &r.State,
		&r.Cause, &r.Detail, &claims, &intent, &started, &ended, &r.Silent, &r.Bytes, &r.Samples, &r.Rate, &r.SHA256,
		&cdrID, &legs, &pauses); err != nil {
		return r, err
	}
	r.Boot, r.IntentAt = fromMicros(boot), fromMicros(intent)
	r.StartedAt, r.EndedAt, r.CDRID = fromMicros(started.Int64), fromMicros(ended.Int64), cdrID.Int64
	var cs []claim
	if err := json.Unmarshal([]byte(claims), &cs); err != nil {
		return r, fmt.Errorf("claims of recording %s: %w", r.UUID, err)
	}
	for _, c := range cs {
		r.Claims = append(r.Claims, recorder.Claim{Leg: c.Leg, UserUUID: c.User, Reason: c.Reason, At: fromMicros(c.At)})
	}
	if err := json.Unmarshal([]byte(legs), &r.Legs); err != nil {
		return r, fmt.Errorf("legs of recording %s: %w", r.UUID, err)
	}
	if len(r.Legs) == 0 {
		r.Legs = nil
	}
	var err error
	if r.Pauses, err = decodePauses(r.UUID, pauses); err != nil {
		return r, fmt.Errorf("pauses of recording %s: %w", r.UUID, err)
	}
	return r, nil
}

// Recording returns the recording with the uuid. The error wraps ErrNotFound
// if there is none.
func (s *Store) Recording(ctx context.Context, uuid string) (recorder.Recording, error) {
	rs, err := s.recordings(ctx, " WHERE uuid = ?", uuid)
	if err == nil && len(rs) == 0 {
		err = fmt.Errorf("recording %s: %w", uuid, ErrNotFound)
	}
	if err != nil {
		return recorder.Recording{}, err
	}
	return rs[0], nil
}

// OpenRecordings returns the recordings whose file may still be written to,
// oldest first: what a start-up has to reconcile.
func (s *Store) OpenRecordings(ctx context.Context) ([]recorder.Recording, error) {
	return s.recordings(ctx, " WHERE state IN ('starting', 'recording', 'paused', 'closing') ORDER BY intent_at, uuid")
}

// UnclosedRecordings returns the recordings whose file nobody has closed and whose
// header could not be repaired, oldest first.
func (s *Store) UnclosedRecordings(ctx context.Context) ([]recorder.Recording, error) {
	return s.recordings(ctx, " WHERE state = 'interrupted' AND cause = 'header_unset' ORDER BY intent_at, uuid")
}

// RecordingsOf returns the recordings whose talk had one of these uniqueids in
// that boot of Asterisk, oldest first. A boot that is not known matches any.
func (s *Store) RecordingsOf(ctx context.Context, boot time.Time, legs []string) ([]recorder.Recording, error) {
	return s.recordings(ctx, ` WHERE uuid IN (
		SELECT uuid FROM recordings WHERE hook IN (SELECT value FROM json_each(?2)) AND `+sameBoot+`
		UNION SELECT recording_uuid FROM recording_legs WHERE leg IN (SELECT value FROM json_each(?2)) AND `+sameBoot+`)
		ORDER BY intent_at, uuid`, bootKey(boot), list(legs))
}

// EventUnattached says that a recording has no CDR and that somebody was told.
const EventUnattached = "recording_unattached"

// Unattached returns the recordings without a CDR that ended before the given
// time, oldest first: after 10 minutes that is worth an alarm (design 8). It
// leaves out those about which an EventUnattached is stored, and those that
// never had audio because the call was over too soon.
func (s *Store) Unattached(ctx context.Context, before time.Time) ([]recorder.Recording, error) {
	return s.recordings(ctx, ` WHERE cdr_id IS NULL AND ended_at < ? AND NOT (state = ? AND cause = ?)
		AND NOT EXISTS (SELECT 1 FROM events WHERE recording = recordings.uuid AND kind = ?)
		ORDER BY ended_at, uuid`, micros(before), string(recorder.Missing), recorder.CauseHungUp, EventUnattached)
}

func (s *Store) recordings(ctx context.Context, rest string, args ...any) (out []recorder.Recording, err error) {
	err = s.read(ctx, func(q querier) error {
		out, err = collect(ctx, q, scanRecording, recordingSelect+rest, args...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read recordings: %w", err)
	}
	return out, nil
}

// SaveParties upserts parties of a recording by leg and From: what is sent are
// those that have come, gone or changed, the others stay.
func (t *Tx) SaveParties(recording string, parties []recorder.Party) error {
	for _, p := range parties {
		if err := t.saveParty(recording, p); err != nil {
			return fmt.Errorf("store party %s of recording %s: %w", p.Leg, recording, err)
		}
	}
	return nil
}

func (t *Tx) saveParty(recording string, p recorder.Party) error {
	err := t.changed(`UPDATE recording_parties SET user_uuid = ?, endpoint = ?, to_at = ?
		WHERE recording_uuid = ? AND leg = ? AND from_at = ?`,
		p.UserUUID, p.Endpoint, nullMicros(p.To), recording, p.Leg, micros(p.From))
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	return t.exec(`INSERT INTO recording_parties
		SELECT ?1, coalesce(max(pos) + 1, 0), ?2, ?3, ?4, ?5, ?6 FROM recording_parties WHERE recording_uuid = ?1`,
		recording, p.Leg, p.UserUUID, p.Endpoint, micros(p.From), nullMicros(p.To))
}

// SaveParties is Tx.SaveParties in a transaction of its own, without fsync.
func (s *Store) SaveParties(ctx context.Context, recording string, parties []recorder.Party) error {
	return s.Write(ctx, SoonUnsynced, func(t *Tx) error { return t.SaveParties(recording, parties) })
}

// Parties returns who was in the talk, in the order of SaveParties.
func (s *Store) Parties(ctx context.Context, recording string) (out []recorder.Party, err error) {
	err = s.read(ctx, func(q querier) error {
		out, err = collect(ctx, q, func(r *sql.Rows) (p recorder.Party, err error) {
			var from int64
			var to sql.NullInt64
			err = r.Scan(&p.Leg, &p.UserUUID, &p.Endpoint, &from, &to)
			p.From, p.To = fromMicros(from), fromMicros(to.Int64)
			return p, err
		}, `SELECT leg, user_uuid, endpoint, from_at, to_at FROM recording_parties
			WHERE recording_uuid = ? ORDER BY pos`, recording)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read parties of recording %s: %w", recording, err)
	}
	return out, nil
}
