package store

import (
	"context"
	"fmt"
)

// VerifyLists derives anew what lists of CDRs are made from and returns what
// differs, nothing if all is well. It reads the whole database.
func (s *Store) VerifyLists(ctx context.Context) (wrong []string, err error) {
	const bucket = "(start_at + 62135596800000000) / 86400000000 >> (4 * l.value)"
	err = s.read(ctx, func(q querier) error {
		for _, x := range []struct{ what, kept, derived string }{
			{
				"facets", "SELECT id, facet FROM cdrs", `SELECT id,
					8 * CASE call_direction WHEN 'internal' THEN 1 WHEN 'inbound' THEN 2 WHEN 'outbound' THEN 3 ELSE 0 END
					+ 2 * CASE call_status WHEN 'answered' THEN 1 WHEN 'voicemail' THEN 2 WHEN 'blocked' THEN 3 ELSE 0 END
					+ EXISTS (SELECT 1 FROM recordings WHERE cdr_id = cdrs.id) FROM cdrs`,
			},
			{
				"sums", "SELECT level, tenant_no, bucket, facet, n FROM cdr_sums WHERE n <> 0",
				"SELECT l.value, tenant_no, " + bucket + " AS b, facet, count(*) FROM cdrs, json_each('[0,1,2,3]') l GROUP BY 1, 2, 3, 4",
			},
			{
				"terms", "SELECT cdrs.id, kind, text FROM cdrs, json_each(terms) JOIN cdr_terms t ON t.id = value",
				`SELECT id, 1, source_name FROM cdrs WHERE source_name <> ''
				UNION SELECT id, 1, destination_name FROM cdrs WHERE destination_name <> ''
				UNION SELECT id, 2, source_extension FROM cdrs WHERE source_extension <> ''
				UNION SELECT id, 2, destination_extension FROM cdrs WHERE destination_extension <> ''
				UNION SELECT id, 3, source_user_uuid FROM cdrs WHERE source_user_uuid <> ''
				UNION SELECT id, 3, destination_user_uuid FROM cdrs WHERE destination_user_uuid <> ''
				UNION SELECT cdr_id, 4, user_uuid FROM cdr_participants WHERE user_uuid <> ''
				UNION SELECT cdr_id, 5, tag FROM cdr_tags WHERE tag <> ''
				UNION SELECT id, 6, requested_internal_extension FROM cdrs WHERE requested_internal_extension <> ''
				UNION SELECT id, 7, requested_internal_context FROM cdrs WHERE requested_internal_context <> ''`,
			},
			{
				"peers", `SELECT cdrs.id, u.text, e.text FROM cdrs, json_each(peers)
					LEFT JOIN cdr_terms u ON u.id = value >> 32 AND u.kind = 4 LEFT JOIN cdr_terms e ON e.id = value & 0xffffffff AND e.kind = 8`,
				`SELECT cdr_id, nullif(user_uuid, ''), nullif(iif(role = 'source', requested_extension, source_extension), '')
					FROM cdr_participants JOIN cdrs ON id = cdr_id`,
			},
			{"calls of each peer", "SELECT peer, cdr_id FROM cdr_peers", "SELECT value, cdrs.id FROM cdrs, json_each(peers)"},
			{
				"postings", "SELECT * FROM cdr_postings WHERE term_id <> 0",
				"SELECT value, tenant_no, start_at, cdrs.id, facet FROM cdrs, json_each(terms)",
			},
			{
				"postings of the newest", "SELECT * FROM cdr_postings WHERE term_id = 0",
				`SELECT 0, tenant_no, start_at, id, facet FROM cdrs
					WHERE id IN (SELECT max(cdrs.id) FROM cdrs, json_each(peers) GROUP BY value)`,
			},
			{"tenants", "SELECT id, tenant_no FROM cdrs", "SELECT id, no FROM cdrs JOIN cdr_tenants ON uuid = tenant_uuid"},
			{"unfinished bulk", "SELECT cdr_id FROM cdr_bulk", "SELECT 1 WHERE false"},
		} {
			var more, less int
			if err := q.QueryRowContext(ctx, "SELECT (SELECT count(*) FROM ("+x.kept+" EXCEPT SELECT * FROM ("+x.derived+`))),
				(SELECT count(*) FROM (SELECT * FROM (`+x.derived+") EXCEPT "+x.kept+"))").Scan(&more, &less); err != nil {
				return err
			}
			if more+less > 0 {
				wrong = append(wrong, fmt.Sprintf("%s: %d too many, %d missing", x.what, more, less))
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("verify lists: %w", err)
	}
	return wrong, nil
}
