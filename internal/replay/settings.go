package replay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"callrecordd/dialplan"
)

// All stands for everything of a kind that is not named.
const All = "*"

// Settings are rules other than those that were in force. What they do not name
// stays as it was at the decision. As people write them, entries go by any word
// that means one; Resolve makes uuids of users, groups and queues of them, and
// endpoints of trunks.
type Settings struct {
	Users  map[string]User  `json:"users,omitempty" yaml:"users"`
	Groups map[string]Via   `json:"groups,omitempty" yaml:"groups"`
	Queues map[string]Via   `json:"queues,omitempty" yaml:"queues"`
	Trunks map[string]Trunk `json:"trunks,omitempty" yaml:"trunks"`
}

// User are a user's rules and permission, by the names of dialplan.Flags.
type User struct {
	OutgoingInternal *bool `json:"outgoing_internal,omitempty" yaml:"outgoing_internal"`
	OutgoingExternal *bool `json:"outgoing_external,omitempty" yaml:"outgoing_external"`
	IncomingInternal *bool `json:"incoming_internal,omitempty" yaml:"incoming_internal"`
	IncomingExternal *bool `json:"incoming_external,omitempty" yaml:"incoming_external"`
	OnDemand         *bool `json:"on_demand,omitempty" yaml:"on_demand"`
}

// Via is what a group or a queue says of those that it leads to.
type Via struct {
	AutoRecord *dialplan.AutoRecord `json:"auto_record,omitempty" yaml:"auto_record"`
	OnDemand   *bool                `json:"on_demand,omitempty" yaml:"on_demand"`
}

// Trunk is what a trunk says of its calls.
type Trunk struct {
	AutoRecord *dialplan.AutoRecord `json:"auto_record,omitempty" yaml:"auto_record"`
}

// Read reads settings from JSON or YAML. What it does not know it refuses: a
// misspelt rule would silently change nothing.
func Read(data []byte) (s Settings, err error) {
	if json.Valid(data) { // YAML does not allow all of it, such as tabs
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.DisallowUnknownFields()
		err = oneOf(dec.Decode, &s)
	} else {
		dec := yaml.NewDecoder(bytes.NewReader(data))
		dec.KnownFields(true)
		err = oneOf(dec.Decode, &s)
	}
	if err == nil {
		err = s.check()
	}
	if err != nil {
		return Settings{}, fmt.Errorf("settings: %w", err)
	}
	return s, nil
}

// oneOf decodes the one document that there must be.
func oneOf(decode func(any) error, s *Settings) error {
	if err := decode(s); errors.Is(err, io.EOF) {
		return nil // check says that there is nothing
	} else if err != nil {
		return err
	}
	var more any
	if err := decode(&more); !errors.Is(err, io.EOF) {
		return errors.New("something follows the first document")
	}
	return nil
}

func (s Settings) check() error {
	if len(s.Users)+len(s.Groups)+len(s.Queues)+len(s.Trunks) == 0 {
		return errors.New("nothing is named; write users, groups, queues or trunks")
	}
	for kind, list := range map[string]map[string]Via{"group": s.Groups, "queue": s.Queues} {
		for name, v := range list {
			if err := checkAuto(kind, name, v.AutoRecord); err != nil {
				return err
			}
		}
	}
	for name, t := range s.Trunks {
		if err := checkAuto("trunk", name, t.AutoRecord); err != nil {
			return err
		}
	}
	return nil
}

func checkAuto(kind, name string, a *dialplan.AutoRecord) error {
	if a == nil || slices.Contains(dialplan.AutoRecords(), *a) {
		return nil
	}
	var choices []string
	for _, c := range dialplan.AutoRecords() {
		choices = append(choices, string(c))
	}
	return fmt.Errorf("%s %q: auto_record is %q, and must be one of %s", kind, name, *a, strings.Join(choices, ", "))
}

// Finders say which entry a word means.
type Finders struct {
	User, Group, Queue, Trunk func(word string) (key string, err error)
}

// Resolve replaces words by keys. Two words for one entry are an error.
func (s Settings) Resolve(f Finders) (out Settings, err error) {
	out.Users, err = resolve(s.Users, "user", f.User)
	for _, next := range []func() error{
		func() (err error) { out.Groups, err = resolve(s.Groups, "group", f.Group); return err },
		func() (err error) { out.Queues, err = resolve(s.Queues, "queue", f.Queue); return err },
		func() (err error) { out.Trunks, err = resolve(s.Trunks, "trunk", f.Trunk); return err },
	} {
		err = errors.Join(err, next())
	}
	return out, err
}

func resolve[T any](list map[string]T, kind string, find func(string) (string, error)) (map[string]T, error) {
	out := make(map[string]T, len(list))
	for word, v := range list {
		key := word
		if word != All {
			var err error
			if key, err = find(word); err != nil {
				return nil, err
			}
		}
		if _, twice := out[key]; twice {
			return nil, fmt.Errorf("%s %q is named twice, by different words", kind, word)
		}
		out[key] = v
	}
	return out, nil
}

// Apply gives a party the settings, which must have been resolved: first those
// for all of its kind, then its own.
func (s Settings) Apply(p dialplan.Party) dialplan.Party {
	for _, u := range entries(s.Users, p.UserUUID) {
		set(&p.Flags.OutgoingInternal, u.OutgoingInternal)
		set(&p.Flags.OutgoingExternal, u.OutgoingExternal)
		set(&p.Flags.IncomingInternal, u.IncomingInternal)
		set(&p.Flags.IncomingExternal, u.IncomingExternal)
		set(&p.Flags.OnDemand, u.OnDemand)
	}
	for _, q := range entries(s.Queues, p.Queue) {
		set(&p.QueueAuto, q.AutoRecord)
		set(&p.QueueToggle, q.OnDemand)
	}
	for _, g := range entries(s.Groups, p.Group) {
		set(&p.GroupAuto, g.AutoRecord)
		set(&p.GroupToggle, g.OnDemand)
	}
	if p.Kind == dialplan.KindTrunk {
		for _, t := range entries(s.Trunks, p.Endpoint) {
			set(&p.TrunkAuto, t.AutoRecord)
		}
	}
	return p
}

// entries are those that count for a key, none for an empty one.
func entries[T any](list map[string]T, key string) (out []T) {
	if key == "" {
		return nil
	}
	for _, k := range []string{All, key} {
		if v, ok := list[k]; ok {
			out = append(out, v)
		}
	}
	return out
}

func set[T any](to *T, v *T) {
	if v != nil {
		*to = *v
	}
}
