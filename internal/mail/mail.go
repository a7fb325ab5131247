// Package mail sends plain mails through an SMTP server.
//
// It must not import anything of ours.
package mail

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"time"

	gomail "github.com/wneessen/go-mail"
)

// How a connection is protected.
const (
	TLSNone     = "none"
	TLSOffered  = "offered"  // STARTTLS if the server has it
	TLSRequired = "required" // STARTTLS, or no mail
	TLSImplicit = "implicit" // from the first byte, usually on port 465
)

// Options are how to reach the server and who writes. Without a username nobody
// logs in.
type Options struct {
	Host               string
	Port               int
	TLS                string // one of the constants
	Username, Password string
	Timeout            time.Duration
	FromName, From     string
}

// Sender sends mails, one connection for each.
type Sender struct{ opt Options }

// New returns a Sender.
func New(o Options) *Sender { return &Sender{opt: o} }

// ValidAddress says whether a mail can be addressed to s: a bare address, and
// nothing that could become a header.
func ValidAddress(s string) bool {
	a, err := mail.ParseAddress(s)
	return err == nil && a.Address == s && a.Name == ""
}

// Send sends a text. Lines are sent as they are, so that links stay whole.
func (s *Sender) Send(ctx context.Context, to, subject, body string) error {
	if err := s.send(ctx, to, subject, body); err != nil {
		return fmt.Errorf("send mail through %s:%d: %w", s.opt.Host, s.opt.Port, err)
	}
	return nil
}

func (s *Sender) send(ctx context.Context, to, subject, body string) error {
	m := gomail.NewMsg(gomail.WithEncoding(gomail.NoEncoding))
	if err := m.FromFormat(s.opt.FromName, s.opt.From); err != nil {
		return err
	}
	if err := m.To(to); err != nil {
		return err
	}
	m.Subject(subject)
	m.SetDate()
	m.SetMessageID()
	m.SetBodyString(gomail.TypeTextPlain, body)
	options := []gomail.Option{gomail.WithPort(s.opt.Port), gomail.WithTimeout(s.opt.Timeout)}
	switch s.opt.TLS {
	case TLSNone:
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
	case TLSRequired:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	case TLSImplicit:
		options = append(options, gomail.WithSSL())
	default:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSOpportunistic))
	}
	if s.opt.Username != "" && s.opt.Password != "" {
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover),
			gomail.WithUsername(s.opt.Username), gomail.WithPassword(s.opt.Password))
	}
	client, err := gomail.NewClient(s.opt.Host, options...)
	if err != nil {
		return err
	}
	return client.DialAndSendWithContext(ctx, m)
}

// Permanent says whether the server has refused the mail for good.
func (s *Sender) Permanent(err error) bool {
	var refused *gomail.SendError
	return errors.As(err, &refused) && !refused.IsTemp() && refused.ErrorCode() >= 500
}
