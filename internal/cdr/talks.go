package cdr

import "callrecordd/internal/call"

// Talks are the talks of one call as its rows tell them, the same that the live
// model would have seen. One whose end the rows lack, because Asterisk died,
// ends with the last row and says so.
func Talks(rows []Row, technologies []string) []call.TalkHistory {
	adapter, model := NewAdapter(), call.New(call.Config{Technologies: technologies})
	var changes []call.Change
	for _, row := range rows {
		for _, event := range adapter.Apply(row) {
			changes = append(changes, model.Apply(event)...)
		}
	}
	open := map[call.TalkID]bool{} // two legs are connected, and no row says until when
	for _, t := range model.Talks() {
		open[t.ID] = !t.Suspended
	}
	if len(rows) > 0 {
		end := call.Event{At: rows[len(rows)-1].At, Kind: call.Restarted}
		changes = append(changes, model.Apply(end)...)
	}
	out := call.History(changes)
	for i := range out {
		out[i].EndUnknown = open[out[i].ID]
	}
	return out
}
