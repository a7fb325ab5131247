package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"callrecordd/internal/auth"
	"callrecordd/internal/control"
)

// accountNoun is what accounts share with the entries of the directory. The
// command to create one is another: it has to do with a password.
func accountNoun() noun[auth.Account] {
	return noun[auth.Account]{
		name: "account", path: "accounts", about: "Accounts: who logs in to the HTTP API, with a password", given: true,
		header: []string{"UUID", "USERNAME", "E-MAIL", "PURPOSE", "ENABLED", "POLICIES", "TENANT"},
		row: func(a auth.Account) []string {
			return []string{a.UUID, a.Username, a.Email, a.Purpose, yesNo(a.Enabled), strings.Join(a.Policies, ","), a.TenantUUID}
		},
		key:   func(a auth.Account) string { return a.UUID },
		names: func(a auth.Account) []string { return []string{a.Username, a.Email} },
		flags: func(f *pflag.FlagSet) {
			f.String("username", "", "the name to log in with")
			f.String("email", "", "an e-mail address, with which it can log in as well")
			f.String("first-name", "", "first name")
			f.String("last-name", "", "last name")
			f.String("purpose", auth.PurposeUser, "user for a person; internal or external_api for a program")
			f.Bool("enabled", true, "may log in")
		},
		apply: func(f *pflag.FlagSet, a *auth.Account) error {
			setString(f, "username", &a.Username)
			setString(f, "email", &a.Email)
			setString(f, "first-name", &a.FirstName)
			setString(f, "last-name", &a.LastName)
			setString(f, "purpose", &a.Purpose)
			setBool(f, "enabled", &a.Enabled)
			return nil
		},
	}
}

func policyNoun() noun[auth.Policy] {
	return noun[auth.Policy]{
		name: "policy", path: "policies", about: "Policies: named lists of what accounts may do",
		header: []string{"UUID", "NAME", "ACL", "TENANT"},
		row:    func(p auth.Policy) []string { return []string{p.UUID, p.Name, strings.Join(p.ACL, " "), p.TenantUUID} },
		key:    func(p auth.Policy) string { return p.UUID },
		names:  func(p auth.Policy) []string { return []string{p.Name, p.Slug} },
		flags: func(f *pflag.FlagSet) {
			f.String("name", "", "name")
			f.String("description", "", "what it is for")
			f.String("tenant", "", "uuid of the tenant (default: the master tenant)")
			f.StringSlice("acl", nil, "what it allows, e.g. call-logd.cdr.read,call-logd.cdr.*.read; a leading ! forbids")
		},
		apply: func(f *pflag.FlagSet, p *auth.Policy) error {
			setString(f, "name", &p.Name)
			setString(f, "description", &p.Description)
			setString(f, "tenant", &p.TenantUUID)
			if f.Changed("acl") {
				p.ACL, _ = f.GetStringSlice("acl") // declared above
			}
			return nil
		},
	}
}

func policyCmd(e *environment) *cobra.Command { return policyNoun().command(e) }

func accountCmd(e *environment) *cobra.Command {
	n := accountNoun()
	cmd := n.command(e)
	cmd.AddCommand(
		accountCreate(e, n), n.remove(e), accountPassword(e, n),
		accountPolicy(e, n, "add-policy", "Give an account a policy", "PUT"),
		accountPolicy(e, n, "remove-policy", "Take a policy from an account", "DELETE"),
		accountSessions(e, n), accountRefresh(e, n), accountRevoke(e, n),
	)
	return cmd
}

// passwordFlag declares --password-stdin and returns how to get the password:
// one that is not given is made up.
func passwordFlag(e *environment, f *pflag.FlagSet) func() (password string, made bool, err error) {
	stdin := f.Bool("password-stdin", false, "read the password from standard input; without this one is made up and printed, this once")
	return func() (string, bool, error) {
		if !*stdin {
			return uuid.NewString(), true, nil
		}
		line, err := bufio.NewReader(e.in).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", false, fmt.Errorf("read password: %w", err)
		}
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			return "", false, errors.New("standard input has no password")
		}
		return line, false, nil
	}
}

// showPassword prints a password that was made up.
func (e *environment) showPassword(password string) error {
	_, err := fmt.Fprintf(e.err, "Password: %s (it is shown this once)\n", password)
	return err
}

