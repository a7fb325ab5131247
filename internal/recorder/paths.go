package recorder

import (
	"path"
	"strings"
)

// ValidUUID says whether s is a lower-case uuid in its usual form. Nothing
// else ever becomes part of a path or of an option of MixMonitor (facts 1).
func ValidUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case c >= '0' && c <= '9' || c >= 'a' && c <= 'f':
		default:
			return false
		}
	}
	return true
}

// Variable is the channel variable that carries the recorder's id.
func (r Recording) Variable() string { return "CALLRECORD_" + strings.ReplaceAll(r.UUID, "-", "_") }

// Path is the file under the root of the tenants, with slashes (design 8).
func (r Recording) Path() string { return r.TenantUUID + "/monitor/" + r.UUID + ".wav" }

// SpareDir is the folder, in that of a tenant, with what a repair of a file that
// nobody closed has beside it for a while: a copy, or the original.
const SpareDir = "repair"

// SparePath is the file in SpareDir for the recording with the path.
func SparePath(recording string) string {
	monitor, name := path.Split(recording)
	return path.Join(path.Dir(path.Clean(monitor)), SpareDir, name)
}
