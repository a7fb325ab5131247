package app

import (
	"context"
	"time"

	"callrecordd/internal/alarm"
	"callrecordd/internal/recorder"
	"callrecordd/store"
)

// attachTime is how long a finished recording may wait for its call's CDR
// (design 8). After that somebody has to look; nothing is deleted.
const attachTime = 10 * time.Minute

// startHousekeeping looks once a minute after what no event tells.
func (a *App) startHousekeeping() {
	a.stack.goEvery("housekeeping", time.Minute, a.warnUnattached)
}

// warnUnattached raises an alarm for each recording without a CDR, once: the
// event that is stored with it keeps it from being raised again, also by the
// next start.
func (a *App) warnUnattached(ctx context.Context) {
	list, err := a.store.Unattached(ctx, a.opt.Now().Add(-attachTime))
	if err != nil {
		a.log.Error("recordings without a CDR cannot be looked for", "err", err)
		return
	}
	for _, r := range list {
		a.alarms.Happened(alarm.Unattached, r.TenantUUID, r.UUID, "the recording of channel "+r.Hook+" has no CDR after 10 minutes")
		event := recorder.Event{Kind: store.EventUnattached, Recording: r.UUID, Actor: "callrecordd", Data: r.Legs}
		if err := a.store.AppendEvents(ctx, event); err != nil {
			a.log.Error("event could not be stored", "kind", event.Kind, "err", err)
		}
	}
}
