package retention

import "testing"

// TestDefaultOfCDRsKeepsChosenRecordings: "recordings for ever" went with their
// CDRs after the default of a year.
func TestDefaultOfCDRsKeepsChosenRecordings(t *testing.T) {
	n := func(days int) *int { return &days }
	defaults := Days{CDR: 365, Export: 2, Recording: 365}
	for _, c := range []struct {
		policy Policy
		want   Days
	}{
		{Policy{}, defaults},
		{Policy{RecordingDays: n(0)}, Days{0, 2, 0}},
		{Policy{RecordingDays: n(1000)}, Days{1000, 2, 1000}},
		{Policy{RecordingDays: n(30)}, Days{365, 2, 30}},
		{Policy{CDRDays: n(90)}, Days{90, 2, 365}},
	} {
		if got := c.policy.Or(defaults); got != c.want {
			t.Errorf("%+v is %+v, want %+v", c.policy, got, c.want)
		}
	}
}
