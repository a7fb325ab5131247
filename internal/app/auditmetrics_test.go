package app

import (
	"strings"
	"testing"
	"time"

	"callrecordd/internal/audit"
	"callrecordd/internal/metrics"
)

// A rule of Prometheus can warn of a night after which something lacks, and of
// one that was never audited.
func TestMetricsHaveTheLastAudits(t *testing.T) {
	var b strings.Builder
	if err := metrics.Write(&b, auditMetrics([]LastAudit{{
		Sum:   audit.Sum{Tenant: "acme", Bad: 2, By: map[audit.Class]int{audit.Missing: 2, audit.Covered: 7}, RequiredSeconds: 90, LackingSeconds: 20.5},
		Until: time.Unix(1796083200, 0),
	}})); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`callrecordd_audit_calls{tenant="acme",class="missing"} 2`, `callrecordd_audit_calls{tenant="acme",class="late"} 0`,
		`callrecordd_audit_bad_calls{tenant="acme"} 2`, `callrecordd_audit_lacking_seconds{tenant="acme"} 20.5`,
		`callrecordd_audit_until_seconds{tenant="acme"} 1.7960832e+09`,
	} {
		if !strings.Contains(b.String(), want+"\n") {
			t.Errorf("%s lacks %s", b.String(), want)
		}
	}
}
