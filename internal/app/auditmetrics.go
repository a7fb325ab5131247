package app

import (
	"callrecordd/internal/audit"
	"callrecordd/internal/metrics"
)

// auditMetrics are what the last nightly audits came to. Each class has a sample,
// also of those that did not occur: a rule must see the 0 before the 1.
func auditMetrics(list []LastAudit) []metrics.Family {
	calls := metrics.Family{Name: "callrecordd_audit_calls", Help: "Calls of the last nightly audit by class, see docs/audit.md.", Type: metrics.Gauge}
	bad := metrics.Family{Name: "callrecordd_audit_bad_calls", Help: "Those that somebody should know of.", Type: metrics.Gauge}
	required := metrics.Family{Name: "callrecordd_audit_required_seconds", Help: "What had to be in files.", Type: metrics.Gauge}
	lacking := metrics.Family{Name: "callrecordd_audit_lacking_seconds", Help: "What of it is in none.", Type: metrics.Gauge}
	until := metrics.Family{Name: "callrecordd_audit_until_seconds", Help: "Until when calls were audited, in seconds since 1970.", Type: metrics.Gauge}
	for _, l := range list {
		tenant := metrics.Label{Name: "tenant", Value: l.Tenant}
		one := func(v float64) metrics.Sample { return metrics.Sample{Labels: []metrics.Label{tenant}, Value: v} }
		for _, c := range audit.Classes() {
			calls.Samples = append(calls.Samples, metrics.Sample{
				Labels: []metrics.Label{tenant, {Name: "class", Value: string(c)}}, Value: float64(l.By[c]),
			})
		}
		bad.Samples = append(bad.Samples, one(float64(l.Bad)))
		required.Samples = append(required.Samples, one(l.RequiredSeconds))
		lacking.Samples = append(lacking.Samples, one(l.LackingSeconds))
		until.Samples = append(until.Samples, one(float64(l.Until.Unix())))
	}
	return []metrics.Family{calls, bad, required, lacking, until}
}
