package app

import (
	"regexp"
	"strconv"
)

// release finds the numbers of a version, such as 22.4.1 or certified/18.9-cert2.
var release = regexp.MustCompile(`(\d+)\.(\d+)`)

// mutesByID says whether an Asterisk of that version mutes the recorder that it
// is told, and not the channel's first one: since 18.18 and 20.3
// (asterisk-facts 1). Trying it could mute somebody else's recorder. Of a
// version that cannot be read the safe thing is believed.
func mutesByID(version string) bool {
	found := release.FindStringSubmatch(version)
	if found == nil {
		return false
	}
	major, _ := strconv.Atoi(found[1]) // the expression admits digits only
	minor, _ := strconv.Atoi(found[2])
	switch major {
	case 18:
		return minor >= 18
	case 20:
		return minor >= 3
	}
	return major > 20
}

// mutes takes up what the Asterisk of that version can do.
func (r *reducer) mutes(version string) (noMute bool) {
	noMute = !mutesByID(version)
	lacking := ""
	if noMute {
		lacking = "Asterisk " + version + " cannot mute one recorder alone: a pause stops it, and its end appends to the file"
	}
	if before := r.pauses.Swap(&lacking); noMute && (before == nil || *before != lacking) && !r.config.Cut {
		r.log.Warn("pauses cut the file", "detail", lacking)
	}
	return noMute
}
