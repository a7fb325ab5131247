package auth

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Errors of accounts, policies and logins. ErrNotFound is wrapped as well.
var (
	// ErrLogin is what every failed login gets: unknown, wrong, disabled.
	ErrLogin = errors.New("authentication failed")
	// ErrReadOnly is returned for policies that come with the program.
	ErrReadOnly = errors.New("the policy comes with the program and cannot be changed")
)

// ErrInvalid says which field cannot be accepted, in the words of Wazo's
// validation: ConstraintID is type, length, enum, regex or required.
type ErrInvalid struct {
	Field, Text, ConstraintID string
	Constraint                any
}

// Error implements error.
func (e *ErrInvalid) Error() string { return e.Field + ": " + e.Text }

// ErrTaken says that a value that must be unique is somebody else's.
type ErrTaken struct{ Field, Value string }

// Error implements error.
func (e *ErrTaken) Error() string { return fmt.Sprintf("%s %q is taken", e.Field, e.Value) }

// ErrEscalation says that somebody would give away an access that they do not
// have themselves.
type ErrEscalation struct{ Access string }

// Error implements error.
func (e *ErrEscalation) Error() string {
	return fmt.Sprintf("%q can only be given or taken by who has it", e.Access)
}

// ErrTooManySessions says that an account has as many sessions as it may have.
type ErrTooManySessions struct{ UUID string }

// Error implements error.
func (e *ErrTooManySessions) Error() string {
	return "User " + e.UUID + " has exceeded the maximum number of active sessions"
}

// The purposes of accounts (auth-and-clients 1.6).
const (
	PurposeUser     = "user"
	PurposeInternal = "internal"
	PurposeExternal = "external_api"
)

// Purposes are all of them.
func Purposes() []string { return []string{PurposeUser, PurposeInternal, PurposeExternal} }

// Methods are the authentication methods that an account may name. All log in
// by password here; the word is kept for clients.
func Methods() []string { return []string{"default", "native"} }

// DefaultUserPolicy is what every account may do where nobody says otherwise:
// what concerns itself. It is upstream's, of the services that are here.
func DefaultUserPolicy() []string {
	return []string{
		"auth.users.me.password.update", "auth.users.me.sessions.*.delete", "auth.users.me.sessions.read",
		"auth.users.me.tokens.*.delete", "auth.users.me.tokens.read",
		"call-logd.users.me.#", "calld.users.me.#",
		"call-logd.events.read", "websocketd", "events.calls.me", "events.call_log.user.me.created",
		"confd.infos.read", "confd.users.me.read", "confd.users.me.update",
	}
}

// Account is a login. Its uuid is that of the directory user who is the same
// person, if there is one (design 5). Empty text is null.
type Account struct {
	UUID       string    `json:"uuid"`
	TenantUUID string    `json:"tenant_uuid"`
	Username   string    `json:"username"`
	FirstName  string    `json:"firstname,omitempty"`
	LastName   string    `json:"lastname,omitempty"`
	Email      string    `json:"email_address,omitempty"`
	EmailUUID  string    `json:"email_uuid,omitempty"`
	Purpose    string    `json:"purpose"`
	Method     string    `json:"authentication_method"`
	Enabled    bool      `json:"enabled"`
	Policies   []string  `json:"policies"` // uuids
	CreatedAt  time.Time `json:"created_at"`
	// Password is its argon2id hash, empty if it cannot log in.
	Password string `json:"-"`
}

// userUUID is the directory user an account stands for.
func (a Account) userUUID() string {
	if a.Purpose == PurposeUser {
		return a.UUID
	}
	return ""
}

func (a Account) clone() Account {
	a.Policies = slices.Clone(a.Policies)
	return a
}

// Policy is a named list of accesses that accounts are given.
type Policy struct {
	UUID        string   `json:"uuid"`
	TenantUUID  string   `json:"tenant_uuid"`
	Name        string   `json:"name"`
	Slug        string   `json:"slug"`
	Description string   `json:"description"`
	ACL         []string `json:"acl"`
	// Managed policies come with the program: tenants below see them, nobody
	// changes them.
	Managed bool `json:"managed"`
}

func (p Policy) clone() Policy {
	p.ACL = slices.Clone(p.ACL)
	return p
}

// Refresh is a refresh token without its secret. There is one for each pair
// of account and client.
type Refresh struct {
	Hash        string    `json:"-"`
	Nonce       string    `json:"-"`
	AccountUUID string    `json:"user_uuid"`
	TenantUUID  string    `json:"tenant_uuid"` // of the account
	ClientID    string    `json:"client_id"`
	Login       string    `json:"-"` // by which it was got: a rename ends it
	Mobile      bool      `json:"mobile"`
	CreatedAt   time.Time `json:"created_at"`
}

