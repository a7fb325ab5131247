package api

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"callrecordd/internal/auth"
)

// Service is one of Wazo's daemons whose interface is served here.
type Service string

// The services, by the names that stand in /api/<service>/.
const (
	CallLogd Service = "call-logd"
	Auth     Service = "auth"
	Confd    Service = "confd"
	Calld    Service = "calld"
	// Webhookd and Websocketd tell others of events.
	Webhookd   Service = "webhookd"
	Websocketd Service = "websocketd"
)

// Services are all of them.
func Services() []Service { return []Service{CallLogd, Auth, Confd, Calld, Webhookd, Websocketd} }

// version is the first part of a service's own paths, which no two share with
// the same resources (auth-and-clients 0).
func (s Service) version() string {
	switch s {
	case Auth:
		return "/0.1"
	case Confd:
		return "/1.1"
	case Websocketd: // it has none
		return ""
	case CallLogd, Calld, Webhookd:
	}
	return "/1.0"
}

// published is where Wazo's nginx has the service.
func (s Service) published() string { return "/api/" + string(s) }

// route is a row of the route table: everything that is known of a route
// stands here, and both descriptions (openapi.go) are made of it.
type route struct {
	service Service
	// method is one of HTTP's; GET answers HEAD as well, if there is no row
	// for HEAD.
	method string
	// path follows the version. {name:int} is an integer without sign,
	// {name:uuid} a hyphenated uuid,
	// {name:key} one of both, {name:ref} a uuid or any text, {name} any text;
	// none has a slash in it. A request
	// that does not fit finds no route, whoever asks (cdr-api 1.12).
	path string
	// also are more paths below /api/<service>, without a version: the published
	// text has some that Wazo itself never served (design 7).
	also []string
	// acl is the access that the token needs and may hold path values in
	// braces; dots in a value become underscores (cdr-api 1.8). Without one the
	// route is open to all.
	acl string
	// master: the token's own tenant must be the master tenant.
	master bool
	// queryToken and queryTenant: ?token= and ?tenant= count, and win over the
	// headers (cdr-api 1.4, 1.5).
	queryToken, queryTenant bool

	summary string
	query   []param
	body    any // a value of the type that a JSON body has; nil: none is read
	answers []answerRow

	handle handler
	// refuse tells a client in its own way that it may not; told is false if it
	// is to be told as usual.
	refuse func(w http.ResponseWriter, r *http.Request, err error) (told bool)
}

// param is a query parameter, for the descriptions.
type param struct {
	name, about string
	kind        kind
	choices     []string
	array       bool // a list separated by commas
}

// kind is what a parameter's text stands for.
type kind string

const (
	text     kind = "string"
	integer  kind = "integer"
	boolean  kind = "boolean"
	datetime kind = "date-time"
	uuidText kind = "uuid"
)

// answerRow is a successful answer, for the descriptions. Errors are the same
// everywhere (problem) and need not be named.
type answerRow struct {
	status int
	about  string
	// body is a value of the type that is sent as JSON; nil if it is no JSON.
	body any
	// media are the types of what is sent, application/json if there are none
	// and body is set.
	media []string
}

// request is what authentication found out about a request.
type request struct {
	token auth.Token
	// tenant is the selected one, visible it and its descendants.
	tenant  string
	visible []string
	origin  origin
	route   route
	// secret is the token itself, required the access that the route needs: a
	// stream asks again whether it still may.
	secret, required string
}

// user is the directory user whose token it is, for /users/me/….
func (rc request) user() (string, error) {
	if rc.token.UserUUID == "" {
		return "", &problem{
			http.StatusBadRequest, "token-with-user-uuid-required", "A valid token with a user UUID is required", nil,
		}
	}
	return rc.token.UserUUID, nil
}

// routes is the route table. Each topic has its rows in its own file.
func (s *Server) routes() []route {
	rows := slices.Concat(
		s.listRoutes(),
		s.mediaRoutes(),
		s.whyRoutes(),
		s.auditRoutes(),
		s.exportRoutes(),
		s.keepRoutes(),
		s.accountRoutes(),
		s.callRoutes(),
		s.directoryRoutes(),
		s.eventRoutes(),
		s.webhookRoutes(),
		s.serviceRoutes(),
		s.metricRoutes(),
	)
	return append(rows, s.describeRoutes(rows)...)
}

// pathValue is a piece of a route's path in braces.
type pathValue struct{ name, kind string }

// values are the path's pieces in braces, in order.
func (rt route) values() []pathValue {
	var out []pathValue
	for part := range strings.SplitSeq(rt.path, "/") {
		if inner, ok := strings.CutPrefix(part, "{"); ok {
			name, kind, _ := strings.Cut(strings.TrimSuffix(inner, "}"), ":")
			out = append(out, pathValue{name, kind})
		}
	}
	return out
}

// plainPath is the path with {name} alone, as the mux and the descriptions
// want it.
func (rt route) plainPath() string { return rt.plain(rt.path) }

func (rt route) plain(path string) string {
	out := path
	for _, v := range rt.values() {
		out = strings.ReplaceAll(out, "{"+v.name+":"+v.kind+"}", "{"+v.name+"}")
	}
	return out
}

// fits checks the path values.
func (rt route) fits(r *http.Request) bool {
	for _, v := range rt.values() {
		text := r.PathValue(v.name)
		_, err := strconv.ParseUint(text, 10, 63)
		isInt := err == nil
		_, err = uuid.Parse(text)
		isUUID := err == nil && len(text) == len(uuid.Nil.String())
		switch v.kind {
		case "int":
			if !isInt {
				return false
			}
		case "uuid":
			if !isUUID {
				return false
			}
		case "key":
			if !isInt && !isUUID {
				return false
			}
		}
	}
	return true
}

// required is the access that this request needs.
func (rt route) required(r *http.Request) string { return rt.requiredFor(r, "", "") }

// deniedAs refuses who may not do this to what the path value names, though
// under another name of it: a denial counts by whichever it is asked for.
func (rc request) deniedAs(r *http.Request, name string, others ...string) error {
	for _, other := range others {
		if required := rc.route.requiredFor(r, name, other); other != "" && rc.token.Access().Denies(required) {
			return unauthorized("missing_permission_or_invalid_tenant", required, rc.tenant)
		}
	}
	return nil
}

// requiredFor is required with another value in the path.
func (rt route) requiredFor(r *http.Request, name, value string) string {
	kinds := map[string]string{}
	for _, v := range rt.values() {
		kinds[v.name] = v.kind
	}
	parts := strings.Split(rt.acl, ".")
	for i, p := range parts {
		if strings.HasPrefix(p, "{") {
			word, as := strings.Trim(p, "{}"), value
			if word != name {
				as = r.PathValue(word)
			}
			parts[i] = auth.EscapeWord(canonical(kinds[word], as))
		}
	}
	return strings.Join(parts, ".")
}

// canonical writes a path value as it is written everywhere else: a denial must
// not be passed by capitals in a uuid or zeros before a number.
func canonical(kind, value string) string {
	if kind == "" || kind == "ref" && uuid.Validate(value) != nil {
		return value
	}
	if n, err := strconv.ParseUint(value, 10, 63); err == nil && kind != "uuid" {
		return strconv.FormatUint(n, 10)
	}
	return strings.ToLower(value)
}
