package config

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// width is where comments of the sample are broken.
const width = 78

// Sample returns the documented configuration file with every default.
func Sample() string {
	c := Default()
	var b strings.Builder
	comment(&b, "", "Configuration of callrecordd. This text is generated from the package config; "+
		"every value shown is the default, and a key that is left out has it too. Only the two passwords must be set. "+
		"Unknown keys are errors.")
	b.WriteString("#\n")
	comment(&b, "", "A variable of the environment overrides a key: "+fields(&c)[0].env()+" is "+fields(&c)[0].key()+
		". Entries of a list are separated by commas there.")
	b.WriteString("#\n")
	comment(&b, "", "A change takes a restart, or a reload (systemctl reload callrecordd, SIGHUP) where that is said. "+
		"Recordings in progress outlive both.")
	render(&b, &c, true)
	return b.String()
}

// YAML returns all values in force as a configuration file without comments
// and without passwords.
func (c Config) YAML() string {
	c = c.Redacted()
	var b strings.Builder
	render(&b, &c, false)
	return b.String()
}

func render(b *strings.Builder, c *Config, documented bool) {
	section := ""
	for _, f := range fields(c) {
		if f.section != section {
			section = f.section
			if documented {
				b.WriteString("\n")
				comment(b, "", f.sectionDoc)
			}
			b.WriteString(section + ":\n")
		}
		if documented {
			doc := f.doc
			if f.live {
				doc += " A reload is enough."
			}
			comment(b, "  ", doc)
		}
		if documented && f.example != "" && f.value.IsZero() {
			fmt.Fprintf(b, "  # %s: %s\n", f.name, f.example)
			continue
		}
		fmt.Fprintf(b, "  %s: %s\n", f.name, scalar(f.value.Interface()))
	}
}

// comment writes text as comment lines that end before width.
func comment(b *strings.Builder, indent, text string) {
	line := indent + "#"
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > width && line != indent+"#" {
			b.WriteString(line + "\n")
			line = indent + "#"
		}
		line += " " + word
	}
	b.WriteString(line + "\n")
}

// scalar writes a value in YAML.
func scalar(value any) string {
	switch v := value.(type) {
	case time.Duration:
		return v.String()
	case int:
		return strconv.Itoa(v)
	case bool:
		return strconv.FormatBool(v)
	case []string:
		entries := make([]string, len(v))
		for i, entry := range v {
			entries[i] = scalar(entry)
		}
		return "[" + strings.Join(entries, ", ") + "]"
	case Secret:
		return strconv.Quote(v.String())
	case string:
		plain := regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9_./-]*$`)
		words := []string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
		if plain.MatchString(v) && !slices.Contains(words, strings.ToLower(v)) {
			return v
		}
		return strconv.Quote(v) // Go's escapes of valid UTF-8 are YAML's too
	default:
		panic(fmt.Sprintf("config: no YAML for a %T; add it beside the new field's type", value))
	}
}