func accountCreate(e *environment, n noun[auth.Account]) *cobra.Command {
	cmd := &cobra.Command{Use: "create", Short: "Create an account", Args: cobra.NoArgs}
	n.flags(cmd.Flags())
	tenant := cmd.Flags().String("tenant", "", "uuid of the tenant (default: the master tenant)")
	user := cmd.Flags().String("user", "", "uuid of the directory user who is the same person")
	policies := cmd.Flags().StringSlice("policy", nil, "policies that it gets, by name or uuid")
	password := passwordFlag(e, cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		req := control.NewAccount{Account: auth.Account{Enabled: true, UUID: *user, TenantUUID: *tenant, Policies: []string{}}}
		if err := n.apply(cmd.Flags(), &req.Account); err != nil {
			return err
		}
		var made bool
		var err error
		if req.Password, made, err = password(); err != nil {
			return err
		}
		return e.withClient(cmd.Context(), func(c *control.Client) error {
			for _, word := range *policies {
				p, err := policyNoun().find(cmd.Context(), c, word)
				if err != nil {
					return err
				}
				req.Policies = append(req.Policies, p.UUID)
			}
			var out auth.Account
			if err := c.Do(cmd.Context(), "POST", n.path, req, &out); err != nil {
				return err
			}
			if made {
				if err := e.showPassword(req.Password); err != nil {
					return err
				}
			}
			return n.print(e, []auth.Account{out}, out)
		})
	}
	return cmd
}

// onAccount is a command about the account that its first argument names.
func onAccount(e *environment, n noun[auth.Account], use, short string, args int, run func(*cobra.Command, *control.Client, auth.Account, []string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(args),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withClient(cmd.Context(), func(c *control.Client) error {
				a, err := n.find(cmd.Context(), c, args[0])
				if err != nil {
					return err
				}
				return run(cmd, c, a, args[1:])
			})
		},
	}
}

func accountPassword(e *environment, n noun[auth.Account]) *cobra.Command {
	var password func() (string, bool, error)
	cmd := onAccount(e, n, "set-password ACCOUNT", "Set a new password and end all sessions", 1,
		func(cmd *cobra.Command, c *control.Client, a auth.Account, _ []string) error {
			text, made, err := password()
			if err != nil {
				return err
			}
			if err := c.Do(cmd.Context(), "PUT", control.Path(n.path, a.UUID, "password"), control.NewPassword{Password: text}, nil); err != nil {
				return err
			}
			if made {
				return e.showPassword(text)
			}
			return nil
		})
	password = passwordFlag(e, cmd.Flags())
	return cmd
}

func accountPolicy(e *environment, n noun[auth.Account], name, short, method string) *cobra.Command {
	return onAccount(e, n, name+" ACCOUNT POLICY", short, 2,
		func(cmd *cobra.Command, c *control.Client, a auth.Account, args []string) error {
			p, err := policyNoun().find(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			return c.Do(cmd.Context(), method, control.Path(n.path, a.UUID, "policies", p.UUID), nil, nil)
		})
}

func accountSessions(e *environment, n noun[auth.Account]) *cobra.Command {
	return onAccount(e, n, "sessions ACCOUNT", "List an account's sessions; `callrecordd token revoke` ends one", 1,
		func(cmd *cobra.Command, c *control.Client, a auth.Account, _ []string) error {
			var list []auth.Token
			if err := c.Do(cmd.Context(), "GET", control.Path(n.path, a.UUID, "sessions"), nil, &list); err != nil {
				return err
			}
			var rows [][]string
			for _, t := range list {
				rows = append(rows, []string{t.ID, t.CreatedAt.Format(time.RFC3339), t.ExpiresAt.Format(time.RFC3339), t.RemoteAddr, t.UserAgent})
			}
			return e.show(list, []string{"ID", "SINCE", "EXPIRES", "FROM", "PROGRAM"}, rows)
		})
}

func accountRefresh(e *environment, n noun[auth.Account]) *cobra.Command {
	return onAccount(e, n, "refresh-tokens ACCOUNT", "List an account's refresh tokens; their secrets are not kept", 1,
		func(cmd *cobra.Command, c *control.Client, a auth.Account, _ []string) error {
			var list []auth.Refresh
			if err := c.Do(cmd.Context(), "GET", control.Path(n.path, a.UUID, "refresh"), nil, &list); err != nil {
				return err
			}
			var rows [][]string
			for _, r := range list {
				rows = append(rows, []string{r.ClientID, r.CreatedAt.Format(time.RFC3339), yesNo(r.Mobile)})
			}
			return e.show(list, []string{"CLIENT", "SINCE", "MOBILE"}, rows)
		})
}

func accountRevoke(e *environment, n noun[auth.Account]) *cobra.Command {
	return onAccount(e, n, "revoke-refresh ACCOUNT CLIENT", "Delete the refresh token of a client; its tokens stay valid until they expire", 2,
		func(cmd *cobra.Command, c *control.Client, a auth.Account, args []string) error {
			return c.Do(cmd.Context(), "DELETE", control.Path(n.path, a.UUID, "refresh", args[0]), nil, nil)
		})
}
