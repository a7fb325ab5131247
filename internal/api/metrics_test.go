package api

import (
	"strings"
	"testing"
)

func TestFiguresAreForTheMasterTenantAndInPrometheusFormat(t *testing.T) {
	w := newWorld(t)
	r := w.get("/1.0/metrics", "X-Auth-Token", "all")
	if r.status != 200 || !strings.HasPrefix(r.header.Get("Content-Type"), "text/plain; version=0.0.4") || r.body != "callrecordd_ready 1\n" {
		t.Errorf("%d %v %s", r.status, r.header, r.body)
	}
	for _, token := range []string{"child", "list", ""} {
		if r := w.get("/1.0/metrics", "X-Auth-Token", token); r.status != 401 {
			t.Errorf("with token %q: %d", token, r.status)
		}
	}
}
