package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"callrecordd/internal/webhook"
)

const deliveryColumns = `d.id, d.uuid, d.webhook_uuid, d.event, d.payload, d.state, d.attempts, d.next_at, d.created_at,
	coalesce(d.started_at, 0), coalesce(d.ended_at, 0), d.status, d.detail`

type deliveryRow struct {
	d                             webhook.Delivery
	next, created, started, ended int64
}

func (r *deliveryRow) places() []any {
	return []any{
		&r.d.ID, &r.d.UUID, &r.d.Subscription, &r.d.Event, &r.d.Payload, &r.d.State, &r.d.Attempts, &r.next, &r.created,
		&r.started, &r.ended, &r.d.Status, &r.d.Detail,
	}
}

func (r *deliveryRow) delivery() webhook.Delivery {
	r.d.NextAt, r.d.CreatedAt = fromMicros(r.next), fromMicros(r.created)
	r.d.StartedAt, r.d.EndedAt = fromMicros(r.started), fromMicros(r.ended)
	return r.d
}

// tooMany is why a delivery was given up before it was tried.
const tooMany = "too many were waiting"

// Plan implements webhook.Repo.
func (s *Store) Plan(ctx context.Context, cursor int64, planned []webhook.Delivery, most int) error {
	err := s.Write(ctx, Soon, func(t *Tx) error {
		room := map[string]int{} // by subscription
		for _, d := range planned {
			left, known := room[d.Subscription]
			if !known {
				var waiting int
				if err := t.scan(&waiting, "SELECT count(*) FROM webhook_deliveries WHERE webhook_uuid = ? AND state = 'pending'", d.Subscription); err != nil {
					return err
				}
				left = most - waiting
			}
			room[d.Subscription] = left - 1
			// The subscription may have gone meanwhile.
			if err := t.exec(`INSERT INTO webhook_deliveries
				(uuid, webhook_uuid, event, payload, state, attempts, next_at, created_at, ended_at, status, detail)
				SELECT ?1, uuid, ?3, ?4, iif(?7, 'dead', 'pending'), 0, ?5, ?6, iif(?7, ?6, NULL), 0, iif(?7, ?8, '') FROM webhooks WHERE uuid = ?2`,
				d.UUID, d.Subscription, d.Event, string(d.Payload), micros(d.NextAt), micros(d.CreatedAt), left <= 0, tooMany); err != nil {
				return err
			}
		}
		return t.exec("UPDATE webhook_cursor SET position = max(position, ?)", cursor)
	})
	if err != nil {
		return fmt.Errorf("store %d deliveries of webhooks: %w", len(planned), err)
	}
	return nil
}

