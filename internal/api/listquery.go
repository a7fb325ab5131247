package api

import (
	"encoding/base64"
	"encoding/binary"
	"iter"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Query selects CDRs (cdr-api 3). Tenants are exact; From is inclusive, Until
// exclusive, both compare with the start of the call. Zero fields do not
// restrict, except Tenants.
type Query struct {
	Tenants     []string
	From, Until time.Time
	Limit       int // 0: no limit
	Offset      int
	Order       string // one of orderFields
	Descending  bool
	After       *Cursor // with the order by start only

	IDs                                                  []int64 // nil: all; empty: none
	FromID                                               int64
	Search, Number, CallDirection, CallStatus            string
	Tags, UserUUIDs                                      []string
	Me                                                   string // is any participant
	Recorded                                             *bool
	ConversationID                                       string
	RequestedInternalExtension, RequestedInternalContext string
	DistinctPeer                                         bool
}

// Cursor is the place of a CDR in the order by start, from which a list goes on.
type Cursor struct {
	Start time.Time
	ID    int64
}

// Page is a part of a list: Total counts the tenants' CDRs without any other
// filter, Filtered those that match, both before limit and offset.
type Page struct {
	Records         iter.Seq2[Record, error]
	Total, Filtered int
}

// orderFields are what lists can be ordered by: the keys of a CDR but end, tags
// and recordings (cdr-api 3). Upstream fails with 500 for five of them.
func orderFields() []string {
	return []string{
		"id", "tenant_uuid", "start", "answered", "answer", "duration", "call_direction", "call_status", "conversation_id",
		"destination_details", "destination_extension", "destination_internal_context", "destination_internal_extension",
		"destination_line_id", "destination_name", "destination_user_uuid", "requested_name", "requested_context",
		"requested_extension", "requested_internal_context", "requested_internal_extension", "requested_user_uuid",
		"source_extension", "source_internal_context", "source_internal_name", "source_internal_extension",
		"source_line_id", "source_name", "source_user_uuid",
	}
}

const (
	defaultLimit = 1000
	// maxSearch is in characters; Asterisk's names and numbers end at 80.
	maxSearch = 1024
	// maxWords is how many tags or users a list may name.
	maxWords = 1000
)

// The forms of cdr-api 3. conversation_id has the prefix that a systemname
// gives uniqueids as well (design 7).
var (
	numberForm       = regexp.MustCompile(`^_?[0-9]+_?$`)
	conversationForm = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)
	// fileForm is the name under which a recording is downloaded: it stands for
	// its CDR.
	fileForm = regexp.MustCompile(`-([0-9]+)-[a-z0-9-]{36}`)
)

// listQuery reads the parameters of the lists.
func (p *params) listQuery() Query {
	q := p.filters()
	q.Limit, q.Offset = p.count("limit", defaultLimit), p.count("offset", 0)
	q.Order = p.choice("order", "start", orderFields()...)
	q.Descending = p.choice("direction", "desc", "asc", "desc") == "desc"
	q.CallStatus = p.status("call_status")
	q.ConversationID = p.form("conversation_id", conversationForm, "not a valid conversation identifier")
	q.RequestedInternalExtension = p.form("requested_internal_extension", numberForm, "String does not match expected pattern.")
	q.RequestedInternalContext = p.text("requested_internal_context", 1, 255)
	q.DistinctPeer = p.choice("distinct", "", "peer_exten") != ""
	if p.values.Has("recorded") {
		recorded := p.boolean("recorded", false)
		q.Recorded = &recorded
	}
	q.After = p.cursor("cursor", q.Order)
	return q
}

// filters reads what lists and exports have in common (cdr-api 3, 7.1).
func (p *params) filters() Query {
	q := Query{
		From: p.datetime("from"), Until: p.datetime("until"), FromID: int64(p.count("from_id", 0)),
		Number:        p.form("number", numberForm, "String does not match expected pattern."),
		CallDirection: p.choice("call_direction", "", "internal", "inbound", "outbound"),
		Tags:          p.words("tags"), UserUUIDs: p.uuids("user_uuid"),
		Search: p.text("search", 0, maxSearch),
	}
	// The published weekly script sends to (design 7).
	if to := p.datetime("to"); !p.values.Has("until") {
		q.Until = to
	}
	if m := fileForm.FindStringSubmatch(q.Search); m != nil {
		q.Search, q.IDs = "", []int64{}
		if id, err := strconv.ParseInt(m[1], 10, 64); err == nil {
			q.IDs = []int64{id}
		}
	}
	return q
}

