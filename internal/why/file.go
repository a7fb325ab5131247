package why

import (
	"encoding/json"
	"fmt"

	"callrecordd/dialplan"
	"callrecordd/internal/recorder"
)

// plain are events that need no data to be explained.
func plain(kind string) (string, bool) {
	text, ok := map[string]string{
		recorder.EventStarted:     "Asterisk has started the recorder.",
		recorder.EventProved:      "The file exists and grows.",
		recorder.EventGap:         "This recording goes on where another one broke off or could not begin; what was said between is on no file.",
		recorder.EventSilent:      "No audio arrives at the recorder.",
		recorder.EventRepaired:    "The file, which nobody had closed, was given a right header; its audio is the same, byte by byte.",
		recorder.EventMoved:       "The recorder has moved to another channel with the call.",
		recorder.EventMuteFailed:  "A pause, or the end of one, could not be carried out.",
		recorder.EventStopFailed:  "The recorder could not be stopped and is tried again.",
		"recording.delete_begun":  "The removal of the file has begun.",
		"recording.delete_failed": "The file could not be removed and is still there.",
		"cdr.merged":              "Two records turned out to be the same call.",
	}[kind]
	return text, ok
}

// aboutFile are the events whose data is a recorder.Note worth telling.
func aboutFile(kind string) bool {
	switch kind {
	case recorder.EventStartFailed, recorder.EventBroken, recorder.EventClosing, recorder.EventLate, recorder.EventFinal, recorder.EventAdopted, eventNetUnknown:
		return true
	}
	return false
}

// fileRemoved says that a recording was removed, by hand or because it was too old.
const fileRemoved = "recording.deleted"

// removed says so, also of a recording that never had a file.
func removed(data json.RawMessage) string {
	var d struct {
		Was recorder.State `json:"was"`
	}
	if json.Unmarshal(data, &d) == nil && d.Was == recorder.Missing {
		return "The recording, which had no file, was removed."
	}
	return "The file was removed."
}

// eventNetUnknown says that the files of the safety net could not be looked at.
const eventNetUnknown = "safety_net_unknown"

// file explains what became of a file.
func file(kind string, n recorder.Note) Step {
	switch {
	case kind == recorder.EventStartFailed:
		return Step{Outcome: Failed, Text: "The recorder could not be started: " + cause(n) + "."}
	case kind == recorder.EventLate:
		return Step{Text: "The recording began late: " + cause(n) + "."}
	case kind == recorder.EventBroken:
		return Step{Outcome: Failed, Text: "The recording broke off in the middle of the call: " + cause(n) + "."}
	case kind == recorder.EventClosing:
		return Step{Text: "The recording ends: " + closing(n.Why) + "."}
	case kind == recorder.EventAdopted && n.Why == string(dialplan.SafetyNetMade):
		return Step{Rule: dialplan.SafetyNetMade, Text: "callrecordd was away, and Asterisk recorded the call by itself (the safety net)."}
	case kind == recorder.EventAdopted:
		return Step{Text: "The recorder was found running after nobody had watched it for a time."}
	case kind == eventNetUnknown:
		return Step{Text: "callrecordd was away, and whether Asterisk recorded the call by itself is not known: " + n.Detail + "."}
	}
	return Step{Outcome: Outcome(n.State), Text: final(n)}
}

// closing says why a recorder was ended.
func closing(why string) string {
	text, ok := map[string]string{
		string(dialplan.NoneFlagsOff): "nobody asks for it any more",
		string(dialplan.ClaimantLeft): "the party on whose channel the recorder sat has left the talk",
		recorder.CauseTalkEnded:       "the talk is over",
		recorder.CauseHungUp:          "the call is over",
		"no_talk":                     "nobody talks there any more",
		"file_closed":                 "the file was closed",
		recorder.EventBroken:          "it broke off",
		"start_failed":                "its start has failed",
		"renew_failed":                "a new recorder that was to go on with the file could not be started",
		"recorded":                    "another recording has taken its place",
		recorder.CauseMuteFailed:      "a pause could not be carried out otherwise",
		recorder.CauseRestarted:       "Asterisk was restarted",
		recorder.CauseDaemonDown:      "callrecordd was not running or not connected",
	}[why]
	switch {
	case ok:
		return text
	case why == "":
		return "the cause is not known"
	}
	return why
}

func final(n recorder.Note) string {
	switch n.State {
	case recorder.Ready:
		if n.Cause != "" {
			return fmt.Sprintf("The file is there, %d bytes, and lacks a part: %s.", n.Bytes, cause(n))
		}
		return fmt.Sprintf("The file is complete: %d bytes.", n.Bytes)
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
	text, ok := recorder.CauseText(n.Cause)
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