const (
	maxLogin  = 256
	maxName   = 256
	maxPolicy = 80
	maxSlug   = 80
	maxAccess = 1024
	// maxEntries bounds what one check costs.
	maxEntries = 1000
)

func length(field, v string, lowest, highest int) error {
	if n := utf8.RuneCountInString(v); n < lowest || n > highest || !utf8.ValidString(v) {
		return &ErrInvalid{
			field, fmt.Sprintf("Length must be between %d and %d.", lowest, highest), "length",
			map[string]any{"min": lowest, "max": highest},
		}
	}
	return nil
}

func oneOf(field, v string, choices []string) error {
	if slices.Contains(choices, v) {
		return nil
	}
	return &ErrInvalid{
		field, "Must be one of: " + strings.Join(choices, ", ") + ".", "enum",
		map[string]any{"choices": choices},
	}
}

func pattern1(field, v string, re *regexp.Regexp, text string) error {
	if re.MatchString(v) {
		return nil
	}
	return &ErrInvalid{field, text, "regex", re.String()}
}

var (
	uuidForm  = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	emailForm = regexp.MustCompile(`^[^\s@,;<>]+@[^\s@,;<>]+$`)
	slugForm  = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)
)

// check looks at everything that one account can be wrong in by itself.
func (a Account) check() error {
	errs := []error{
		pattern1("uuid", a.UUID, uuidForm, "Not a valid UUID."),
		oneOf("purpose", a.Purpose, Purposes()),
		oneOf("authentication_method", a.Method, Methods()),
		length("username", a.Username, 0, maxLogin),
		length("firstname", a.FirstName, 0, maxName),
		length("lastname", a.LastName, 0, maxName),
		length("email_address", a.Email, 0, maxLogin),
	}
	if strings.ContainsFunc(a.Username, unicode.IsControl) {
		errs = append(errs, &ErrInvalid{"username", "Must not have control characters.", "regex", "[^[:cntrl:]]"})
	}
	if strings.Contains(a.Username, ":") {
		// Basic authentication ends the name at the first colon.
		errs = append(errs, &ErrInvalid{"username", "Must not have a colon.", "regex", "[^:]"})
	}
	if a.Email != "" {
		errs = append(errs, pattern1("email_address", a.Email, emailForm, "Not a valid email address."))
	}
	if a.Username == "" && a.Email == "" {
		errs = append(errs, &ErrInvalid{"username", "Missing data for required field.", "required", "required"})
	}
	return first(errs)
}

func first(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// normalize drops duplicates, whose order is not kept either.
func (p *Policy) normalize() {
	slices.Sort(p.ACL)
	p.ACL = slices.Compact(p.ACL)
}

func (p Policy) check() error {
	if strings.TrimSpace(p.Name) == "" {
		return &ErrInvalid{"name", "Missing data for required field.", "required", "required"}
	}
	if err := first([]error{
		length("name", p.Name, 1, maxPolicy), length("slug", p.Slug, 1, maxSlug),
		pattern1("slug", p.Slug, slugForm, "Must have letters, digits, _ and - only."),
		length("description", p.Description, 0, 4096),
	}); err != nil {
		return err
	}
	if len(p.ACL) > maxEntries {
		return &ErrInvalid{"acl", fmt.Sprintf("Has more than %d accesses.", maxEntries), "length", map[string]any{"max": maxEntries}}
	}
	for _, access := range p.ACL {
		if badAccess(access) || len(access) > maxAccess || !utf8.ValidString(access) {
			return &ErrInvalid{"acl", fmt.Sprintf("%q is no access.", access), "regex", `[^\s]+`}
		}
	}
	return nil
}

// slugOf is what upstream makes of a name.
func slugOf(name string) string {
	return regexp.MustCompile(`[^a-zA-Z0-9_-]`).ReplaceAllString(name, "")
}

// Actor is who asks for a change. Access is what they may give away; nil is
// everything, for who sits at the host itself.
type Actor struct {
	Name   string
	Access *ACL
}

func (a Actor) mayAdd(acl []string) error {
	if a.Access == nil {
		return nil
	}
	if access, more := a.Access.Exceeds(acl); more {
		return &ErrEscalation{access}
	}
	return nil
}

func (a Actor) mayRemove(acl []string) error {
	for _, access := range acl {
		if a.Access != nil && !a.Access.MayRemove(access) {
			return &ErrEscalation{access}
		}
	}
	return nil
}

// denials are the entries that take something away: to remove one is to give.
func denials(acl []string) []string {
	return slices.DeleteFunc(slices.Clone(acl), func(a string) bool { return !strings.HasPrefix(a, "!") })
}
