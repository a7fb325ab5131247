package why

import (
	"fmt"
	"strings"

	"callrecordd/internal/recorder"
)

// plain are events that need no data to be explained.
func plain(kind string) (string, bool) {
	text, ok := map[string]string{
		recorder.EventStarted:     "Asterisk has started the recorder.",
		recorder.EventProved:      "The file exists and grows.",
		recorder.EventSilent:      "No audio arrives at the recorder.",
		recorder.EventAdopted:     "The recorder was found running after nobody had watched it for a time.",
		recorder.EventMoved:       "The recorder has moved to another channel with the call.",
		recorder.EventMuteFailed:  "A pause, or the end of one, could not be carried out.",
		recorder.EventStopFailed:  "The recorder could not be stopped and is tried again.",
		"recording.delete_begun":  "The removal of the file has begun.",
		"recording.deleted":       "The file was removed.",
		"recording.delete_failed": "The file could not be removed and is still there.",
		"cdr.merged":              "Two records turned out to be the same call.",
	}[kind]
	return text, ok
}

// file explains what became of a file.
func file(kind string, n recorder.Note) (Step, bool) {
	switch kind {
	case recorder.EventStartFailed:
		return Step{Outcome: "failed", Text: "The recorder could not be started: " + cause(n) + "."}, true
	case recorder.EventFinal:
		return Step{Outcome: string(n.State), Text: final(n)}, true
	}
	return Step{}, false
}

func final(n recorder.Note) string {
	switch n.State {
	case recorder.Ready:
		text := fmt.Sprintf("The file is complete: %d bytes, %.1f s of audio.", n.Bytes, float64(n.Samples)/8000)
		if n.Samples == 0 {
			text = fmt.Sprintf("The file is complete: %d bytes.", n.Bytes)
		}
		return text
	case recorder.Empty:
		return "The file has no audio: " + cause(n) + "."
	case recorder.Interrupted:
		return "The file was not closed properly: " + cause(n) + "."
	case recorder.Missing:
		return "There is no file, though there should be: " + cause(n) + "."
	case recorder.Deleted:
		return "The file was removed."
	case recorder.Starting, recorder.Live, recorder.Paused, recorder.Closing:
	}
	return "The recording is " + string(n.State) + "."
}

// cause puts a cause into words; the detail is what the machine said.
func cause(n recorder.Note) string {
	text, ok := map[string]string{
		recorder.CauseHungUp:      "the call was over before there was audio",
		recorder.CauseTalkEnded:   "the talk was over before there was audio",
		recorder.CauseNoChannel:   "Asterisk did not know the channel any more",
		recorder.CauseNoManager:   "there was no connection to Asterisk's manager",
		recorder.CauseNoAnswer:    "Asterisk did not answer",
		recorder.CauseRefused:     "Asterisk refused",
		recorder.CauseTimeout:     "Asterisk did not answer in time",
		recorder.CauseNoFile:      "Asterisk said yes and made no file",
		recorder.CauseNoGrowth:    "audio arrived and the file stayed empty",
		recorder.CauseNoProof:     "nobody could say whether the file grew",
		recorder.CauseClosedEarly: "somebody else has ended the recorder",
		recorder.CauseSilent:      "no audio arrived",
		recorder.CauseNoAudio:     "the file was closed without audio",
		recorder.CauseHeaderUnset: "Asterisk ended before it closed the file",
		recorder.CauseUnreadable:  "the file cannot be read",
		recorder.CauseRestarted:   "Asterisk was restarted",
		recorder.CauseDaemonDown:  "callrecordd was not running or not connected",
		recorder.CauseReadOnly:    "the disk of the recordings was read-only",
		recorder.CauseNoSpace:     "the disk of the recordings was full",
		recorder.CausePermission:  "Asterisk may not write in the folder of the recordings",
		recorder.CauseNoDirectory: "the folder of the recordings was not there",
		recorder.CauseStalled:     "the disk of the recordings did not answer",
	}[n.Cause]
	switch {
	case !ok && n.Cause != "":
		text = n.Cause
	case !ok:
		text = "the cause is not known"
	}
	if n.Detail != "" {
		text += " (" + n.Detail + ")"
	}
	return text
}

// summary is one sentence or two for somebody in a hurry.
func summary(steps []Step) string {
	var decision, refused, ended, start *Step
	wanted := false
	for i := range steps {
		s := &steps[i]
		switch s.Kind {
		case recorder.EventDecision:
			decision = s
			if s.Outcome == "recorded" && start == nil {
				start = s
			}
		case recorder.EventOnDemand:
			wanted = true
			if start == nil {
				start = s
			}
		case recorder.EventRefused:
			refused = s
		case recorder.EventFinal:
			ended = s
		}
	}
	var out []string
	switch {
	case decision == nil && refused == nil && ended == nil && !wanted:
		return "Nothing was decided about this call: nobody talked with anybody, or it is from before callrecordd watched, or was brought in from elsewhere."
	case start != nil:
		out = append(out, start.Text)
	case decision != nil:
		out = append(out, decision.Text)
	}
	if refused != nil {
		out = append(out, refused.Text)
	}
	if ended != nil {
		out = append(out, ended.Text)
	}
	return strings.Join(out, " ")
}
