package config

import (
	"reflect"
	"slices"
)

// Reload returns what is in force after next was read while c was: the values
// of next for the settings that can change while the daemon runs, those of c
// for all others. changed are the keys with another value than before, waiting
// those of next that need a restart.
func (c Config) Reload(next Config) (now Config, changed, waiting []string) {
	now = c
	now.Asterisk.Technologies = slices.Clone(c.Asterisk.Technologies)
	now.HTTP.Listen = slices.Clone(c.HTTP.Listen)
	wanted := fields(&next)
	for i, f := range fields(&now) {
		value := wanted[i].value
		switch {
		case reflect.DeepEqual(f.value.Interface(), value.Interface()):
		case f.live:
			f.value.Set(value)
			changed = append(changed, f.key())
		default:
			waiting = append(waiting, f.key())
		}
	}
	return now, changed, waiting
}
