package cdrgen

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"callrecordd/internal/recorder"
	"callrecordd/store"
)

// entriesPerCall are those that FillLedger writes of each call beside that of
// its recording: as many as one that is recorded leaves.
const entriesPerCall = 8

// FillLedger stores about n entries of the ledger, with the CDRs and recordings
// that they are about, and tells now and then how many there are.
func FillLedger(ctx context.Context, s *store.Store, n int, told func(done int)) error {
	const chunk = 500
	g := NewGenerator(n)
	for done, calls := 0, 0; done < n; done += chunk * (entriesPerCall + 1) {
		var list []store.Import
		var events []recorder.Event
		for range chunk {
			c, _ := g.Next()
			calls++
			hook := c.ConversationID
			sum := sha256.Sum256(fmt.Append(nil, calls))
			r := recorder.Recording{
				UUID: fmt.Sprintf("30000000-0000-4000-8000-%012d", calls), TenantUUID: c.TenantUUID, Hook: hook, State: recorder.Ready,
				IntentAt: c.Start, StartedAt: c.Start, EndedAt: c.End, Bytes: 480_044, Samples: 240_000, Rate: 8000, SHA256: hex.EncodeToString(sum[:]),
			}
			list = append(list, store.Import{CDR: c, Key: fmt.Append(nil, calls), Recordings: []recorder.Recording{r}})
			for i := range entriesPerCall {
				events = append(events, recorder.Event{
					At: c.Start, Kind: "talk_decided", Recording: r.UUID, Call: hook, Actor: "callrecordd", Data: map[string]any{
						"step": i, "reason": "rule.out.internal", "legs": []string{hook, hook + "1"}, "user_uuid": c.SourceUserUUID, "hook": "PJSIP/x-0000001",
					},
				})
			}
		}
		if _, err := s.ImportCDRs(ctx, list, "cdrgen"); err != nil {
			return fmt.Errorf("fill a ledger: %w", err)
		}
		if err := s.Write(ctx, store.Bulk, func(t *store.Tx) error { return t.AppendEvents(events...) }); err != nil {
			return fmt.Errorf("fill a ledger: %w", err)
		}
		told(done)
	}
	return nil
}
