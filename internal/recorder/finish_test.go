package recorder

import (
	"slices"
	"testing"
	"time"
)

// TestAFileThatCannotBeRepairedIsNoAlarmAtEachStart: each start looks at it again,
// and what it is was told by the first.
func TestAFileThatCannotBeRepairedIsNoAlarmAtEachStart(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	m := New(Config{NewUUID: func() string { return "" }})
	row := Recording{UUID: "r", TenantUUID: "t", Hook: "1.1", State: Interrupted, Cause: CauseHeaderUnset, StartedAt: now, EndedAt: now}
	effects := m.Again(now, []Recording{row})
	for _, e := range effects {
		if save, ok := e.(Save); ok {
			t.Errorf("open again though it has its end: %+v", save.Row)
		}
	}
	i := slices.IndexFunc(effects, func(e Effect) bool { _, ok := e.(Finalise); return ok })
	if i < 0 {
		t.Fatalf("%+v", effects)
	}
	last := effects[i].(Finalise)
	final := false
	for _, e := range m.Step(now, Finalised{UUID: "r", Try: last.Try, Found: true, Samples: 8000, Rate: 8000, Bytes: 16044}) {
		switch e := e.(type) {
		case Alarm:
			t.Errorf("%+v", e)
		case Save:
			final = final || e.Row.State == Interrupted && e.Row.Cause == CauseHeaderUnset
		}
	}
	if !final {
		t.Error("it is not interrupted")
	}
}
