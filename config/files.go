package config

import (
	"path/filepath"
	"reflect"
	"strings"
)

// File is one that the configuration names.
type File struct {
	Key    string
	Path   string
	Secret bool
}

// Files are those that the configuration names and that a restored system would
// need, if they have a path: what comes as a credential of the service has none.
func (c Config) Files() []File {
	var out []File
	all := fields(&c)
	secret := map[string]bool{"http.certificate_key": true, "ledger.key": true}
	for _, f := range all {
		if _, ok := reflect.TypeAssert[Secret](f.value); ok {
			secret[f.key()+fileSuffix] = true
		}
	}
	for _, f := range all {
		path, isText := reflect.TypeAssert[string](f.value)
		named := strings.HasSuffix(f.name, fileSuffix) || strings.HasPrefix(f.name, "certificate") || f.key() == "ledger.key"
		if isText && named && filepath.IsAbs(path) {
			out = append(out, File{Key: f.key(), Path: path, Secret: secret[f.key()]})
		}
	}
	return out
}

// HasSecrets says whether a secret stands in the configuration itself.
func (c Config) HasSecrets() bool {
	for _, f := range fields(&c) {
		if s, ok := reflect.TypeAssert[Secret](f.value); ok && s != "" {
			return true
		}
	}
	return false
}
