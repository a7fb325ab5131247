package recorder

// CauseText says a cause in words for people, as a part of a sentence. It is false
// for what is none of the Cause constants.
func CauseText(cause string) (text string, ok bool) {
	text, ok = map[string]string{
		CauseMuteFailed:   "a pause or its end could not be carried out",
		CauseHungUp:       "the call was over before there was audio",
		CauseTalkEnded:    "the talk was over before there was audio",
		CauseNoChannel:    "Asterisk did not know the channel any more",
		CauseNoManager:    "there was no connection to Asterisk's manager",
		CauseNoAnswer:     "Asterisk did not answer",
		CauseRefused:      "Asterisk refused",
		CauseTimeout:      "Asterisk did not answer in time",
		CauseNoFile:       "Asterisk said yes and made no file",
		CauseNoGrowth:     "audio arrived and the file stayed empty",
		CauseNoProof:      "nobody could say whether the file grew",
		CauseClosedEarly:  "somebody else has ended the recorder",
		CauseSilent:       "no audio arrived",
		CauseNoAudio:      "the file was closed without audio",
		CauseHeaderUnset:  "Asterisk ended before it closed the file",
		CauseRepaired:     "Asterisk ended before it closed the file, whose header was repaired since",
		CauseHeaderLost:   "the disk of the recordings was full when the file was begun, whose header was written since",
		CauseTooLong:      "the file has more audio than time",
		CauseUnreadable:   "the file cannot be read",
		CauseFileGone:     "the file was deleted, renamed or replaced while it was written",
		CauseRecorderGone: "the recorder was gone",
		CauseRestarted:    "Asterisk was restarted",
		CauseDaemonDown:   "callrecordd was not running or not connected",
		CauseReadOnly:     "the disk of the recordings was read-only",
		CauseNoSpace:      "the disk of the recordings was full",
		CausePermission:   "Asterisk may not write in the folder of the recordings",
		CauseNoDirectory:  "the folder of the recordings was not there",
		CauseStalled:      "the disk of the recordings did not answer",
	}[cause]
	return text, ok
}
