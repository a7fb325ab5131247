package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/viper"
)

const (
	envPrefix = "CALLRECORDD"
	// maxFile bounds what is read: a path that names a recording or a device
	// by mistake gives a message and not an exhausted memory.
	maxFile = 1 << 20
	// maxShown bounds what a message quotes from the file.
	maxShown = 60
)

// Error is a configuration that cannot be used, with every reason at once.
type Error struct {
	File     string   // empty if there is none
	Problems []string // each names a key, what is wrong and what to do
}

// Error gives one problem on one line, several as a list.
func (e *Error) Error() string {
	where := "configuration"
	if e.File != "" {
		where += " " + e.File
	}
	if len(e.Problems) == 1 {
		return where + ": " + e.Problems[0]
	}
	return fmt.Sprintf("%s: %d problems:\n  - %s", where, len(e.Problems), strings.Join(e.Problems, "\n  - "))
}

// Load reads the file at path, lets variables of the environment such as
// CALLRECORDD_ASTERISK_ARI_URL override it, reads the passwords from their
// files and checks everything. An empty path means defaults and environment
// only. Keys that nobody knows are errors. What is wrong in the contents comes
// as one *Error.
func Load(path string) (Config, error) { return load(path, true) }

// LoadWithoutPasswords is Load for commands that do not speak to Asterisk: it
// neither requires the passwords nor reads their files, which whoever may use
// the control socket need not be allowed to read.
func LoadWithoutPasswords(path string) (Config, error) { return load(path, false) }

func load(path string, withPasswords bool) (Config, error) {
	v := viper.NewWithOptions(
		viper.KeyDelimiter(delimiter),
		viper.ExperimentalBindStruct(),
		viper.EnvKeyReplacer(strings.NewReplacer(delimiter, "_")),
	)
	v.SetEnvPrefix(envPrefix)
	v.AutomaticEnv()
	v.SetConfigType("yaml")
	var data []byte
	if path != "" {
		var err error
		if data, err = read(path); err != nil {
			return Config{}, err
		}
		if err := v.ReadConfig(bytes.NewReader(data)); err != nil {
			return Config{}, &Error{File: path, Problems: []string{yamlMessage(err)}}
		}
	}

	c := Default()
	unknown, misshapen := keyProblems(v, fields(&c))
	misshapen = append(misshapen, typeProblems(v, fields(&c))...)
	fault := func(problems []string) error {
		return &Error{File: path, Problems: withLines(string(data), problems)}
	}
	if len(misshapen) > 0 { // nothing more can be said about such values
		return Config{}, fault(append(unknown, misshapen...))
	}
	decode := v.UnmarshalExact
	if len(unknown) > 0 { // go on, so that all problems are told together
		decode = v.Unmarshal
	}
	if err := decode(&c); err != nil {
		return Config{}, fault(append(unknown, err.Error()))
	}
	for _, f := range fields(&c) {
		if list, ok := reflect.TypeAssert[[]string](f.value); ok {
			for i := range list { // "a, b" in a variable
				list[i] = strings.TrimSpace(list[i])
			}
		}
	}

	problems := unknown
	if withPasswords {
		problems = append(problems, readSecrets(&c)...)
	}
	problems = append(problems, c.problems(withPasswords)...)
	if len(problems) > 0 {
		return Config{}, fault(problems)
	}
	return c, nil
}

func read(path string) ([]byte, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read configuration: %w (`callrecordd config sample` prints one to start from)", err)
	}
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	defer func() { _ = file.Close() }() // opened for reading
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("read configuration %s: larger than %d bytes; this is no configuration file", path, maxFile)
	}
	return data, nil
}

// yamlMessage is the parser's text without what viper and yaml put before it.
func yamlMessage(err error) string {
	if parse, ok := errors.AsType[viper.ConfigParseError](err); ok {
		err = parse.Unwrap()
	}
	text := strings.Join(strings.Fields(err.Error()), " ")
	if strings.Contains(text, "cannot unmarshal") { // it would quote the file
		return "must consist of sections such as asterisk:, with keys indented below them"
	}
	text = strings.TrimPrefix(text, "yaml: ")
	return "not valid YAML: " + strings.TrimPrefix(text, "unmarshal errors: ")
}

