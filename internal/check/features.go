package check

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"callrecordd/ari/ami"
	"callrecordd/dialplan"
	"callrecordd/internal/asteriskconf"
)

// pjsip is what matters of an endpoint.
type pjsip struct {
	context, tenantID string
	features          string // its own DYNAMIC_FEATURES
	ownFeatures       bool
}

func hasFeature(value string) bool {
	return slices.Contains(strings.Split(value, "#"), dialplan.FeatureApplication)
}

// features checks the key for recording: the line in features.conf, who has it,
// and that nobody else has the same.
func (c *checker) features(ctx context.Context) {
	global, err := c.getvar(ctx, "DYNAMIC_FEATURES")
	if err != nil {
		return // told by connect
	}
	code := c.applicationMap(ctx)
	c.globalFeatures(global)
	c.hiddenFeatures(ctx)
	if code != "" {
		c.clashes(ctx, code)
	}
}

// applicationMap returns the keys as the file has them when Asterisk reads it.
// What it has read before nothing but its console tells: FEATUREMAP knows
// built-in features only.
func (c *checker) applicationMap(ctx context.Context) string {
	if !c.readsConfig {
		return "" // why not was told by rights
	}
	line := ""
	for _, e := range c.config(ctx, "features.conf").Category("applicationmap").All(dialplan.FeatureApplication) {
		line = e.Value
	}
	code, _, _ := strings.Cut(line, ",")
	code = strings.TrimSpace(code)
	if code == "" || !strings.Contains(line, "UserEvent("+dialplan.ToggleEvent+")") {
		c.add(Finding{
			ID: "features.applicationmap", What: "no key for recording is defined", Consequence: "recording by key during a call does nothing",
			File: "features.conf", Lines: []string{
				"[applicationmap](+)",
				fmt.Sprintf("%s => *3,self,UserEvent(%s)", dialplan.FeatureApplication, dialplan.ToggleEvent),
			}, Hint: setupHint + "; " + applied + "module reload features",
		})
		return ""
	}
	c.pass("%s is the key for recording during a call", code)
	return code
}

// globalFeatures sees that calls have the feature, all or those of users.
func (c *checker) globalFeatures(global string) {
	if hasFeature(global) {
		c.pass("DYNAMIC_FEATURES=%s", global)
		return
	}
	own := len(c.o.Lines) > 0
	for _, l := range c.o.Lines {
		own = own && hasFeature(c.endpoints[strings.TrimPrefix(l.Endpoint, "PJSIP/")].features)
	}
	if own {
		c.pass("DYNAMIC_FEATURES is set at the endpoints of all users")
		return
	}
	f := Finding{
		ID: "features.dynamic", What: "the global variable DYNAMIC_FEATURES is not set", File: "extensions.conf",
		Consequence: "recording by key during a call does nothing", Hint: setupHint + "; " + applied + "dialplan reload",
		Lines: []string{"[globals](+)", "DYNAMIC_FEATURES=" + dialplan.FeatureApplication},
	}
	if global != "" {
		f.What = fmt.Sprintf("the global variable DYNAMIC_FEATURES is %q, without %s", global, dialplan.FeatureApplication)
		f.Lines[1] = "DYNAMIC_FEATURES=" + global + "#" + dialplan.FeatureApplication
	}
	c.add(f)
}

var setsFeatures = regexp.MustCompile(`(?i)DYNAMIC_FEATURES\)?\s*=\s*([^),;]*)`)

