package app

import (
	"io"
	"math"
	"slices"

	"callrecordd/ari"
	"callrecordd/ari/ami"
	"callrecordd/internal/alarm"
	"callrecordd/internal/metrics"
)

// writeMetrics writes all figures of the daemon for Prometheus. None costs a look
// at a disk or a database.
func (a *App) writeMetrics(w io.Writer) error {
	return metrics.Write(w, slices.Concat(a.partMetrics(), a.alarmMetrics(), a.diskMetrics(), a.ledgerMetrics(), auditMetrics(a.audits.Last())))
}

func (a *App) partMetrics() []metrics.Family {
	s := a.Status()
	label := func(name, value string) []metrics.Label { return []metrics.Label{{Name: name, Value: value}} }
	growth := a.growth()
	return []metrics.Family{
		{Name: "callrecordd_build_info", Help: "Always 1.", Type: metrics.Gauge, Samples: []metrics.Sample{{Labels: label("version", s.Version), Value: 1}}},
		metrics.One("callrecordd_start_time_seconds", "When the daemon was started, in seconds since 1970.", metrics.Gauge, float64(s.Since.UnixMilli())/1000),
		metrics.One("callrecordd_ready", "Whether all parts work.", metrics.Gauge, metrics.Bool(s.Ready)),
		{Name: "callrecordd_part_up", Help: "Whether a part works.", Type: metrics.Gauge, Samples: []metrics.Sample{
			{Labels: label("part", "ari"), Value: metrics.Bool(s.ARI.Kind == ari.StateConnected)},
			{Labels: label("part", "ami"), Value: metrics.Bool(s.AMI.Kind == ami.StateConnected)},
			{Labels: label("part", "journal"), Value: metrics.Bool(s.Journal.Ready)},
			{Labels: label("part", "database"), Value: metrics.Bool(s.Database == "")},
			{Labels: label("part", "recorder"), Value: metrics.Bool(s.Recorder == "")},
		}},
		metrics.One("callrecordd_ari_reconnects_total", "How often the stream of events was connected again.", metrics.Counter, float64(s.ARI.Reconnects)),
		metrics.One("callrecordd_journal_gaps_total", "How often the journal had a gap.", metrics.Counter, float64(s.Journal.Gaps)),
		metrics.One("callrecordd_journal_open_calls", "Calls without a CDR yet.", metrics.Gauge, float64(s.Journal.OpenCalls)),
		metrics.One("callrecordd_recordings_running", "Recordings whose file grows.", metrics.Gauge, float64(growth.Recordings)),
		metrics.One("callrecordd_recording_bytes_per_second", "How much they write.", metrics.Gauge, growth.BytesPerSecond),
	}
}

// ledgerMetrics are of the last checkpoint; without a key there is none.
func (a *App) ledgerMetrics() []metrics.Family {
	if a.notary == nil {
		return nil
	}
	s := a.notary.State()
	if s.At.IsZero() {
		return nil
	}
	return []metrics.Family{
		metrics.One("callrecordd_ledger_entries", "How many entries the last checkpoint counts.", metrics.Gauge, float64(s.Size)),
		metrics.One("callrecordd_ledger_checkpoint_seconds", "When it was made, in seconds since 1970.", metrics.Gauge, float64(s.At.UnixMilli())/1000),
	}
}

// alarmMetrics have a sample for each kind, also of those that never were: a
// rule must see the 0 before the 1.
func (a *App) alarmMetrics() []metrics.Family {
	up := metrics.Family{Name: "callrecordd_alarm", Help: "Alarms that are up, see docs/alarms.md.", Type: metrics.Gauge}
	total := metrics.Family{Name: "callrecordd_alarms_total", Help: "How often an alarm was raised.", Type: metrics.Counter}
	counts, totals := map[alarm.Kind]int{}, a.alarms.Totals()
	for _, x := range a.alarms.Up() {
		counts[x.Kind]++
	}
	for _, k := range kindNames() {
		info, _ := alarm.Of(k)
		labels := []metrics.Label{{Name: "kind", Value: string(k)}, {Name: "severity", Value: string(info.Severity)}}
		up.Samples = append(up.Samples, metrics.Sample{Labels: labels, Value: float64(counts[k])})
		total.Samples = append(total.Samples, metrics.Sample{Labels: labels, Value: float64(totals[k])})
	}
	return []metrics.Family{up, total}
}

func (a *App) diskMetrics() []metrics.Family {
	free := metrics.Family{Name: "callrecordd_disk_free_bytes", Help: "What is free on a disk.", Type: metrics.Gauge}
	size := metrics.Family{Name: "callrecordd_disk_size_bytes", Help: "How large it is.", Type: metrics.Gauge}
	left := metrics.Family{Name: "callrecordd_disk_hours_left", Help: "How long it lasts at the present rate.", Type: metrics.Gauge}
	level := metrics.Family{Name: "callrecordd_disk_level", Help: "0 enough, 1 low, 2 critical.", Type: metrics.Gauge}
	for _, d := range a.disks.status() {
		if d.Wrong != "" {
			continue
		}
		labels := []metrics.Label{{Name: "for", Value: d.For}, {Name: "path", Value: d.Path}}
		hours := math.Inf(1)
		if d.HoursLeft != nil {
			hours = *d.HoursLeft
		}
		for f, v := range map[*metrics.Family]float64{&free: float64(d.Free), &size: float64(d.Total), &left: hours, &level: float64(d.Level)} {
			f.Samples = append(f.Samples, metrics.Sample{Labels: labels, Value: v})
		}
	}
	return []metrics.Family{free, size, left, level}
}
