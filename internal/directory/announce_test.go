package directory

import (
	"strings"
	"testing"
)

// FuzzSound: whatever is accepted is Asterisk's own or the tenant's, and no
// recording.
func FuzzSound(f *testing.F) {
	const root, tenant = "/srv/tenants", "00000000-0000-4000-8000-000000000001"
	const own = root + "/" + tenant + "/"
	for _, seed := range []string{"beep", "custom/x", own + "a/b", own + "monitor/x", own + "../x", "/etc/passwd", "http://x", "a,b", "monitor"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sound string) {
		if checkSound("recording_start", sound, root, tenant) != nil || sound == "" {
			return
		}
		name := strings.TrimPrefix(sound, own)
		if strings.HasPrefix(name, "/") || strings.ContainsAny(name, ":,&\\ \x00\n") || len(sound) > maxText {
			t.Errorf("accepts %q", sound)
		}
		for part := range strings.SplitSeq(name, "/") {
			if part == "" || strings.HasPrefix(part, ".") || part == recordingsFolder {
				t.Errorf("accepts %q", sound)
			}
		}
		if sound != name && checkSound("recording_start", sound, "", tenant) == nil {
			t.Errorf("accepts %q without a folder of tenants", sound)
		}
	})
}