// hiddenFeatures finds channel variables that take the place of the global.
func (c *checker) hiddenFeatures(ctx context.Context) {
	const consequence = "there recording by key does nothing: a channel's variable hides the global one"
	for _, name := range slices.Sorted(maps.Keys(c.endpoints)) {
		if e := c.endpoints[name]; e.ownFeatures && !hasFeature(e.features) {
			c.add(Finding{
				ID: "features.hidden", What: fmt.Sprintf("the endpoint %s sets DYNAMIC_FEATURES=%s", name, e.features), Consequence: consequence,
				File: "pjsip.conf", Lines: []string{
					"[" + name + "]",
					"set_var=DYNAMIC_FEATURES=" + strings.TrimPrefix(e.features+"#"+dialplan.FeatureApplication, "#"),
				}, Hint: "change its line to this, then: module reload res_pjsip.so",
			})
		}
	}
	for _, k := range c.config(ctx, "extensions.conf").Categories {
		if strings.EqualFold(k.Name, "globals") {
			continue
		}
		for _, e := range k.Entries {
			m := setsFeatures.FindStringSubmatch(e.Value)
			if m == nil || hasFeature(m[1]) || strings.Contains(m[1], "${DYNAMIC_FEATURES}") {
				continue
			}
			want := strings.Replace(m[0], m[1], strings.TrimPrefix(m[1]+"#"+dialplan.FeatureApplication, "#"), 1)
			c.add(Finding{
				ID: "features.hidden", What: fmt.Sprintf("context %s sets %s", k.Name, m[0]), Consequence: consequence,
				File: "extensions.conf", Lines: []string{e.Name + " => " + strings.Replace(e.Value, m[0], want, 1)},
				Hint: "change its line to this, then: dialplan reload",
			})
		}
	}
}

