package api

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"callrecordd/internal/auth"
	"callrecordd/internal/events"
	"callrecordd/internal/webhook"
)

// readSubscription reads a body into sub, with the token's ACL: a subscription
// is told of what the token that made it may see.
func (s *Server) readSubscription(r *http.Request, rc request, sub *webhook.Subscription) error {
	b, err := readPayload(r)
	if err != nil {
		return err
	}
	sub.Name = b.text("name", 1, 128)
	if service := b.text("service", 1, 128); service != "http" && b.wrong["service"] == nil {
		b.wrong["service"] = wrongValue("Must be one of: http.", "enum", map[string]any{"choices": []string{"http"}})
	}
	sub.Config = b.hookConfig(s.webhooks.AllowPrivate())
	sub.Events = b.names("events")
	sub.EventsUserUUID = b.userUUID("events_user_uuid")
	sub.OwnerUserUUID = b.userUUID("owner_user_uuid")
	sub.Recurse = b.flag("recurse")
	sub.Metadata = b.metadata()
	sub.ACL, sub.AuthID = slices.Clone(rc.token.ACL), rc.token.AuthID
	if b.wrong["events"] == nil && !maySee(rc.token.Access(), rc.token, *sub) {
		b.wrong["events"] = wrongValue("The token has access to none of them: it needs events.calls.*, events.call_log.# or the like.", "access", "events.#")
	}
	if problem := b.problem(); problem != nil {
		return problem
	}
	return nil
}

// maySee says whether the ACL allows any of the events that there are; a
// subscription that would never be told of anything is a mistake. Names that we
// do not have are none: a client may ask for Wazo's.
func maySee(acl *auth.ACL, token auth.Token, sub webhook.Subscription) bool {
	known := false
	for _, name := range events.Names() {
		if !slices.Contains(sub.Events, name) && !slices.Contains(sub.Events, events.Any) {
			continue
		}
		known = true
		users := []string{sub.EventsUserUUID}
		if sub.EventsUserUUID == "" {
			users = []string{uuid.Nil.String(), token.AuthID, token.UserUUID, ""}
		}
		for _, user := range users {
			if acl.Allows(events.Access(name, user)) {
				return true
			}
		}
	}
	return !known
}

// hookConfig reads where a subscription's events are sent.
func (o *payload) hookConfig(allowPrivate bool) webhook.Config {
	if !o.has("config", true) {
		return webhook.Config{}
	}
	inner, err := parsePayload(o.fields["config"])
	if err != nil {
		o.wrong["config"] = wrongType("Not a valid mapping type.", "type", "object")
		return webhook.Config{}
	}
	c := webhook.Config{URL: inner.text("url", 1, 8192), Method: strings.ToLower(inner.text("method", 1, 64))}
	if c.URL != "" {
		if err := webhook.CheckURL(c.URL, allowPrivate); err != nil {
			inner.wrong["url"] = wrongValue("The address "+err.Error()+".", "url", "http or https, and not private")
		}
	}
	if inner.wrong["method"] == nil && !slices.Contains(webhook.Methods(), c.Method) {
		inner.wrong["method"] = wrongValue("Must be one of: "+strings.Join(webhook.Methods(), ", ")+".", "enum", map[string]any{"choices": webhook.Methods()})
	}
	if inner.has("content_type", false) {
		c.ContentType = inner.text("content_type", 1, 256)
	}
	if inner.has("verify_certificate", false) {
		c.VerifyCertificate = inner.text("verify_certificate", 1, 1024)
		if c.VerifyCertificate != "true" && c.VerifyCertificate != "false" {
			inner.wrong["verify_certificate"] = wrongValue("Wrong value for verify_certificate", "verify-certificate-invalid", []string{"true", "false"})
		}
	}
	c.Body = inner.hookBody()
	if len(inner.wrong) > 0 {
		o.wrong["config"] = inner.wrong
	}
	return c
}

// hookBody reads a text that is sent in place of the event. Wazo's is a template;
// one that has anything to fill in is refused.
func (o *payload) hookBody() string {
	const most = 16384
	if !o.has("body", false) {
		return ""
	}
	var text string
	switch err := json.Unmarshal(o.fields["body"], &text); {
	case err != nil:
		o.wrong["body"] = wrongType("Not a valid string.", "type", "string")
	case utf8.RuneCountInString(text) > most:
		o.wrong["body"] = wrongValue("Longer than maximum length "+strconv.Itoa(most)+".", "length", map[string]any{"max": most})
	case strings.Contains(text, "{{"), strings.Contains(text, "{%"):
		o.wrong["body"] = wrongValue("Templates are not supported: without a body the event is sent.", "template", "plain text")
	}
	return text
}

// names reads a list of at least one name.
func (o *payload) names(field string) []string {
	if !o.has(field, true) {
		return nil
	}
	var list []string
	err := json.Unmarshal(o.fields[field], &list)
	switch {
	case err != nil:
		o.wrong[field] = wrongType("Not a valid list.", "type", "list")
	case len(list) < 1 || len(list) > maxSubscribed:
		o.wrong[field] = wrongValue("Length must be between 1 and "+strconv.Itoa(maxSubscribed)+".", "length", map[string]any{"min": 1, "max": maxSubscribed})
	case slices.ContainsFunc(list, func(name string) bool { return name == "" || len(name) > 128 }):
		o.wrong[field] = wrongValue("Length must be between 1 and 128.", "length", map[string]any{"min": 1, "max": 128})
	}
	return list
}

// userUUID reads one that may be missing.
func (o *payload) userUUID(field string) string {
	if !o.has(field, false) {
		return ""
	}
	var text string
	if err := json.Unmarshal(o.fields[field], &text); err != nil || uuid.Validate(text) != nil || len(text) != len(uuid.Nil.String()) {
		o.wrong[field] = wrongType("Not a valid UUID.", "type", "uuid")
	}
	return strings.ToLower(text)
}

func (o *payload) flag(field string) (on bool) {
	if o.has(field, false) && json.Unmarshal(o.fields[field], &on) != nil {
		o.wrong[field] = wrongType("Not a valid boolean.", "type", "boolean")
	}
	return on
}

// metadata reads texts by key.
func (o *payload) metadata() (out map[string]string) {
	const most = 16384
	if !o.has("metadata", false) {
		return nil
	}
	if err := json.Unmarshal(o.fields["metadata"], &out); err != nil || len(o.fields["metadata"]) > most {
		o.wrong["metadata"] = wrongType("Not a mapping of short texts.", "type", "object")
	}
	return out
}
