package store

import (
	"encoding/json"
	"fmt"
	"time"

	model "callrecordd/internal/call"
)

// talkDoc is the stored form of model.TalkHistory. There is one for each call, so
// its names are short.
type talkDoc struct {
	ID    model.TalkID `json:"id"`
	Began int64        `json:"b"`
	Ended int64        `json:"e,omitempty"`
	Open  bool         `json:"open,omitempty"` // EndUnknown
	Spans []spanDoc    `json:"s"`
}

type spanDoc struct {
	From int64    `json:"f"`
	To   int64    `json:"t"`
	Legs []legDoc `json:"l"`
}

type legDoc struct {
	ID   string   `json:"i"`
	Name string   `json:"n"`
	Role string   `json:"r,omitempty"` // empty: caller
	Via  []hopDoc `json:"v,omitempty"`
}

type hopDoc struct {
	Queue   string `json:"q,omitempty"`
	Group   string `json:"g,omitempty"`
	Exten   string `json:"x,omitempty"`
	Context string `json:"c,omitempty"`
}

// saveTalks stores the talks of a CDR in place of those that it had. None take
// no place: who derives a call without them does not know them.
func (t *Tx) saveTalks(cdrID int64, talks []model.TalkHistory) error {
	if len(talks) == 0 {
		return nil
	}
	doc, err := talksText(cdrID, talks)
	if err != nil {
		return err
	}
	return t.exec("INSERT INTO cdr_talks VALUES (?, ?) ON CONFLICT DO UPDATE SET doc = excluded.doc", cdrID, string(doc))
}

// talksText is what cdr_talks has of them.
func talksText(cdrID int64, talks []model.TalkHistory) ([]byte, error) {
	doc, err := json.Marshal(talkDocs(talks))
	if err != nil {
		return nil, fmt.Errorf("encode the talks of cdr %d: %w", cdrID, err)
	}
	return doc, nil
}

func talkDocs(talks []model.TalkHistory) []talkDoc {
	out := make([]talkDoc, 0, len(talks))
	for _, h := range talks {
		d := talkDoc{ID: h.ID, Began: micros(h.Began), Ended: micros(h.Ended), Open: h.EndUnknown, Spans: make([]spanDoc, 0, len(h.Spans))}
		for _, s := range h.Spans {
			span := spanDoc{From: micros(s.From), To: micros(s.To)}
			for _, l := range s.Legs {
				span.Legs = append(span.Legs, legDocOf(l))
			}
			d.Spans = append(d.Spans, span)
		}
		out = append(out, d)
	}
	return out
}

func legDocOf(l model.Leg) legDoc {
	d := legDoc{ID: l.ID, Name: l.Name}
	if l.Role != model.RoleCaller {
		d.Role = l.Role.String()
	}
	for _, h := range l.Via {
		d.Via = append(d.Via, hopDoc(h))
	}
	return d
}

func decodeTalks(doc string) ([]model.TalkHistory, error) {
	if doc == "" {
		return nil, nil
	}
	var docs []talkDoc
	if err := json.Unmarshal([]byte(doc), &docs); err != nil {
		return nil, err
	}
	out := make([]model.TalkHistory, 0, len(docs))
	for _, d := range docs {
		h := model.TalkHistory{ID: d.ID, Began: fromMicros(d.Began), Ended: fromMicros(d.Ended), EndUnknown: d.Open}
		for _, s := range d.Spans {
			span := model.Span{From: fromMicros(s.From), To: fromMicros(s.To)}
			for _, l := range s.Legs {
				span.Legs = append(span.Legs, l.leg(span.From))
			}
			h.Spans = append(h.Spans, span)
		}
		out = append(out, h)
	}
	return out, nil
}

func (d legDoc) leg(joined time.Time) model.Leg {
	l := model.Leg{ID: d.ID, Name: d.Name, Joined: joined}
	if d.Role != "" {
		l.Role = model.ParseRole(d.Role)
	}
	for _, h := range d.Via {
		l.Via = append(l.Via, model.Hop(h))
	}
	return l
}
