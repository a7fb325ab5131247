package main

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"callrecordd/internal/app"
	"callrecordd/internal/space"
)

// statusRows are the disks and the alarms of a status.
func statusRows(s app.Status) [][]string {
	var rows [][]string
	for _, d := range s.Disks {
		hours := math.Inf(1)
		if d.HoursLeft != nil {
			hours = *d.HoursLeft
		}
		text := space.Tell(space.Usage{Total: d.Total, Free: d.Free}, hours)
		rows = append(rows, []string{"disk " + d.Path, cmp.Or(d.Wrong, text)})
	}
	for _, a := range s.Alarms {
		times := ""
		if a.Count > 1 {
			times = fmt.Sprintf(", %d times", a.Count)
		}
		rows = append(rows, []string{
			"alarm " + string(a.Kind),
			fmt.Sprintf("since %s%s: %s. %s", a.Since.Local().Format(time.DateTime), times, a.Detail, a.Do),
		})
	}
	return rows
}
