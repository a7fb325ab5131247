package directory

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

// Announcements are the sounds that tell the parties of a tenant's recordings
// that one begins or ends (docs/announcements.md). Empty ones are none.
//
// A sound is named as Asterisk's Playback wants it, without the ending of its
// file: below Asterisk's own sounds, or with the whole path below the tenant's
// folder. Asterisk would play any file that it can read to whoever is called, so
// nothing else is accepted, and no recording: whoever may choose a sound need
// not be allowed to hear those.
type Announcements struct {
	Start string `json:"start,omitempty"`
	Stop  string `json:"stop,omitempty"`
}

// recordingsFolder is that of each tenant's recordings (design 8).
const recordingsFolder = "monitor"

// soundPattern leaves no room for another scheme, such as http:, nor for the
// comma that separates sounds in ARI.
var soundPattern = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$`)

func (a Announcements) check(root, tenant string) error {
	return firstError(checkSound("recording_start", a.Start, root, tenant), checkSound("recording_stop", a.Stop, root, tenant))
}

// checkSound checks the name of a sound; an empty one is none.
func checkSound(field, v, root, tenant string) error {
	if v == "" {
		return nil
	}
	if err := text(field, v, false); err != nil {
		return err
	}
	name := v
	if strings.HasPrefix(v, "/") {
		var own bool
		if name, own = strings.CutPrefix(v, path.Join(root, tenant)+"/"); !own || root == "" {
			return &ErrInvalid{field, fmt.Sprintf("%q is neither the name of one of Asterisk's sounds nor below the tenant's own folder", v)}
		}
	}
	if err := matching(field, name, soundPattern, "a sound like custom/recorded"); err != nil {
		return err
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == recordingsFolder {
			return &ErrInvalid{field, fmt.Sprintf("%q is where recordings are", v)}
		}
	}
	return nil
}
