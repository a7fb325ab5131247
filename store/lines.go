package store

import (
	"context"
	"database/sql"

	"callrecordd/internal/directory"
)

// loadLines returns all lines by the uuid of their user.
func loadLines(ctx context.Context, q querier) (map[string][]directory.Line, error) {
	out := map[string][]directory.Line{}
	_, err := collect(ctx, q, func(r *sql.Rows) (struct{}, error) {
		var user string
		var l directory.Line
		err := r.Scan(&user, &l.ID, &l.Endpoint, &l.Exten, &l.Context, &l.Main)
		out[user] = append(out[user], l)
		return struct{}{}, err
	}, "SELECT user_uuid, id, endpoint, exten, context, main FROM lines ORDER BY user_uuid, pos")
	return out, err
}

func (t *Tx) saveLines(u *directory.User) error {
	for i := range u.Lines {
		l := &u.Lines[i]
		id, err := t.upsert("lines (id, user_uuid, pos, endpoint, exten, context, main) VALUES (?, ?, ?, ?, ?, ?, ?)",
			nullID(l.ID), u.UUID, i, l.Endpoint, l.Exten, l.Context, l.Main)
		if err != nil {
			return err
		}
		l.ID = id
	}
	return nil
}
