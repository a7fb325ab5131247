package setup

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"callrecordd/dialplan"
	"callrecordd/internal/asteriskconf"
)

// features adds the applicationmap line, if the code is free.
func (p *planner) features() {
	c := p.merged("features.conf")
	maps := c.Category("applicationmap")
	chosen := ""
	if f := p.o.FeaturesFile; f != "" {
		chosen = "\n; Another code, once one was chosen through the API: the daemon writes this file.\n#tryinclude \"" + dialplan.ToggleFile(f) + "\"\n"
	}
	if e, ok := maps.Last(dialplan.FeatureApplication); ok {
		code, rest, _ := strings.Cut(e.Value, ",")
		if strings.TrimSpace(code) != p.o.ToggleCode || !strings.Contains(rest, "UserEvent("+dialplan.ToggleEvent+")") {
			p.conflict(e.File, e.Line, fmt.Sprintf("there is another feature %s: %s", e.Name, e.Value), "remove this line")
		}
		p.own["features.conf"] = chosen // the line was made by hand
		return
	}
	p.clashes(c)
	p.own["features.conf"] = "; One line and DYNAMIC_FEATURES make " + p.o.ToggleCode + " work on calls; no dialplan is edited.\n" +
		header(c, "applicationmap") + dialplan.ToggleLine(p.o.ToggleCode) + chosen
}

// clashes finds who else listens to the same keys. A code that begins with
// another one is never reached, or makes it wait.
func (p *planner) clashes(c *asteriskconf.Config) {
	const choose = "change one of the two: --toggle-code chooses another code for callrecordd"
	see := func(e asteriskconf.Entry, code string) {
		switch {
		case code == "":
		case code == p.o.ToggleCode:
			p.conflict(e.File, e.Line, fmt.Sprintf("%s is %s already", code, e.Name), choose)
		case strings.HasPrefix(p.o.ToggleCode, code), strings.HasPrefix(code, p.o.ToggleCode):
			p.note(at(e), fmt.Sprintf("%s is %s; %s and %s begin alike, so that one of them may not be reached", code, e.Name, code, p.o.ToggleCode), choose)
		}
	}
	if k := c.Category("applicationmap"); k != nil {
		for _, e := range k.Entries {
			code, _, _ := strings.Cut(e.Value, ",")
			see(e, strings.TrimSpace(code))
		}
	}
	if k := c.Category("featuremap"); k != nil {
		for _, e := range k.Entries {
			see(e, e.Value)
		}
	}
	// Only while somebody transfers; *3 is Asterisk's own default.
	threeway, set := c.Category("general").Last("atxferthreeway")
	if set && threeway.Value == p.o.ToggleCode || !set && p.o.ToggleCode == "*3" {
		p.note("features.conf", p.o.ToggleCode+" is also atxferthreeway: whoever presses it during an attended transfer makes a "+
			"conference and no recording", "to have both, set atxferthreeway in [general] or choose --toggle-code")
	}
}

func (p *planner) extensions() {
	c := p.merged("extensions.conf")
	var b strings.Builder
	p.global(c, &b)
	for _, name := range p.o.Contexts {
		k := c.Category(name)
		if name == dialplan.FeaturesContext {
			continue
		}
		if k == nil {
			p.note("extensions.conf", "there is no context ["+name+"], where users dial", "if it is kept elsewhere, add to it: include => "+dialplan.FeaturesContext)
			continue
		}
		if !slices.ContainsFunc(k.All("include"), func(e asteriskconf.Entry) bool { return e.Value == dialplan.FeaturesContext }) {
			fmt.Fprintf(&b, "\n[%s](+)\ninclude => %s\n", k.Name, dialplan.FeaturesContext)
		}
	}
	if f := p.o.FeaturesFile; f != "" && !slices.Contains(c.Included, f) {
		fmt.Fprintf(&b, "\n; *26: the daemon writes this file.\n#tryinclude \"%s\"\n", f)
	}
	p.own["extensions.conf"] = b.String()
	p.hidden()
}

// global joins DYNAMIC_FEATURES with what is there: globals are set one after
// the other, and each may use the value before.
func (p *planner) global(c *asteriskconf.Config, b *strings.Builder) {
	before, set := c.Category("globals").Last("DYNAMIC_FEATURES")
	if p.o.UsersOnly || set && hasFeature(before.Value) {
		return
	}
	value := dialplan.FeatureApplication
	if set && before.Value != "" {
		value = "${DYNAMIC_FEATURES}#" + value
	}
	b.WriteString(header(c, "globals") + "DYNAMIC_FEATURES=" + value + "\n")
}

func hasFeature(value string) bool {
	return slices.Contains(strings.Split(value, "#"), dialplan.FeatureApplication)
}

var setsFeatures = regexp.MustCompile(`(?i)DYNAMIC_FEATURES\)?\s*=\s*([^),;]*)`)

// hidden finds channel variables that take the place of the global.
func (p *planner) hidden() {
	names := make([]string, 0, len(p.files))
	for name := range p.files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if path.Ext(name) != ".conf" {
			continue
		}
		for i, l := range asteriskconf.Parse(p.files[name]).Lines {
			if l.Kind != asteriskconf.Setting || l.Name == "DYNAMIC_FEATURES" {
				continue
			}
			m := setsFeatures.FindStringSubmatch(l.Value)
			if m == nil || hasFeature(m[1]) || strings.Contains(m[1], "${DYNAMIC_FEATURES}") {
				continue
			}
			p.note(where(name, i+1), "DYNAMIC_FEATURES of a channel hides the global one, so "+p.o.ToggleCode+" does nothing there",
				"write "+strings.TrimLeft(m[1]+"#", "#")+dialplan.FeatureApplication)
		}
	}
}

// pjsip sets DYNAMIC_FEATURES on the endpoints of users only.
func (p *planner) pjsip() {
	if !p.o.UsersOnly {
		return
	}
	c := p.merged("pjsip.conf")
	const variable = "DYNAMIC_FEATURES="
	var b strings.Builder
	for _, name := range p.o.Endpoints {
		k := endpoint(c, name)
		line := "set_var=" + variable + dialplan.FeatureApplication
		if k == nil {
			p.note("pjsip.conf", "there is no endpoint ["+name+"] here", "add where it is kept: "+line)
			continue
		}
		taken := false
		for _, e := range k.All("set_var") {
			if value, ok := strings.CutPrefix(e.Value, variable); ok {
				taken = true
				if !hasFeature(value) {
					p.note(at(e), "the endpoint ["+name+"] has other dynamic features", "write set_var="+variable+value+"#"+dialplan.FeatureApplication)
				}
			}
		}
		if !taken {
			fmt.Fprintf(&b, "[%s](+type=endpoint)\n%s\n", k.Name, line)
		}
	}
	p.own["pjsip.conf"] = b.String()
}

// endpoint finds the section of that name which is the endpoint: auth and aor
// usually bear the same name.
func endpoint(c *asteriskconf.Config, name string) *asteriskconf.Category {
	for _, k := range c.Categories {
		if kind, _ := k.Last("type"); !k.Template && k.Name == name && kind.Value == "endpoint" {
			return k
		}
	}
	return nil
}
