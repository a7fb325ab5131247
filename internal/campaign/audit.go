package campaign

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Verdict is what is looked at of what `callrecordd audit` says of a call. All
// of it is kept as evidence.
type Verdict struct {
	CDR             int64   `json:"cdr_id"`
	Class           string  `json:"class"`
	Reason          string  `json:"reason"`
	Explanation     string  `json:"explanation"`
	RequiredSeconds float64 `json:"required_seconds"`
	LackingSeconds  float64 `json:"lacking_seconds"`
	Findings        []struct {
		Class   string    `json:"class"`
		From    time.Time `json:"from"`
		To      time.Time `json:"to"`
		Seconds float64   `json:"seconds"`
		Cause   string    `json:"cause"`
		Text    string    `json:"text"`
	} `json:"findings"`
}

// class is the audit's class as ours. That a file is empty is one way to miss a
// call; what it cannot tell is no class of ours.
func (v Verdict) class() Class {
	switch v.Class {
	case "not_required":
		return NothingRequired
	case "empty":
		return Missing
	default:
		return Class(v.Class)
	}
}

// String is what it says, in a few lines.
func (v Verdict) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s, %.2f s required, %.2f s lack: %s", v.Class, v.Reason, v.RequiredSeconds, v.LackingSeconds, v.Explanation)
	for _, f := range v.Findings {
		fmt.Fprintf(&b, "\n      %s from %s to %s, %s: %s", f.Class, f.From.Local().Format("15:04:05.000"), f.To.Local().Format("15:04:05.000"), f.Cause, f.Text)
	}
	return b.String()
}

// audit has callrecordd judge all calls, and keeps what it says for people too.
func (c *campaign) audit(ctx context.Context) ([]Verdict, error) {
	since := c.begun.Add(-time.Minute).Format(time.RFC3339)
	for _, format := range []string{"json", "html"} {
		text, err := c.site.command(ctx, "audit", "--all", "--since", since, "-o", format)
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(c.opt.Out, "audit."+format), text, 0o644); err != nil {
			return nil, fmt.Errorf("keep the audit: %w", err)
		}
	}
	text, err := os.ReadFile(filepath.Join(c.opt.Out, "audit.json"))
	if err != nil {
		return nil, fmt.Errorf("read the audit: %w", err)
	}
	var report struct {
		Calls []Verdict `json:"calls"`
	}
	if err := json.Unmarshal(text, &report); err != nil {
		return nil, fmt.Errorf("read the audit: %w", err)
	}
	return report.Calls, nil
}
