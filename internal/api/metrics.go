package api

import (
	"net/http"
)

// metricsType is that of the text that Prometheus reads.
const metricsType = "text/plain; version=0.0.4; charset=utf-8"

// metricRoutes serve figures about the whole daemon, so for the master tenant.
func (s *Server) metricRoutes() []route {
	return []route{{
		service: CallLogd, method: "GET", path: "/metrics", acl: "call-logd.metrics.read", master: true,
		summary: "Get figures for Prometheus",
		answers: []answerRow{{status: http.StatusOK, about: "Figures in Prometheus' text format", media: []string{"text/plain"}}},
		handle:  s.getMetrics,
	}}
}

func (s *Server) getMetrics(w http.ResponseWriter, _ *http.Request, _ request) error {
	out := &late{w: w}
	out.header("Content-Type", metricsType)
	return out.finish(s.metrics(out))
}
