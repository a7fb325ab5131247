package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/mattn/go-sqlite3"

	"callrecordd/dialplan"
	"callrecordd/internal/directory"
	"callrecordd/internal/recorder"
)

// LoadDirectory implements directory.Repo.
func (s *Store) LoadDirectory(ctx context.Context) (c directory.Contents, err error) {
	err = s.read(ctx, func(q querier) (err error) {
		if c.Tenants, err = loadTenants(ctx, q); err != nil {
			return err
		}
		if c.Users, err = loadUsers(ctx, q); err != nil {
			return err
		}
		if c.Groups, err = loadGroups(ctx, q); err != nil {
			return err
		}
		if c.Queues, err = loadQueues(ctx, q); err != nil {
			return err
		}
		if c.Trunks, err = loadTrunks(ctx, q); err != nil {
			return err
		}
		if c.Devices, err = loadDevices(ctx, q); err != nil {
			return err
		}
		c.Features, err = loadFeatures(ctx, q)
		return err
	})
	if err != nil {
		return c, fmt.Errorf("read directory: %w", err)
	}
	return c, nil
}

// SaveDirectory implements directory.Repo.
func (s *Store) SaveDirectory(ctx context.Context, cs *directory.Changeset) error {
	err := s.Write(ctx, High, func(t *Tx) error { return t.saveDirectory(cs) })
	var se sqlite3.Error
	if errors.As(err, &se) && se.Code == sqlite3.ErrConstraint {
		return fmt.Errorf("something of it is taken or still in use (%w): %w", err, directory.ErrConflict)
	}
	if err != nil {
		return fmt.Errorf("save directory: %w", err)
	}
	return nil
}

