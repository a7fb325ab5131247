package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"callrecordd/internal/directory"
)

func loadUsers(ctx context.Context, q querier) ([]directory.User, error) {
	lines, err := loadLines(ctx, q)
	if err != nil {
		return nil, err
	}
	return collect(ctx, q, func(r *sql.Rows) (u directory.User, err error) {
		err = r.Scan(&u.ID, &u.UUID, &u.TenantUUID, &u.FirstName, &u.LastName, &u.UserField, &u.Flags.OutgoingInternal,
			&u.Flags.OutgoingExternal, &u.Flags.IncomingInternal, &u.Flags.IncomingExternal, &u.Flags.OnDemand, &u.MustRecord)
		u.Lines = lines[u.UUID]
		return u, err
	}, `SELECT id, uuid, tenant_uuid, first_name, last_name, user_field, outgoing_internal, outgoing_external,
		incoming_internal, incoming_external, on_demand, must_record FROM users ORDER BY id`)
}

// saveUser saves a user with its lines, which must have been deleted before.
func (t *Tx) saveUser(u *directory.User, at time.Time) error {
	f := u.Flags
	id, err := t.upsert(`users (id, uuid, tenant_uuid, first_name, last_name, user_field, outgoing_internal,
		outgoing_external, incoming_internal, incoming_external, on_demand, must_record) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (uuid) DO UPDATE SET tenant_uuid = excluded.tenant_uuid, first_name = excluded.first_name,
		last_name = excluded.last_name, user_field = excluded.user_field, outgoing_internal = excluded.outgoing_internal,
		outgoing_external = excluded.outgoing_external, incoming_internal = excluded.incoming_internal,
		incoming_external = excluded.incoming_external, on_demand = excluded.on_demand,
		must_record = excluded.must_record`,
		nullID(u.ID), u.UUID, u.TenantUUID, u.FirstName, u.LastName, u.UserField, f.OutgoingInternal,
		f.OutgoingExternal, f.IncomingInternal, f.IncomingExternal, f.OnDemand, u.MustRecord)
	if err != nil {
		return err
	}
	u.ID = id
	if err := t.saveLines(u); err != nil {
		return err
	}
	return t.remember(directory.KindUser, u.UUID, u, at)
}

// upsert inserts or updates an entry and returns its id.
func (t *Tx) upsert(statement string, args ...any) (id int64, err error) {
	st, err := t.prepared("INSERT INTO " + statement + " RETURNING id")
	if err != nil {
		return 0, err
	}
	err = st.QueryRowContext(t.ctx, args...).Scan(&id)
	return id, err
}

// nullID lets SQLite choose the id of a new entry.
func nullID(id int64) any {
	if id == 0 {
		return nil
	}
	return id
}

// UserTenants returns the tenants of whom a uuid is or was: what the directory
// has ever said or, if it never knew the uuid, those of the calls it took part
// in. A call between tenants is that of one of them only.
func (s *Store) UserTenants(ctx context.Context, uuid string) (tenants []string, err error) {
	err = s.read(ctx, func(q querier) (err error) {
		tenants, err = collect(ctx, q, one[string],
			"SELECT DISTINCT json_extract(doc, '$.tenant_uuid') FROM directory_history WHERE kind = 'user' AND key = ?", uuid)
		if err != nil || len(tenants) > 0 {
			return err
		}
		tenants, err = collect(ctx, q, one[string], `SELECT tenant_uuid FROM cdrs WHERE source_user_uuid = ?1 AND source_user_uuid <> ''
			UNION SELECT tenant_uuid FROM cdrs WHERE destination_user_uuid = ?1 AND destination_user_uuid <> ''
			UNION SELECT c.tenant_uuid FROM cdr_participants p JOIN cdrs c ON c.id = p.cdr_id WHERE p.user_uuid = ?1`, uuid)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the tenants of user %s: %w", uuid, err)
	}
	return tenants, nil
}
