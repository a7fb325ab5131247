package store

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Whatever the database holds is read or refused, and what is read is stored as
// the same again.
func FuzzTalks(f *testing.F) {
	f.Add(`[{"id":1,"b":1796095364328523,"e":1796095364328523,"open":true,"s":[{"f":1,"t":2,"l":[{"i":"1.1","n":"PJSIP/a-0000000a"},{"i":"1.2","n":"x","r":"peer","v":[{"q":"q","g":"g","x":"1","c":"c"}]}]}]}]`)
	f.Add("")
	f.Add("[{}]")
	f.Add(`{"id":1}`)
	f.Fuzz(func(t *testing.T, doc string) {
		talks, err := decodeTalks(doc)
		if err != nil {
			return
		}
		again := talkDocs(talks)
		if len(again) != len(talks) {
			t.Fatalf("%d of %d talks", len(again), len(talks))
		}
		for i := range talks {
			if again[i].ID != talks[i].ID || len(again[i].Spans) != len(talks[i].Spans) {
				t.Error(cmp.Diff(talks[i], again[i]))
			}
		}
	})
}
