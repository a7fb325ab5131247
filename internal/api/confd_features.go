package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"unicode/utf8"

	"callrecordd/dialplan"
	"callrecordd/internal/directory"
)

// confFeature is a feature extension. It has no tenant: *26 is everybody's.
type confFeature struct {
	UUID    string `json:"uuid"`
	Exten   string `json:"exten"`
	Feature string `json:"feature"`
	Enabled bool   `json:"enabled"`
}

func (s *Server) confFeatures() *resource[directory.Feature] {
	rs := &resource[directory.Feature]{
		server: s, path: "/extensions/features", word: "extensions.features", category: "FeatureExtension", keys: "uuid", master: true,
		entity: func(f *directory.Feature) entity { return entity{UUID: &f.UUID} },
		list:   func(c directory.Contents) []directory.Feature { return c.Features },
		same:   func(a, b directory.Feature) bool { return a == b },
		body:   func(f directory.Feature) any { return confFeature{f.UUID, f.Exten, f.Name, f.Enabled} },
		columns: []column[directory.Feature]{
			{name: "exten", text: func(f directory.Feature) string { return f.Exten }, searched: true},
			{name: "feature", text: func(f directory.Feature) string { return f.Name }, searched: true},
			{name: "uuid", text: func(f directory.Feature) string { return f.UUID }},
		},
		apply: func(b *confBody, f *directory.Feature) {
			b.text("exten", &f.Exten, false)
			b.lenient("enabled", &f.Enabled)
		},
		edit: Directory.EditFeature,
	}
	return rs
}

// ToggleKey is the code that Asterisk listens to during calls, *3 by default.
type ToggleKey interface {
	ToggleCode(ctx context.Context) (string, error)
	// SetToggleCode has Asterisk listen to another one. An error that wraps
	// ErrToggleFixed says that it cannot be chosen here.
	SetToggleCode(ctx context.Context, code, actor string) error
}

// ErrToggleFixed says that the code is chosen elsewhere.
var ErrToggleFixed = errors.New("the code is fixed by the configuration")

// toggleRecord is Wazo's name of the feature.
const toggleRecord = "togglerecord"

// confToggle are the features of calls, by name: code, whose press, and what it
// does, separated by commas.
type confToggle struct {
	Options map[string]string `json:"options"`
}

// toggleValue is the feature as it stands in features.conf.
func toggleValue(code string) string {
	return code + ",self,UserEvent(" + dialplan.ToggleEvent + ")"
}

func (s *Server) toggleKeyRoutes() []route {
	const path, acl = "/asterisk/features/applicationmap", "confd.asterisk.features.applicationmap."
	return []route{
		{
			service: Confd, method: "GET", path: path, acl: acl + "get", master: true,
			summary: "The code that switches recording during calls",
			answers: []answerRow{{status: http.StatusOK, about: "The code", body: confToggle{}}},
			handle:  s.getToggleKey,
		},
		{
			service: Confd, method: "PUT", path: path, acl: acl + "update", master: true,
			summary: "Choose the code that switches recording during calls", body: confToggle{},
			answers: []answerRow{{status: http.StatusNoContent, about: "Asterisk has been told"}},
			handle:  s.putToggleKey,
		},
	}
}

func (s *Server) getToggleKey(w http.ResponseWriter, r *http.Request, _ request) error {
	code, err := s.toggle.ToggleCode(r.Context())
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, confToggle{map[string]string{toggleRecord: toggleValue(code)}})
	return nil
}

// maxOption is the length of a value at most (recording-rules 5.6).
const maxOption = 255

func (s *Server) putToggleKey(w http.ResponseWriter, r *http.Request, rc request) error {
	b, err := readConf(w, r)
	if err != nil {
		return err
	}
	code, err := readToggle(b)
	if err != nil {
		return err
	}
	err = s.toggle.SetToggleCode(r.Context(), code, rc.token.AuthID)
	if errors.Is(err, ErrToggleFixed) {
		return &confError{http.StatusBadRequest, []string{"Resource Error - " + err.Error()}}
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// readToggle takes the code alone from what is sent: what its press does is not
// the client's to choose, for it would run in Asterisk.
func readToggle(b *confBody) (string, error) {
	var options map[string]json.RawMessage
	if raw, ok := b.values["options"]; !ok || json.Unmarshal(raw, &options) != nil {
		return "", inputError("options", "Not a valid mapping type.")
	}
	var value string
	raw, ok := options[toggleRecord]
	switch {
	case !ok:
		return "", inputError("options", "The following option are missing: "+toggleRecord)
	case json.Unmarshal(raw, &value) != nil || string(raw) == "null":
		return "", inputError("options", "Not a valid string.")
	case utf8.RuneCountInString(value) > maxOption:
		return "", inputError("options", "Longer than maximum length 255.")
	case len(options) > 1:
		return "", inputError("options", "Only "+toggleRecord+" can be set here.")
	}
	code, _, _ := strings.Cut(value, ",")
	if value != toggleValue(code) {
		return "", inputError("options", "Must be a code, followed by "+toggleValue("")+".")
	}
	if err := dialplan.CheckCode(code); err != nil {
		return "", inputError("options", err.Error())
	}
	return code, nil
}
