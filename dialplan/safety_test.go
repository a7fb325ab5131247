package dialplan

import (
	"regexp"
	"testing"
)

// The dialplan makes the same of a uniqueid; TestSafetyNet in internal/e2e shows
// that it does.
func TestSafetyUUID(t *testing.T) {
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$`)
	a, b := SafetyUUID("1795488521.10"), SafetyUUID("pbx1-1795488521.10")
	if !uuid.MatchString(a) || !uuid.MatchString(b) || a == b || a != SafetyUUID("1795488521.10") {
		t.Errorf("%s, %s", a, b)
	}
}

func TestLampClash(t *testing.T) {
	for exten, want := range map[string]bool{
		"*26": true, "*261001": true, "*26*42": true, "*261": false, "*26#1": false, "*27": false, "*2": false, "2001": false,
	} {
		if got := LampClash("*26", exten); got != want {
			t.Errorf("%s: %v", exten, got)
		}
	}
}
