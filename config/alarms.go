package config

import "time"

// Alarms is what is an alarm, and what is done about it.
type Alarms struct {
	DiskLowPercent      int           `mapstructure:"disk_low_percent" live:"yes" doc:"Below how much free space, in percent of a disk, there is a warning, 0 to 100. Looked at are the disks of recordings.root, state.dir and asterisk.journal."`
	DiskCriticalPercent int           `mapstructure:"disk_critical_percent" live:"yes" doc:"Below how much it is critical. Nothing is ever removed to make room."`
	DiskLowTime         time.Duration `mapstructure:"disk_low_time" live:"yes" doc:"There is a warning also if what is free lasts no longer than this, at the rate at which calls are recorded now. 0 is never."`
	DiskCriticalTime    time.Duration `mapstructure:"disk_critical_time" live:"yes" doc:"The same for critical."`
	Tone                bool          `mapstructure:"tone" live:"yes" doc:"Whether users whose call is to be recorded, and is not, hear an error tone, once a call."`
	HangUp              bool          `mapstructure:"hang_up" live:"yes" doc:"Whether a call of a user who must be recorded (callrecordd user set --must-record) is ended when it cannot be recorded: an error tone, and two seconds later the end. Think of what is worse, no recording or no call: also a full disk then ends calls."`
	HangUpAfter         time.Duration `mapstructure:"hang_up_after" live:"yes" doc:"How long a call may be without a recording before that counts, 8s to 10m. A start that fails is tried again for 6s."`
}

func (a Alarms) validate(r *report) {
	checkRange(r, "alarms.disk_low_percent", a.DiskLowPercent, 0, 100)
	checkRange(r, "alarms.disk_critical_percent", a.DiskCriticalPercent, 0, 100)
	if a.DiskCriticalPercent > a.DiskLowPercent {
		r.add("alarms.disk_critical_percent", "%d is more than alarms.disk_low_percent; choose less", a.DiskCriticalPercent)
	}
	for key, d := range map[string]time.Duration{
		"alarms.disk_low_time": a.DiskLowTime, "alarms.disk_critical_time": a.DiskCriticalTime,
	} {
		if d < 0 {
			r.add(key, "%s is negative; choose at least 0", d)
		}
	}
	if a.DiskCriticalTime > a.DiskLowTime {
		r.add("alarms.disk_critical_time", "%s is more than alarms.disk_low_time; choose less", a.DiskCriticalTime)
	}
	if a.HangUpAfter < 8*time.Second || a.HangUpAfter > 10*time.Minute {
		r.add("alarms.hang_up_after", "%s is out of range; choose 8s to 10m", a.HangUpAfter)
	}
}

func (rec Recordings) validateOrphans(r *report) {
	checkOneOf(r, "recordings.orphans", rec.Orphans, OrphansReport, OrphansRepair, OrphansAdopt, OrphansQuarantine)
	if rec.OrphansEvery != 0 && rec.OrphansEvery < time.Minute {
		r.add("recordings.orphans_every", "%s is too often; choose at least 1m, or 0 for never", rec.OrphansEvery)
	}
}
