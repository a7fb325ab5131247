package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"callrecordd/internal/recorder"
	"callrecordd/internal/webhook"
)

// webhookDoc is what is kept as JSON of a subscription, encoded.
type webhookDoc struct{ config, events, metadata, acl string }

func docOf(s webhook.Subscription) (d webhookDoc, err error) {
	for _, x := range []struct {
		to   *string
		from any
	}{{&d.config, s.Config}, {&d.events, s.Events}, {&d.metadata, s.Metadata}, {&d.acl, s.ACL}} {
		js, err := json.Marshal(x.from)
		if err != nil {
			return d, fmt.Errorf("encode subscription %s: %w", s.UUID, err)
		}
		*x.to = string(js)
	}
	return d, nil
}

const webhookColumns = `w.uuid, w.tenant_uuid, w.owner_user_uuid, w.name, w.config, w.events, w.events_user_uuid, w.recurse,
	w.metadata, w.acl, w.auth_id, w.secret, w.since, w.created_at`

// webhookRow has the places of webhookColumns, and makes a subscription of them.
type webhookRow struct {
	s       webhook.Subscription
	doc     webhookDoc
	created int64
}

func (r *webhookRow) places() []any {
	return []any{
		&r.s.UUID, &r.s.TenantUUID, &r.s.OwnerUserUUID, &r.s.Name, &r.doc.config, &r.doc.events, &r.s.EventsUserUUID, &r.s.Recurse,
		&r.doc.metadata, &r.doc.acl, &r.s.AuthID, &r.s.Secret, &r.s.Since, &r.created,
	}
}

func (r *webhookRow) subscription() (webhook.Subscription, error) {
	r.s.CreatedAt = fromMicros(r.created)
	err := errors.Join(
		json.Unmarshal([]byte(r.doc.config), &r.s.Config), json.Unmarshal([]byte(r.doc.events), &r.s.Events),
		json.Unmarshal([]byte(r.doc.metadata), &r.s.Metadata), json.Unmarshal([]byte(r.doc.acl), &r.s.ACL),
	)
	if err != nil {
		return r.s, fmt.Errorf("subscription %s: %w", r.s.UUID, err)
	}
	return r.s, nil
}

func (t *Tx) webhookEvent(kind, uuid, actor string, data map[string]any) error {
	data["subscription"] = uuid
	return t.AppendEvents(recorder.Event{Kind: "webhook." + kind, Actor: actor, Data: data})
}

// InsertWebhook implements webhook.Repo.
func (s *Store) InsertWebhook(ctx context.Context, w webhook.Subscription, actor string) error {
	d, err := docOf(w)
	if err != nil {
		return err
	}
	err = s.Write(ctx, High, func(t *Tx) error {
		if err := t.exec(`INSERT INTO webhooks SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, coalesce(max(id), 0), ? FROM events`,
			w.UUID, w.TenantUUID, w.OwnerUserUUID, w.Name, d.config, d.events, w.EventsUserUUID, w.Recurse, d.metadata, d.acl,
			w.AuthID, w.Secret, micros(t.now)); err != nil {
			return err
		}
		return t.webhookEvent("created", w.UUID, actor, map[string]any{"tenant_uuid": w.TenantUUID, "url": w.Config.URL, "events": w.Events})
	})
	if err != nil {
		return fmt.Errorf("store subscription %s: %w", w.UUID, err)
	}
	return nil
}

// UpdateWebhook implements webhook.Repo.
func (s *Store) UpdateWebhook(ctx context.Context, w webhook.Subscription, actor string) error {
	d, err := docOf(w)
	if err != nil {
		return err
	}
	err = s.Write(ctx, High, func(t *Tx) error {
		if err := t.changed(`UPDATE webhooks SET name = ?, config = ?, events = ?, events_user_uuid = ?, recurse = ?, metadata = ?,
			acl = ?, auth_id = ? WHERE uuid = ?`, w.Name, d.config, d.events, w.EventsUserUUID, w.Recurse, d.metadata, d.acl,
			w.AuthID, w.UUID); err != nil {
			return noWebhook(err)
		}
		return t.webhookEvent("changed", w.UUID, actor, map[string]any{"url": w.Config.URL, "events": w.Events})
	})
	if err != nil {
		return fmt.Errorf("change subscription %s: %w", w.UUID, err)
	}
	return nil
}

// noWebhook gives "not found" the name that the domain has for it.
func noWebhook(err error) error {
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("%w: %w", webhook.ErrNotFound, err)
	}
	return err
}

// DeleteWebhook implements webhook.Repo. Its deliveries go with it: those that
// wait, of which there are not many, at once, what has ended before that.
func (s *Store) DeleteWebhook(ctx context.Context, uuid, actor string) error {
	for more := true; more; {
		var err error
		if more, err = s.deleteEnded(ctx, "webhook_uuid = ? AND state <> 'pending' ORDER BY id", uuid); err != nil {
			return fmt.Errorf("delete the deliveries of subscription %s: %w", uuid, err)
		}
	}
	err := s.Write(ctx, High, func(t *Tx) error {
		if err := t.changed("DELETE FROM webhooks WHERE uuid = ?", uuid); err != nil {
			return noWebhook(err)
		}
		return t.webhookEvent("deleted", uuid, actor, map[string]any{})
	})
	if err != nil {
		return fmt.Errorf("delete subscription %s: %w", uuid, err)
	}
	return nil
}

// Webhooks implements webhook.Repo.
func (s *Store) Webhooks(ctx context.Context, tenants []string) (out []webhook.Subscription, err error) {
	w := where{}
	w.addIf(tenants != nil, "w.tenant_uuid IN (SELECT value FROM json_each(?))", list(tenants))
	err = s.read(ctx, func(q querier) (err error) {
		out, err = collect(ctx, q, func(r *sql.Rows) (webhook.Subscription, error) {
			var row webhookRow
			if err := r.Scan(row.places()...); err != nil {
				return row.s, err
			}
			return row.subscription()
		}, "SELECT "+webhookColumns+" FROM webhooks w"+w.String()+" ORDER BY w.created_at, w.uuid", w.args...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read subscriptions: %w", err)
	}
	return out, nil
}

// Cursor implements webhook.Repo.
func (s *Store) Cursor(ctx context.Context) (at int64, err error) {
	err = s.read(ctx, func(q querier) error {
		return q.QueryRowContext(ctx, "SELECT position FROM webhook_cursor").Scan(&at)
	})
	if err != nil {
		return 0, fmt.Errorf("read the cursor of webhooks: %w", err)
	}
	return at, nil
}
