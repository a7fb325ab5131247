package app

import (
	"callrecordd/ari"
	"callrecordd/internal/audit"
	"callrecordd/internal/recorder"
)

// noteHold stores that a leg is put on hold or taken off it: Asterisk may write
// no audio meanwhile, and an audit must not take that for a loss.
func (r *reducer) noteHold(ev ari.Event) {
	kind := map[string]string{"ChannelHold": audit.EventHeld, "ChannelUnhold": audit.EventUnheld}[ev.Type]
	if kind == "" || ev.Channel == nil || r.machine == nil {
		return
	}
	r.perform([]recorder.Effect{recorder.Log{Event: recorder.Event{At: r.now(), Kind: kind, Call: ev.Channel.ID, Actor: "callrecordd", Data: struct{}{}}}})
}
