package history

import (
	"strings"
	"testing"
)

// TestRecordingThatIsNamedTwiceIsRefused: the storage would refuse the second
// one, and with it all calls of the same request.
func TestRecordingThatIsNamedTwiceIsRefused(t *testing.T) {
	const tenant, one, two = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002", "00000000-0000-4000-8000-000000000003"
	it := Item{TenantUUID: tenant, Recordings: []Recording{{UUID: one}, {UUID: two}}}
	if list, err := it.Recorded(); err != nil || len(list) != 2 {
		t.Fatalf("%+v %v", list, err)
	}
	it.Recordings = append(it.Recordings, Recording{UUID: one})
	if list, err := it.Recorded(); err == nil || !strings.Contains(err.Error(), one+" is there twice") {
		t.Errorf("%+v %v", list, err)
	}
}