func (t *Tx) saveDirectory(cs *directory.Changeset) error {
	for _, r := range cs.Delete {
		if err := t.deleteEntry(r, cs.At); err != nil {
			return fmt.Errorf("delete %s %s: %w", r.Kind, r.Key, err)
		}
	}
	// Lines first go, then come: an endpoint may move from one user to another.
	for i := range cs.Save.Users {
		if err := t.exec("DELETE FROM lines WHERE user_uuid = ?", cs.Save.Users[i].UUID); err != nil {
			return err
		}
	}
	if err := t.saveEntries(cs.Save, cs.At); err != nil {
		return err
	}
	for _, c := range cs.Changes {
		if err := t.AppendEvents(recorder.Event{At: cs.At, Kind: c.Kind, Actor: cs.Actor, Data: c}); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tx) saveEntries(c directory.Contents, at time.Time) error {
	for i := range c.Tenants {
		if err := t.saveTenant(c.Tenants[i], at); err != nil {
			return err
		}
	}
	for i := range c.Users {
		if err := t.saveUser(&c.Users[i], at); err != nil {
			return err
		}
	}
	for i := range c.Groups {
		if err := t.saveGroup(&c.Groups[i], at); err != nil {
			return err
		}
	}
	for i := range c.Queues {
		if err := t.saveQueue(&c.Queues[i], at); err != nil {
			return err
		}
	}
	for i := range c.Trunks {
		if err := t.saveTrunk(&c.Trunks[i], at); err != nil {
			return err
		}
	}
	for _, d := range c.Devices {
		if err := t.saveDevice(d, at); err != nil {
			return err
		}
	}
	for i := range c.Features {
		if err := t.saveFeature(&c.Features[i], at); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tx) deleteEntry(r directory.Ref, at time.Time) error {
	tables := map[directory.Kind]string{
		directory.KindTenant: "tenants WHERE uuid", directory.KindUser: "users WHERE uuid",
		directory.KindGroup: "groups WHERE uuid", directory.KindQueue: "queues WHERE uuid",
		directory.KindTrunk: "trunks WHERE uuid", directory.KindDevice: "devices WHERE endpoint",
	}
	table, ok := tables[r.Kind]
	if !ok {
		return fmt.Errorf("unknown kind %q", r.Kind)
	}
	if r.Kind == directory.KindTenant {
		if err := t.tenantUnused(r.Key); err != nil {
			return err
		}
	}
	if r.Kind == directory.KindUser { // its tokens die with it
		if _, err := t.deleteTokensOf(r.Key); err != nil {
			return err
		}
	}
	err := t.changed("DELETE FROM "+table+" = ?", r.Key)
	if errors.Is(err, ErrNotFound) {
		return directory.ErrNotFound
	}
	if err != nil {
		return err
	}
	return t.closeHistory(r.Kind, r.Key, at)
}

// remember notes what an entry says from at on. A clock that went back must
// not make an interval that ends before it begins.
func (t *Tx) remember(kind directory.Kind, key string, entry any, at time.Time) error {
	doc, err := json.Marshal(entry)
	if err != nil {
		return fmt.Errorf("encode %s %s: %w", kind, key, err)
	}
	if err := t.closeHistory(kind, key, at); err != nil {
		return err
	}
	return t.exec(`INSERT INTO directory_history (kind, key, valid_from, valid_to, doc)
		VALUES (?1, ?2, max(?3, (SELECT coalesce(max(valid_to), 0) FROM directory_history WHERE kind = ?1 AND key = ?2)), NULL, ?4)`,
		string(kind), key, micros(at), string(doc))
}

func (t *Tx) closeHistory(kind directory.Kind, key string, at time.Time) error {
	return t.exec(`UPDATE directory_history SET valid_to = max(valid_from, ?) WHERE kind = ? AND key = ? AND valid_to IS NULL`,
		micros(at), string(kind), key)
}

// historyAt is the condition for what was in force at a time.
const historyAt = " valid_from <= ?1 AND (valid_to IS NULL OR valid_to > ?1)"

// FlagsAt returns the flags of a user that were in force at a time. The error
// wraps ErrNotFound if there was no such user then.
func (s *Store) FlagsAt(ctx context.Context, userUUID string, at time.Time) (dialplan.Flags, error) {
	var doc string
	err := s.read(ctx, func(q querier) error {
		return q.QueryRowContext(ctx, "SELECT doc FROM directory_history WHERE kind = 'user' AND key = ?2 AND"+historyAt,
			micros(at), userUUID).Scan(&doc)
	})
	var u directory.User
	switch {
	case errors.Is(err, sql.ErrNoRows):
		err = ErrNotFound
	case err == nil:
		err = json.Unmarshal([]byte(doc), &u)
	}
	if err != nil {
		return u.Flags, fmt.Errorf("flags of user %s at %s: %w", userUUID, at.UTC().Format(time.RFC3339), err)
	}
	return u.Flags, nil
}

// DirectoryChangedSince says whether the directory of that time is no longer
// that of today.
func (s *Store) DirectoryChangedSince(ctx context.Context, at time.Time) (changed bool, err error) {
	err = s.read(ctx, func(q querier) error {
		return q.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM directory_history WHERE valid_from > ?1 OR valid_to > ?1)", micros(at)).Scan(&changed)
	})
	if err != nil {
		return false, fmt.Errorf("look for changes of the directory since %s: %w", at.UTC().Format(time.RFC3339), err)
	}
	return changed, nil
}

// DirectorySpan returns the time during which the directory was what it was at a
// given one: from its last change before that, the zero time if there was none,
// up to the next one, which there must be.
func (s *Store) DirectorySpan(ctx context.Context, at time.Time) (from, to time.Time, err error) {
	var first, last sql.NullInt64
	err = s.read(ctx, func(q querier) error {
		return q.QueryRowContext(ctx, `SELECT
			(SELECT max(t) FROM (SELECT max(valid_from) AS t FROM directory_history WHERE valid_from <= ?1
				UNION ALL SELECT max(valid_to) FROM directory_history WHERE valid_to <= ?1)),
			(SELECT min(t) FROM (SELECT min(valid_from) AS t FROM directory_history WHERE valid_from > ?1
				UNION ALL SELECT min(valid_to) FROM directory_history WHERE valid_to > ?1))`, micros(at)).Scan(&first, &last)
	})
	if err == nil && !last.Valid {
		err = ErrNotFound
	}
	if err != nil {
		return from, to, fmt.Errorf("look for the changes of the directory around %s: %w", at.UTC().Format(time.RFC3339), err)
	}
	return fromMicros(first.Int64), fromMicros(last.Int64), nil
}

// BookAt returns the whole directory as it was at a time, for audit and replay.
func (s *Store) BookAt(ctx context.Context, at time.Time) (*directory.Book, error) {
	type row struct{ kind, doc string }
	var rows []row
	err := s.read(ctx, func(q querier) (err error) {
		rows, err = collect(ctx, q, func(r *sql.Rows) (v row, err error) {
			err = r.Scan(&v.kind, &v.doc)
			return v, err
		}, "SELECT kind, doc FROM directory_history WHERE"+historyAt+" ORDER BY id", micros(at))
		return err
	})
	var c directory.Contents
	for i := 0; i < len(rows) && err == nil; i++ {
		doc := []byte(rows[i].doc)
		switch directory.Kind(rows[i].kind) {
		case directory.KindTenant:
			err = decodeTo(&c.Tenants, doc)
		case directory.KindUser:
			err = decodeTo(&c.Users, doc)
		case directory.KindGroup:
			err = decodeTo(&c.Groups, doc)
		case directory.KindQueue:
			err = decodeTo(&c.Queues, doc)
		case directory.KindTrunk:
			err = decodeTo(&c.Trunks, doc)
		case directory.KindDevice:
			err = decodeTo(&c.Devices, doc)
		case directory.KindFeature:
			err = decodeTo(&c.Features, doc)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("directory at %s: %w", at.UTC().Format(time.RFC3339), err)
	}
	return directory.NewBook(c), nil
}

func decodeTo[T any](list *[]T, doc []byte) error {
	var v T
	err := json.Unmarshal(doc, &v)
	*list = append(*list, v)
	return err
}
