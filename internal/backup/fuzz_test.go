package backup

import (
	"path/filepath"
	"strings"
	"testing"
)

// FuzzManifest: a manifest from elsewhere names no file outside of its folder,
// and one that was cut off is not taken for whole.
func FuzzManifest(f *testing.F) {
	head := `{"backup":{"format":1,"id":"x"}}` + "\n"
	f.Add(head + `{"end":{"files":0,"bytes":0,"removed":0,"missing":0,"differ":0}}` + "\n")
	f.Add(head + `{"file":{"kind":"recording","path":"recordings/t/monitor/u.wav","size":1,"mode":"0640"}}` + "\n" +
		`{"end":{"files":1,"bytes":1,"removed":0,"missing":0,"differ":0}}` + "\n")
	f.Add(head + `{"file":{"kind":"key","path":"files/../../etc/shadow","target":"../x","mode":"0600"}}` + "\n")
	f.Add(head + `{"file":{"kind":"database","path":"database/../x","mode":"7"}}` + "\n")
	f.Add("{}")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := newReader(strings.NewReader(text))
		if err != nil {
			return
		}
		err = r.each(func(e Entry) error {
			if !filepath.IsLocal(e.Path) || !filepath.IsLocal(e.rest()) || e.Kind == KindKey && !filepath.IsLocal(e.Target) {
				t.Errorf("leads out of the folder: %+v", e)
			}
			if _, err := e.mode(); err != nil {
				t.Error(err)
			}
			return nil
		})
		if err == nil && !strings.Contains(text, `"end"`) && !strings.Contains(strings.ToLower(text), "end") {
			t.Errorf("has no end and is taken for whole: %q", text)
		}
	})
}
