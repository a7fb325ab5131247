package call

import "time"

// Span is a time during which the same legs were connected.
type Span struct {
	From, To time.Time
	Legs     []Leg
}

// TalkHistory is a talk after the event: when it began and ended, and who was
// connected from when to when. Times without two legs are in no span.
type TalkHistory struct {
	ID           TalkID
	Began, Ended time.Time
	Spans        []Span
	// EndUnknown: nothing tells when it ended, and Ended is the last that is known
	// of it.
	EndUnknown bool
}

// History collects changes into talks, in the order in which they began. Talks
// that have not ended have a zero Ended, and so has their last span's To.
func History(changes []Change) []TalkHistory {
	var out []TalkHistory
	index := make(map[TalkID]int)
	for _, c := range changes {
		i, ok := index[c.Talk]
		if !ok {
			i = len(out)
			index[c.Talk] = i
			out = append(out, TalkHistory{ID: c.Talk, Began: c.At})
		}
		t := &out[i]
		if n := len(t.Spans); n > 0 && t.Spans[n-1].To.IsZero() {
			t.Spans[n-1].To = c.At
		}
		switch c.Kind {
		case Began, Changed, Resumed:
			t.Spans = append(t.Spans, Span{From: c.At, Legs: c.Legs})
		case Ended:
			t.Ended = c.At
		case Suspended:
		}
	}
	return out
}
