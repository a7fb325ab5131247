package api

import (
	"encoding/csv"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// csvType is the type of a CSV; upstream says text/html by accident (design 7).
const csvType = "text/csv; charset=utf-8"

// wantsCSV says whether the client accepts CSV, and prefers it to JSON.
func wantsCSV(r *http.Request) bool {
	var csv, json float64
	jsonBy := 0 // how exactly JSON was named
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		name, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		q := 1.0
		if text, ok := params["q"]; ok {
			if q, err = strconv.ParseFloat(text, 64); err != nil || q < 0 || q > 1 {
				continue
			}
		}
		by := map[string]int{"*/*": 1, "application/*": 2, "application/json": 3}[name]
		if by > 0 && by >= jsonBy {
			json, jsonBy = q, by
		}
		charset, has := params["charset"]
		if name == "text/csv" && (!has || strings.EqualFold(charset, "utf-8")) {
			csv = q
		}
	}
	return csv > json
}

// csvColumns are those of cdr-api 5.2 and, behind them so that none of them
// moves, conversation_id (design 7). Recordings follow.
func csvColumns() []string {
	return []string{
		"id", "tenant_uuid", "answered", "start", "answer", "end", "destination_extension", "destination_name",
		"destination_internal_extension", "destination_internal_context", "destination_user_uuid", "destination_line_id",
		"duration", "call_direction", "call_status", "requested_name", "requested_extension", "requested_context",
		"requested_internal_extension", "requested_internal_context", "requested_user_uuid", "source_extension", "source_name",
		"source_internal_name", "source_internal_extension", "source_internal_context", "source_user_uuid", "source_line_id",
		"tags", "conversation_id",
	}
}

func csvRow(c cdrJSON) []string {
	return []string{
		cell(&c.ID), c.TenantUUID, csvBool(c.Answered), cell(c.Start), cell(c.Answer), cell(c.End),
		cell(c.DestinationExtension), cell(c.DestinationName), cell(c.DestinationInternalExtension),
		cell(c.DestinationInternalContext), cell(c.DestinationUserUUID), cell(c.DestinationLineID), cell(c.Duration),
		cell(c.CallDirection), c.CallStatus, cell(c.RequestedName), cell(c.RequestedExtension), cell(c.RequestedContext),
		cell(c.RequestedInternalExtension), cell(c.RequestedInternalContext), cell(c.RequestedUserUUID),
		cell(c.SourceExtension), cell(c.SourceName), cell(c.SourceInternalName), cell(c.SourceInternalExtension),
		cell(c.SourceInternalContext), cell(c.SourceUserUUID), cell(c.SourceLineID), strings.Join(c.Tags, ";"),
		cell(c.ConversationID),
	}
}

// cell is empty for null.
func cell[T any](v *T) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(*v)
}

func csvBool(b bool) string {
	if b {
		return "True"
	}
	return "False"
}

func (s *Server) listAsCSV(w http.ResponseWriter, r *http.Request, q Query, visible []string, mine bool) error {
	page, err := s.cdrs.List(r.Context(), q)
	if err != nil {
		return err
	}
	return writeCSV(w, page, visible, mine)
}

// kept is how many rows writeCSV keeps in memory.
const kept = 2000

// writeCSV writes the rows (cdr-api 5). The header has a column for as many
// recordings as any row has, so the rows are gone through first; if they are
// many, they are read again.
func writeCSV(w http.ResponseWriter, page Page, visible []string, mine bool) error {
	var rows []cdrJSON
	n, recordings := 0, 0
	for rec, err := range page.Records {
		if err != nil {
			return err
		}
		row := toJSON(rec, visible)
		recordings = max(recordings, len(row.Recordings))
		if n++; n <= kept {
			rows = append(rows, row)
		}
	}
	out := &late{w: w}
	out.header("Content-Type", csvType)
	out.header("Content-Disposition", "attachment; filename=cdr.csv")
	table := csv.NewWriter(out)
	table.UseCRLF = true
	write := func(row cdrJSON) error {
		if mine {
			row.Tags = nil // cdr-api 5.3
		}
		return table.Write(append(csvRow(row), csvRecordings(row, recordings)...))
	}
	head := csvColumns()
	for i := range recordings {
		for _, name := range []string{"uuid", "start_time", "end_time", "deleted", "filename"} {
			head = append(head, fmt.Sprintf("recording_%d_%s", i+1, name))
		}
	}
	err := table.Write(head)
	if n <= kept {
		for i := 0; i < len(rows) && err == nil; i++ {
			err = write(rows[i])
		}
	} else {
		for rec, failed := range page.Records {
			if err = failed; err == nil {
				err = write(toJSON(rec, visible))
			}
			if err != nil {
				break
			}
		}
	}
	table.Flush()
	return out.finish(err)
}

// csvRecordings are the columns of n recordings. One that came after the header
// was made is left out.
func csvRecordings(c cdrJSON, n int) []string {
	out := make([]string, 5*n)
	for i, r := range c.Recordings[:min(n, len(c.Recordings))] {
		copy(out[5*i:], []string{r.UUID, cell(r.StartTime), cell(r.EndTime), csvBool(r.Deleted), r.Filename})
	}
	return out
}
