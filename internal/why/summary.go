package why

import (
	"strings"

	"callrecordd/internal/recorder"
)

// nothing is the summary of a call without a decision.
const nothing = "Nothing was decided about this call: nobody talked with anybody, or it is from before callrecordd watched, or was brought in from elsewhere."

// summary says what made the recording, or why there is none; what was refused
// last; and what became of the file in the end.
func summary(steps []Step) string {
	var decision, refused, ended, start, netted *Step
	for i := range steps {
		s := &steps[i]
		switch s.Kind {
		case recorder.EventDecision:
			decision = s
			if s.Outcome == Recorded && start == nil {
				start = s
			}
		case recorder.EventOnDemand:
			if start == nil {
				start = s
			}
		case recorder.EventAdopted, eventNetUnknown:
			netted = s
		case recorder.EventRefused:
			refused = s
		case recorder.EventFinal:
			ended = s
		case fileRemoved:
			// What was said of a file that is no more would mislead; why there never
			// was one is what matters.
			if ended != nil && ended.RecordingUUID == s.RecordingUUID && ended.Outcome != Outcome(recorder.Missing) {
				ended = s
			}
		}
	}
	if start == nil && netted != nil {
		start = netted
	}
	if start == nil {
		start = decision
	}
	var out []string
	for _, s := range []*Step{start, refused, ended} {
		if s != nil {
			out = append(out, s.Text)
		}
	}
	if len(out) == 0 {
		return nothing
	}
	return strings.Join(out, " ")
}
