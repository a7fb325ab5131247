package store

import (
	"context"
	"database/sql"
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