// Heads implements webhook.Repo.
func (s *Store) Heads(ctx context.Context, busy []string, limit int) (out []webhook.Head, err error) {
	err = s.read(ctx, func(q querier) (err error) {
		out, err = collect(ctx, q, func(r *sql.Rows) (webhook.Head, error) {
			var w webhookRow
			var d deliveryRow
			if err := r.Scan(append(w.places(), d.places()...)...); err != nil {
				return webhook.Head{}, err
			}
			sub, err := w.subscription()
			return webhook.Head{Subscription: sub, Delivery: d.delivery()}, err
		}, "SELECT "+webhookColumns+", "+deliveryColumns+` FROM webhooks w JOIN webhook_deliveries d ON d.id =
			(SELECT id FROM webhook_deliveries WHERE webhook_uuid = w.uuid AND state = 'pending' ORDER BY id LIMIT 1)
			WHERE w.uuid NOT IN (SELECT value FROM json_each(?)) ORDER BY d.next_at, d.id LIMIT ?`, list(busy), limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the next deliveries of webhooks: %w", err)
	}
	return out, nil
}

// Finish implements webhook.Repo. A subscription that has gone meanwhile is no
// error.
func (s *Store) Finish(ctx context.Context, d webhook.Delivery) error {
	err := s.Write(ctx, Soon, func(t *Tx) error {
		return t.exec(`UPDATE webhook_deliveries SET state = ?, attempts = ?, next_at = ?, started_at = ?, ended_at = ?, status = ?,
			detail = ? WHERE id = ?`, string(d.State), d.Attempts, micros(d.NextAt), nullMicros(d.StartedAt), nullMicros(d.EndedAt),
			d.Status, d.Detail, d.ID)
	})
	if err != nil {
		return fmt.Errorf("store delivery %s: %w", d.UUID, err)
	}
	return nil
}

// Deliveries implements webhook.Repo.
func (s *Store) Deliveries(ctx context.Context, f webhook.DeliveryFilter) (out []webhook.Delivery, total int, err error) {
	w := where{}
	w.addIf(f.Subscription != "", "d.webhook_uuid = ?", f.Subscription)
	w.addIf(f.State != "", "d.state = ?", string(f.State))
	order, limit := "DESC", f.Limit
	if f.Ascending {
		order = "ASC"
	}
	if limit <= 0 {
		limit = -1
	}
	err = s.read(ctx, func(q querier) (err error) {
		if err := q.QueryRowContext(ctx, "SELECT count(*) FROM webhook_deliveries d"+w.String(), w.args...).Scan(&total); err != nil {
			return err
		}
		out, err = collect(ctx, q, func(r *sql.Rows) (webhook.Delivery, error) {
			var d deliveryRow
			err := r.Scan(d.places()...)
			return d.delivery(), err
		}, "SELECT "+deliveryColumns+" FROM webhook_deliveries d"+w.String()+" ORDER BY d.id "+order+" LIMIT ? OFFSET ?",
			append(w.args, limit, f.Offset)...)
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read deliveries of webhooks: %w", err)
	}
	return out, total, nil
}

// fewDeliveries is how many are changed in one transaction: a subscription may
// have some hundred thousand, and writes of calls wait meanwhile.
const fewDeliveries = 200

// Replay implements webhook.Repo.
func (s *Store) Replay(ctx context.Context, subscription, delivery, actor string) (n int, err error) {
	w := where{}
	w.add("webhook_uuid = ?", subscription)
	w.addIf(delivery != "", "uuid = ?", delivery)
	w.addIf(delivery == "", "state = ?", string(webhook.Dead))
	var ids []int64
	err = s.read(ctx, func(q querier) (err error) {
		ids, err = collect(ctx, q, one[int64], "SELECT id FROM webhook_deliveries"+w.String()+" AND state <> 'pending' ORDER BY id", w.args...)
		return err
	})
	for few := range slices.Chunk(ids, fewDeliveries) {
		if err != nil {
			break
		}
		err = s.Write(ctx, Bulk, func(t *Tx) error {
			res, err := t.run(`UPDATE webhook_deliveries SET state = 'pending', attempts = 0, next_at = ?, started_at = NULL,
				ended_at = NULL, status = 0, detail = '' WHERE id IN (SELECT value FROM json_each(?)) AND state <> 'pending'`,
				[]any{micros(t.now), list(few)})
			if err != nil {
				return err
			}
			changed, err := res.RowsAffected()
			n += int(changed)
			return err
		})
	}
	if err == nil {
		err = s.Write(ctx, High, func(t *Tx) error {
			if n == 0 && delivery != "" {
				return t.notPending(subscription, delivery)
			}
			return t.webhookEvent("replayed", subscription, actor, map[string]any{"deliveries": n})
		})
	}
	if err != nil {
		return 0, fmt.Errorf("replay deliveries of subscription %s: %w", subscription, err)
	}
	return n, nil
}

// notPending is an error if there is no such delivery; one that waits already
// need not be replayed.
func (t *Tx) notPending(subscription, delivery string) error {
	var state string
	err := t.scan(&state, "SELECT state FROM webhook_deliveries WHERE webhook_uuid = ? AND uuid = ?", subscription, delivery)
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("delivery %s: %w", delivery, webhook.ErrNotFound)
	}
	return err
}

// PurgeDeliveries implements webhook.Repo.
func (s *Store) PurgeDeliveries(ctx context.Context, before time.Time) (more bool, err error) {
	more, err = s.deleteEnded(ctx, "ended_at < ? AND state <> 'pending' ORDER BY ended_at", micros(before))
	if err != nil {
		return false, fmt.Errorf("delete old deliveries of webhooks: %w", err)
	}
	return more, nil
}

// deleteEnded deletes some of those deliveries, and says whether there may be more.
func (s *Store) deleteEnded(ctx context.Context, which string, arg any) (more bool, err error) {
	err = s.Write(ctx, Bulk, func(t *Tx) error {
		res, err := t.run("DELETE FROM webhook_deliveries WHERE id IN (SELECT id FROM webhook_deliveries WHERE "+which+" LIMIT ?)",
			[]any{arg, fewDeliveries})
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		more = n == fewDeliveries
		return err
	})
	return more, err
}
