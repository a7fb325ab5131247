package export

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"text/template"
	"time"
)

// Words are the texts of mails. They are Go templates in which each value has a
// name, such as {{export_uuid}}: the names that upstream's template has
// (cdr-api 7.11), and link, files, missing, cause and expires.
type Words struct {
	subject, body, failureSubject, failureBody *template.Template
}

// WordsOptions name the texts: subjects as they are, bodies as files. An empty
// file name is the text that is built in.
type WordsOptions struct {
	Subject, BodyFile, FailureSubject, FailureBodyFile string
}

const builtInBody = `Hello,

the recordings that you asked for are ready: {{files}} files.
{{if missing}}{{missing}} recordings could not be added; missing.json in the archive lists them.
{{end}}
Download them here until {{expires}}:

{{link}}

Whoever has this link can download them, so do not pass this mail on.
`

const builtInFailure = `Hello,

the recordings that you asked for could not be exported: {{cause}}.

The export was {{export_uuid}}. Please ask your administrator.
`

// NewWords reads and tries the templates.
func NewWords(o WordsOptions) (*Words, error) {
	w := &Words{}
	for _, x := range []struct {
		to                   **template.Template
		name, text, file, or string
	}{
		{&w.subject, "subject", o.Subject, "", ""},
		{&w.body, "body", "", o.BodyFile, builtInBody},
		{&w.failureSubject, "subject of a failure", o.FailureSubject, "", ""},
		{&w.failureBody, "body of a failure", "", o.FailureBodyFile, builtInFailure},
	} {
		text := x.text + x.or
		if x.file != "" {
			data, err := os.ReadFile(x.file)
			if err != nil {
				return nil, fmt.Errorf("text of mails: %w", err)
			}
			text = string(data)
		}
		t, err := template.New(x.name).Funcs(values(Export{}, "", time.Time{})).Parse(text)
		if err == nil {
			err = t.Execute(&strings.Builder{}, nil)
		}
		if err != nil {
			return nil, fmt.Errorf("text of mails: %w", err)
		}
		*x.to = t
	}
	return w, nil
}

// values are what the names in a template stand for.
func values(e Export, token string, expires time.Time) template.FuncMap {
	u, err := url.Parse(e.Link)
	if err != nil {
		u = &url.URL{}
	}
	query := url.Values{"tenant": {e.TenantUUID}, "token": {token}}
	give := func(v any) func() any { return func() any { return v } }
	return template.FuncMap{
		"export_uuid": give(e.UUID), "tenant_uuid": give(e.TenantUUID), "token": give(token),
		"hostname": give(u.Hostname()), "port": give(u.Port()), "prefix": give(u.Path),
		"link": give(downloadPath(e) + "?" + query.Encode()), "files": give(e.Files), "missing": give(e.Missing),
		"cause":   give(map[string]string{CauseNoFile: "no file could be read", CauseNoSpace: "there is not enough space on the disk"}[e.Cause]),
		"expires": give(expires.UTC().Format("2006-01-02 15:04 UTC")),
	}
}

func render(t *template.Template, v template.FuncMap) (string, error) {
	t, err := t.Clone()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = t.Funcs(v).Execute(&b, nil)
	return b.String(), err
}

// waits are how long after a failed try the next one comes.
func waits() []time.Duration {
	return []time.Duration{time.Minute, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 6 * time.Hour}
}

// postman sends what is due.
func (s *Service) postman(ctx context.Context) {
	again := time.NewTicker(20 * time.Second)
	defer again.Stop()
	for {
		due, err := s.opt.Repo.Exports(ctx, Filter{MailDue: s.opt.Now()})
		if err != nil && ctx.Err() == nil {
			s.opt.Log.Error("exports whose mail is due cannot be read", "err", err)
		}
		for _, e := range due {
			if ctx.Err() != nil {
				return
			}
			s.mail(ctx, e)
		}
		select {
		case <-ctx.Done():
			return
		case <-s.post:
		case <-again.C:
		}
	}
}

// mail sends the mail of one export and stores what became of it.
func (s *Service) mail(ctx context.Context, e Export) {
	err := s.send(ctx, e)
	if ctx.Err() != nil && err != nil {
		return // the next start sends it
	}
	e.MailTries++
	switch {
	case err == nil:
		e.Mail = MailSent
	case s.opt.Mailer.Permanent(err) || e.MailTries > len(waits()):
		e.Mail = MailFailed
		s.opt.Log.Error("the mail about an export is given up", "export", e.UUID, "err", err)
	default:
		e.MailAt = s.opt.Now().Add(waits()[e.MailTries-1])
		s.opt.Log.Warn("the mail about an export could not be sent and will be tried again", "export", e.UUID, "at", e.MailAt, "err", err)
	}
	save, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := s.opt.Repo.SaveExport(save, e); err != nil {
		s.opt.Log.Error("what became of the mail about an export cannot be stored", "export", e.UUID, "err", err)
	}
}

func (s *Service) send(ctx context.Context, e Export) error {
	subject, body := s.opt.Words.failureSubject, s.opt.Words.failureBody
	token := ""
	if e.Status == Finished {
		subject, body = s.opt.Words.subject, s.opt.Words.body
		var err error
		if token, err = s.opt.Tokens.LinkToken(ctx, e, s.opt.LinkLifetime); err != nil {
			return err
		}
	}
	v := values(e, token, s.opt.Now().Add(s.opt.LinkLifetime))
	head, err1 := render(subject, v)
	text, err2 := render(body, v)
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("text of the mail: %w", err)
	}
	return s.opt.Mailer.Send(ctx, e.Email, strings.Join(strings.Fields(head), " "), text)
}
