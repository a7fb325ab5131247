package app

import (
	"errors"
	"strings"
	"testing"
	"time"

	"callrecordd/internal/space"
)

func TestADiskThatHangsHoldsUpNobody(t *testing.T) {
	d := newDisks()
	release := make(chan struct{})
	hung := make(chan struct{}, 10)
	d.statfs = func(path string) (space.Usage, uint64, error) {
		if path == "/hangs" {
			hung <- struct{}{}
			<-release
		}
		return space.Usage{Total: 1000, Free: 500}, uint64(len(path)), nil
	}
	places := []watchedDisk{{"/hangs", "recordings", true}, {"/ok", "state", false}}
	for range 3 {
		begun := time.Now()
		list := d.look(begun, 0, places, space.Limits{})
		if took := time.Since(begun); took > diskTime+2*time.Second {
			t.Errorf("it took %s", took)
		}
		if len(list) != 2 || !strings.Contains(list[0].Wrong, errDiskHangs.Error()) || list[1].Free != 500 {
			t.Errorf("%+v", list)
		}
	}
	if len(hung) != 1 {
		t.Errorf("%d looks hang", len(hung))
	}
	close(release)
}

func TestHoursLeftAreThoseOfTheRecordingsDisk(t *testing.T) {
	d := newDisks()
	d.statfs = func(path string) (space.Usage, uint64, error) {
		if path == "/gone" {
			return space.Usage{}, 0, errors.New("no such file")
		}
		return space.Usage{Total: 1e9, Free: 16000 * 3600}, 1, nil
	}
	list := d.look(time.Unix(1_700_000_000, 0), 16000, []watchedDisk{
		{"/recordings", "recordings", true}, {"/same", "state", false}, {"/gone", "journal", false},
	}, space.Limits{CriticalHours: 2, LowHours: 24})
	if len(list) != 2 || list[0].HoursLeft == nil || *list[0].HoursLeft != 1 || list[0].Level != space.Critical || list[1].Wrong == "" {
		t.Errorf("%+v", list)
	}
}

func TestTheDiskOfTheTestsIsReckonedAsDfDoes(t *testing.T) {
	u, _, err := statfs(t.TempDir())
	if err != nil || u.Total == 0 || u.Free > u.Total {
		t.Errorf("%+v %v", u, err)
	}
}
