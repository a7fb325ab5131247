package config

import (
	"reflect"
	"strings"
)

const (
	// delimiter separates section and name inside viper. It is not the dot,
	// because viper would then split names that contain one.
	delimiter = "::"
	tagKey    = "mapstructure"
	// fileSuffix makes the key of a secret that of its twin.
	fileSuffix = "_file"
)

// field is one key of the file, bound to its place in a Config.
type field struct {
	section, sectionDoc string
	name, doc           string
	example             string // shown as a comment in the sample
	live                bool   // a reload puts it into force
	value               reflect.Value
}

// key is how messages and people name it.
func (f field) key() string { return f.section + "." + f.name }

// path is how viper names it.
func (f field) path() string { return f.section + delimiter + f.name }

// env is the environment variable that overrides it.
func (f field) env() string {
	return envPrefix + "_" + strings.ToUpper(f.section+"_"+f.name)
}

// fields lists every key in the order of the structs. Config has exactly two
// levels: sections and keys.
func fields(c *Config) []field {
	var all []field
	root := reflect.ValueOf(c).Elem()
	for section, sub := range root.Fields() {
		for key, value := range sub.Fields() {
			all = append(all, field{
				section:    section.Tag.Get(tagKey),
				sectionDoc: section.Tag.Get("doc"),
				name:       key.Tag.Get(tagKey),
				doc:        key.Tag.Get("doc"),
				example:    key.Tag.Get("example"),
				live:       key.Tag.Get("live") != "",
				value:      value,
			})
		}
	}
	return all
}