// queryOf reads a query as browsers and Wazo's framework do: what is no escape
// stands for itself, where net/url would drop the whole parameter and so a
// filter that somebody meant.
func queryOf(r *http.Request) url.Values {
	values := make(url.Values)
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if name = unescape(name); name != "" {
			values[name] = append(values[name], unescape(value))
		}
	}
	return values
}

func unescape(s string) string {
	if text, err := url.QueryUnescape(s); err == nil {
		return text
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+':
			out = append(out, ' ')
		case s[i] == '%' && i+2 < len(s):
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				out = append(out, byte(n))
				i += 2
				continue
			}
			out = append(out, '%')
		default:
			out = append(out, s[i])
		}
	}
	return string(out)
}

func (p *params) invalid(name, message, id string, constraint any) {
	p.wrong[name] = []any{map[string]any{"constraint_id": id, "constraint": constraint, "message": message}}
}

// text reads characters; what is none is refused, and so is NUL.
func (p *params) text(name string, least, most int) string {
	if !p.values.Has(name) {
		return ""
	}
	v := p.values.Get(name)
	switch n := utf8.RuneCountInString(v); {
	case !utf8.ValidString(v) || strings.ContainsRune(v, 0):
		p.typeError(name, "Not a valid string.", "string")
	case n < least, n > most:
		p.invalid(name, "Length must be between "+strconv.Itoa(least)+" and "+strconv.Itoa(most)+".", "length",
			map[string]any{"min": least, "max": most})
	default:
		return v
	}
	return ""
}

// form reads text that a pattern describes.
func (p *params) form(name string, form *regexp.Regexp, message string) string {
	if !p.values.Has(name) {
		return ""
	}
	v := p.values.Get(name)
	if len(v) > maxSearch || !form.MatchString(v) {
		p.invalid(name, message, "regex", form.String())
		return ""
	}
	return v
}

// status has the shape of a type error, unlike other choices (cdr-api 1.11).
func (p *params) status(name string) string {
	v := p.values.Get(name)
	if p.values.Has(name) && !slices.Contains([]string{"answered", "blocked", "voicemail", "unknown"}, v) {
		p.typeError(name, "Must be one of: answered, blocked, voicemail, unknown.", "enum")
		return ""
	}
	return v
}

// words reads values with commas between them, without trimming.
func (p *params) words(name string) []string {
	if !p.values.Has(name) {
		return nil
	}
	v := p.values.Get(name)
	switch {
	case v == "":
		p.invalid(name, "Shorter than minimum length 1.", "length", map[string]any{"min": 1, "max": nil})
		return nil
	case strings.Count(v, ",") >= maxWords:
		p.invalid(name, "Longer than maximum length "+strconv.Itoa(maxWords)+".", "length", map[string]any{"min": 1, "max": maxWords})
		return nil
	case !utf8.ValidString(v) || strings.ContainsRune(v, 0):
		p.typeError(name, "Not a valid string.", "string")
		return nil
	}
	words := strings.Split(v, ",")
	slices.Sort(words)
	return slices.Compact(words)
}

// uuids reads uuids with commas between them. Upstream fails with 500 for what
// is none.
func (p *params) uuids(name string) []string {
	words := p.words(name)
	wrong := make(map[string]any)
	for i, v := range words {
		id, err := uuid.Parse(v)
		if err != nil {
			wrong[strconv.Itoa(i)] = map[string]any{"message": "Not a valid UUID.", "constraint_id": "type", "constraint": "uuid"}
			continue
		}
		words[i] = id.String()
	}
	if len(wrong) > 0 {
		p.wrong[name] = wrong
		return nil
	}
	return words
}

// cursor reads what String has written.
func (p *params) cursor(name, order string) *Cursor {
	if !p.values.Has(name) {
		return nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(p.values.Get(name))
	if err != nil || len(raw) != 16 {
		p.typeError(name, "Not a valid cursor.", "cursor")
		return nil
	}
	if order != "start" {
		p.invalid(name, "A cursor needs the order by start.", "order", "start")
		return nil
	}
	return &Cursor{
		Start: time.UnixMicro(int64(binary.BigEndian.Uint64(raw))).UTC(), ID: int64(binary.BigEndian.Uint64(raw[8:])),
	}
}

// String is the cursor as clients get and send it.
func (c Cursor) String() string {
	raw := binary.BigEndian.AppendUint64(nil, uint64(c.Start.UnixMicro()))
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64(raw, uint64(c.ID)))
}