// clashes finds who else listens to the same keys.
func (c *checker) clashes(ctx context.Context, code string) {
	report := func(level Level, what, consequence string) {
		c.add(Finding{
			ID: "features.clash", Level: level, What: what, Consequence: consequence,
			File: "features.conf", Lines: []string{"[applicationmap]", fmt.Sprintf("%s => *5,self,UserEvent(%s)", dialplan.FeatureApplication, dialplan.ToggleEvent)},
			Hint: "change one of the two; callrecordd setup --write --toggle-code '*5' chooses *5 for callrecordd",
		})
	}
	const consequence = "only one of the two answers to these keys"
	others := map[string]string{}
	for _, name := range []string{"blindxfer", "atxfer", "disconnect", "parkcall", "automixmon"} {
		if v, err := c.getvar(ctx, "FEATUREMAP("+name+")"); err == nil {
			others[name] = v
		}
	}
	for _, e := range c.config(ctx, "features.conf").Category("featuremap").All("automon") { // up to 20, others warn when asked
		others[e.Name] = e.Value
	}
	if k := c.config(ctx, "features.conf").Category("applicationmap"); k != nil {
		for _, e := range k.Entries {
			if v, _, _ := strings.Cut(e.Value, ","); e.Name != dialplan.FeatureApplication {
				others[e.Name] = strings.TrimSpace(v)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(others)) {
		if others[name] == code {
			report(Fault, fmt.Sprintf("%s is also the feature %s", code, name), consequence)
		}
	}
	if v, err := c.getvar(ctx, "FEATURE(atxferthreeway)"); err == nil && v == code && c.threewaySet(ctx) {
		report(Warning, code+" is also atxferthreeway", "during an attended transfer these keys make a conference and no recording")
	}
}

// threewaySet is false for Asterisk's own default, about which nobody wants to
// hear at every check.
func (c *checker) threewaySet(ctx context.Context) bool {
	_, set := c.config(ctx, "features.conf").Category("general").Last("atxferthreeway")
	return set
}

// readEndpoints asks for every PJSIP endpoint.
func (c *checker) readEndpoints(ctx context.Context) {
	c.endpoints = map[string]pjsip{}
	if c.ami == nil {
		return
	}
	list, err := c.o.ARI.Endpoints(ctx)
	if err != nil {
		return
	}
	for _, e := range list {
		if e.Technology != "PJSIP" {
			continue
		}
		items, err := c.ami.List(ctx, ami.Action{Name: "PJSIPShowEndpoint", Fields: []ami.Field{{Key: "Endpoint", Value: e.Resource}}})
		if errors.Is(err, ami.ErrPermission) || errors.Is(err, ami.ErrUnknownAction) {
			return
		}
		for _, item := range items {
			if item.Get("Event") == "EndpointDetail" {
				c.endpoints[e.Resource] = endpoint(item)
			}
		}
	}
}

func endpoint(detail ami.Message) pjsip {
	p := pjsip{context: detail.Get("Context"), tenantID: detail.Get("Tenantid")}
	for _, f := range detail {
		// set_var comes under different names: as SetVar, or as the variable.
		value, ok := f.Value, strings.EqualFold(f.Key, "DYNAMIC_FEATURES")
		if strings.EqualFold(f.Key, "SetVar") {
			for part := range strings.SplitSeq(f.Value, ",") {
				if v, found := strings.CutPrefix(strings.TrimSpace(part), "DYNAMIC_FEATURES="); found {
					value, ok = v, true
				}
			}
		}
		if ok {
			p.features, p.ownFeatures = value, true
		}
	}
	return p
}

// directory compares the directory with the endpoints.
func (c *checker) directory(ctx context.Context) {
	if !c.o.Directory || c.ami == nil || len(c.endpoints) == 0 {
		return
	}
	known := map[string]bool{}
	for _, l := range c.o.Lines {
		known[l.Endpoint] = true
	}
	for _, name := range c.o.Others {
		known[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(c.endpoints)) {
		if !known["PJSIP/"+name] {
			c.add(Finding{
				ID: "directory.unknown", Level: Warning, What: "the directory does not know the endpoint PJSIP/" + name,
				Consequence: "its calls count as external and belong to nobody", Hint: "callrecordd directory import, or callrecordd trunk create, device create",
			})
		}
	}
	c.contexts(ctx)
	for _, l := range c.o.Lines {
		e, ok := c.endpoints[strings.TrimPrefix(l.Endpoint, "PJSIP/")]
		if ok && e.tenantID != "" && e.tenantID != l.TenantID {
			c.add(Finding{
				ID: "directory.tenant", Level: Warning,
				What:        fmt.Sprintf("%s has tenantid %s, the tenant of user %s has %q", l.Endpoint, e.tenantID, l.User, l.TenantID),
				Consequence: "the directory decides", Hint: "move the user, or give the tenant this id",
			})
		}
	}
}

// contexts sees that *26 can be dialled where telephones of users dial.
func (c *checker) contexts(ctx context.Context) {
	plan := c.config(ctx, "extensions.conf")
	marker := featureExten(plan.Category(dialplan.FeaturesContext))
	done := map[string]bool{}
	for _, l := range c.o.Lines {
		name := c.endpoints[strings.TrimPrefix(l.Endpoint, "PJSIP/")].context
		if name == "" || done[name] {
			continue
		}
		done[name] = true
		ok := includes(plan, name, 0)
		if v, err := c.getvar(ctx, fmt.Sprintf("DIALPLAN_EXISTS(%s,%s,1)", name, marker)); marker != "" && err == nil {
			ok = v == "1"
		}
		if ok {
			c.pass("telephones in context %s can dial *26", name)
			continue
		}
		c.add(Finding{
			ID: "features.context", What: "the context " + name + ", where the telephones of users dial, does not include " + dialplan.FeaturesContext,
			Consequence: "*26 cannot be dialled there", File: "extensions.conf",
			Lines: []string{"[" + name + "](+)", "include => " + dialplan.FeaturesContext},
			Hint:  "callrecordd setup --write --context " + name + " adds this; " + applied + "dialplan reload",
		})
	}
}

// featureExten is an extension by which the context can be recognised: one with
// a letter if there is one, because patterns for numbers do not match it.
func featureExten(k *asteriskconf.Category) string {
	best := ""
	for _, e := range k.All("exten") {
		exten, _, _ := strings.Cut(e.Value, ",")
		exten = strings.TrimSpace(exten)
		letters := strings.ContainsFunc(exten, func(r rune) bool { return r >= 'a' && r <= 'z' })
		if !strings.HasPrefix(exten, "_") && (best == "" || letters) {
			best = exten
		}
	}
	return best
}

func includes(plan *asteriskconf.Config, name string, depth int) bool {
	if name == dialplan.FeaturesContext {
		return true
	}
	for _, e := range plan.Category(name).All("include") {
		next, _, _ := strings.Cut(e.Value, ",")
		if depth < 10 && includes(plan, strings.TrimSpace(next), depth+1) {
			return true
		}
	}
	return false
}
