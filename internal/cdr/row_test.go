package cdr

import (
	"errors"
	"testing"
	"time"
)

func validRaw() RawRow {
	return RawRow{
		ID: 1, EventType: "ANSWER", EventTime: "1700000000.123457", ChanName: "PJSIP/alice-00000000",
		UniqueID: "1700000000.0", LinkedID: "1700000000.0",
	}
}

func TestParseRow(t *testing.T) {
	at := time.Unix(1700000000, 123457000).UTC()
	for name, c := range map[string]struct {
		change func(*RawRow)
		at     time.Time
		err    error
	}{
		"valid":                {func(*RawRow) {}, at, nil},
		"short fraction":       {func(r *RawRow) { r.EventTime = "1700000000.5" }, time.Unix(1700000000, 5e8).UTC(), nil},
		"whole seconds":        {func(r *RawRow) { r.EventTime = "1700000000" }, time.Unix(1700000000, 0).UTC(), nil},
		"real column":          {func(r *RawRow) { r.EventTime = "1.7000000005e+09" }, time.Unix(1700000000, 5e8).UTC(), nil},
		"dateformat":           {func(r *RawRow) { r.EventTime = "2026-11-23 11:14:36" }, time.Time{}, ErrMalformed},
		"no time":              {func(r *RawRow) { r.EventTime = "" }, time.Time{}, ErrMalformed},
		"negative time":        {func(r *RawRow) { r.EventTime = "-5.0" }, time.Time{}, ErrMalformed},
		"time beyond reason":   {func(r *RawRow) { r.EventTime = "99999999999999" }, time.Time{}, ErrMalformed},
		"not a number":         {func(r *RawRow) { r.EventTime = "NaN" }, time.Time{}, ErrMalformed},
		"no linkedid":          {func(r *RawRow) { r.LinkedID = "" }, time.Time{}, ErrMalformed},
		"no channel":           {func(r *RawRow) { r.ChanName = "" }, time.Time{}, ErrMalformed},
		"no type":              {func(r *RawRow) { r.EventType = "" }, time.Time{}, ErrMalformed},
		"somebody else's type": {func(r *RawRow) { r.EventType = "MY_EVENT" }, time.Time{}, ErrUnknownEvent},
		"broken extra":         {func(r *RawRow) { r.Extra = `{"a":` }, at, nil},
	} {
		t.Run(name, func(t *testing.T) {
			raw := validRaw()
			c.change(&raw)
			row, err := ParseRow(raw)
			if !errors.Is(err, c.err) || !row.At.Equal(c.at) {
				t.Errorf("got %v, %v", row.At, err)
			}
		})
	}
}

func TestParseExtra(t *testing.T) {
	for text, want := range map[string]Extra{
		"":                     {},
		`{"hangupcause":16}`:   {HangupCause: 16},
		`{"hangupcause":"17"}`: {HangupCause: 17},
		`{"bridge_id":"b","bridge_technology":7}`: {BridgeID: "b"},
		`[1]`:  {Broken: true},
		`null`: {Broken: true},
		`{"x`:  {Broken: true},
	} {
		if got := parseExtra(text); got != want {
			t.Errorf("%s: got %+v", text, got)
		}
	}
}

func FuzzParseRow(f *testing.F) {
	for _, name := range shapeNames(f) {
		for _, r := range loadShape(f, name)[:3] {
			f.Add(r["eventtype"], r["eventtime"], r["channame"], r["appdata"], r["uniqueid"], r["linkedid"], r["peer"], r["extra"])
		}
	}
	f.Add("BRIDGE_ENTER", "1e9", "Local/;2", ",&", "a", "b", ",", `{"bridge_id":null}`)
	f.Fuzz(func(t *testing.T, kind, at, name, data, unique, linked, peer, extra string) {
		row, err := ParseRow(RawRow{
			EventType: kind, EventTime: at, ChanName: name, AppName: "Dial", AppData: data,
			UniqueID: unique, LinkedID: linked, Peer: peer, Extra: extra,
		})
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnknownEvent) {
				t.Fatalf("unclassified: %v", err)
			}
			return
		}
		if row.At.IsZero() || row.LinkedID == "" {
			t.Fatalf("accepted %+v", row)
		}
		// What the parser lets through must not trouble those behind it.
		other := row
		other.Type, other.UniqueID = eventChanStart, row.UniqueID+"x"
		start := row
		start.Type = eventChanStart
		Derive([]Row{start, other, row}, office{}, []string{"PJSIP", "Local", ""})
	})
}
