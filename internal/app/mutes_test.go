package app

import "testing"

func TestMutesByID(t *testing.T) {
	for version, want := range map[string]bool{
		"16.28.0~dfsg-0+deb11u4": false, "18.17.1": false, "18.18.0": true, "18.9-cert17": false, "certified/18.9-cert17": false,
		"19.8.1": false, "20.2.1": false, "20.3.0": true, "20.10.0": true, "21.0.0": true, "22.10.1~dfsg": true, "": false, "GIT-master-abc": false,
	} {
		if got := mutesByID(version); got != want {
			t.Errorf("%q: %v, want %v", version, got, want)
		}
	}
}