// keyProblems finds keys that do not exist, and texts where a section belongs.
func keyProblems(v *viper.Viper, known []field) (unknown, misshapen []string) {
	byPath := map[string]bool{}
	sections := map[string]bool{}
	for _, f := range known {
		byPath[f.path()] = true
		sections[f.section] = true
	}
	keys := v.AllKeys()
	slices.Sort(keys) // viper's order is that of a map
	for _, path := range keys {
		switch {
		case byPath[path]:
		case sections[path]:
			if v.Get(path) != nil { // a section without keys is an empty one
				misshapen = append(misshapen, path+": must be a section; write its keys indented below it")
			}
		default:
			unknown = append(unknown, unknownKey(path, known))
		}
	}
	return unknown, misshapen
}

func unknownKey(path string, known []field) string {
	key := strings.ReplaceAll(path, delimiter, ".")
	for _, f := range known {
		if f.key() == key {
			return fmt.Sprintf("%s: keys are not joined by dots; write %s indented below %s", key, f.name, f.section)
		}
	}
	if near := nearest(key, known); near != "" {
		return fmt.Sprintf("%s: unknown key; did you mean %s?", shown(key), near)
	}
	return shown(key) + ": unknown key; the sample file lists all keys"
}

// typeProblems finds values of the wrong type. viper would convert some: a
// password 0123 would become 83, a time without unit nanoseconds.
func typeProblems(v *viper.Viper, known []field) []string {
	var problems []string
	for _, f := range known {
		raw := v.Get(f.path())
		if raw == nil {
			continue
		}
		if text := typeProblem(f, raw); text != "" {
			problems = append(problems, f.key()+": "+text)
		}
	}
	return problems
}

func typeProblem(f field, raw any) string {
	text, isText := raw.(string)
	switch fallback := f.value.Interface().(type) {
	case Secret:
		if !isText {
			return "is not text; put it in quotes"
		}
	case time.Duration:
		if _, err := time.ParseDuration(text); err != nil {
			return fmt.Sprintf("%s is not a time; write a number with its unit, such as %s", shown(raw), fallback)
		}
	case int:
		if _, err := strconv.Atoi(fmt.Sprint(raw)); err != nil {
			return fmt.Sprintf("%s is not a whole number; write one without quotes, such as %d", shown(raw), fallback)
		}
	case bool:
		// A variable's value is a text; viper would also take 1 and T.
		if _, isBool := raw.(bool); !isBool && text != "true" && text != "false" {
			return shown(raw) + " is neither true nor false"
		}
	case []string:
		list, isList := raw.([]any)
		if isText {
			return ""
		}
		if !isList {
			return shown(raw) + " is not a list; write [a, b]"
		}
		for _, entry := range list {
			if _, ok := entry.(string); !ok {
				return shown(entry) + " in the list is not text; put it in quotes"
			}
		}
	default:
		if !isText {
			return shown(raw) + " is not text; put it in quotes"
		}
	}
	return ""
}

// readSecrets fills each secret that has a file.
func readSecrets(c *Config) []string {
	var problems []string
	all := fields(c)
	files := map[string]field{}
	for _, f := range all {
		files[f.key()] = f
	}
	for _, f := range all {
		twin, ok := files[f.key()+fileSuffix]
		secret, isSecret := reflect.TypeAssert[Secret](f.value)
		if !isSecret || !ok || twin.value.String() == "" {
			continue
		}
		if secret != "" {
			problems = append(problems, fmt.Sprintf("%s: %s is set as well; remove one of the two", f.key(), twin.key()))
			continue
		}
		path, err := credential(twin.value.String())
		if err != nil {
			problems = append(problems, twin.key()+": "+err.Error())
			continue
		}
		if !filepath.IsAbs(path) {
			continue // told by Validate; relative to what would it be?
		}
		data, err := read(path)
		if err != nil {
			problems = append(problems, fmt.Sprintf("%s: %v", twin.key(), errors.Unwrap(err)))
			continue
		}
		text := strings.TrimRight(string(data), "\r\n")
		if text == "" {
			problems = append(problems, fmt.Sprintf("%s: %s is empty; write the password into it", twin.key(), twin.value))
			continue
		}
		f.value.SetString(text)
	}
	return problems
}

// shown quotes a value from the file for a message: on one line and bounded.
func shown(value any) string {
	switch value.(type) {
	case map[string]any, map[any]any:
		return "a section"
	case []any:
		return "a list"
	}
	text := fmt.Sprint(value)
	if runes := []rune(text); len(runes) > maxShown {
		text = string(runes[:maxShown]) + "…"
	}
	if quoted := strconv.Quote(text); text == "" || quoted != `"`+text+`"` || strings.Contains(text, " ") {
		return quoted
	}
	return text
}
