package config

import (
	"net/mail"
	"time"
)

// maxDays is a retention beyond which a time could no longer be reckoned.
const maxDays = 1_000_000

func (e Exports) validate(r *report) {
	if e.Dir != "" {
		checkPath(r, "exports.dir", e.Dir)
	}
	checkRange(r, "exports.workers", e.Workers, 1, 16)
	checkRange(r, "exports.keep_free", e.KeepFree, 0, 1<<30)
	if e.LinkLifetime < time.Minute {
		r.add("exports.link_lifetime", "%s is too short; choose at least 1m, such as 48h", e.LinkLifetime)
	}
	if e.Link != "" {
		checkURL(r, "exports.link", e.Link)
	}
}

func (m Mail) validate(r *report) {
	if m.Host == "" {
		r.add("mail.host", "is empty; write the name of the SMTP server or remove the key")
	}
	checkRange(r, "mail.port", m.Port, 1, 65535)
	checkOneOf(r, "mail.tls", m.TLS, TLSOffered, TLSRequired, TLSImplicit, TLSNone)
	if m.Timeout < time.Second || m.Timeout > 5*time.Minute {
		r.add("mail.timeout", "%s is out of range; choose 1s to 5m", m.Timeout)
	}
	if a, err := mail.ParseAddress(m.FromAddress); err != nil || a.Address != m.FromAddress {
		r.add("mail.from_address", "%q is no address; write one such as pbx@example.com", m.FromAddress)
	}
	for key, path := range map[string]string{
		"mail.password_file": m.PasswordFile, "mail.body_file": m.BodyFile, "mail.failure_body_file": m.FailureBodyFile,
	} {
		switch {
		case path == "":
		case key == "mail.password_file":
			checkFile(r, key, path)
		default:
			checkPath(r, key, path)
		}
	}
}

func (w Webhooks) validate(r *report) {
	checkRange(r, "webhooks.workers", w.Workers, 1, 64)
	checkRange(r, "webhooks.attempts", w.Attempts, 1, 100)
	if w.Timeout < time.Second || w.Timeout > time.Minute {
		r.add("webhooks.timeout", "%s is out of range; choose 1s to 1m", w.Timeout)
	}
	if w.Keep < time.Hour {
		r.add("webhooks.keep", "%s is too short; choose at least 1h, such as 168h", w.Keep)
	}
}

func (d Retention) validate(r *report) {
	checkRange(r, "retention.cdr_days", d.CDRDays, 0, maxDays)
	checkRange(r, "retention.export_days", d.ExportDays, 0, maxDays)
	checkRange(r, "retention.recording_days", d.RecordingDays, 0, maxDays)
	if d.Every != 0 && d.Every < time.Minute {
		r.add("retention.every", "%s is too often; choose at least 1m, or 0 for never", d.Every)
	}
}

func (l Ledger) validate(r *report) {
	for key, path := range map[string]string{"ledger.key": l.Key, "ledger.anchor": l.Anchor} {
		if path != "" {
			checkPath(r, key, path)
		}
	}
	if l.Every < 10*time.Second || l.Every > 24*time.Hour {
		r.add("ledger.every", "%s is out of range; choose 10s to 24h", l.Every)
	}
}

func (a Audit) validate(r *report) {
	if a.Tolerance < 100*time.Millisecond || a.Tolerance > 10*time.Second {
		r.add("audit.tolerance", "%s is out of range; choose 100ms to 10s", a.Tolerance)
	}
	if a.Dir != "" {
		checkPath(r, "audit.dir", a.Dir)
	}
	checkRange(r, "audit.keep_days", a.KeepDays, 0, maxDays)
}

func checkRange(r *report, key string, value, least, most int) {
	if value < least || value > most {
		r.add(key, "%d is out of range; choose %d to %d", value, least, most)
	}
}
