package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"callrecordd/internal/auth"
	"callrecordd/internal/control"
)

func tokenCmd(e *environment) *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "Tokens for the HTTP API"}
	cmd.AddCommand(tokenCreate(e), tokenList(e), tokenRevoke(e))
	return cmd
}

func tokenCreate(e *environment) *cobra.Command {
	var req control.TokenRequest
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Create a token and print it; it is shown this once",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withClient(cmd.Context(), func(c *control.Client) error {
				var out control.NewToken
				if err := c.Do(cmd.Context(), "POST", "tokens", req, &out); err != nil {
					return err
				}
				if e.format == "json" {
					return e.show(out, nil, nil)
				}
				_, err := fmt.Fprintln(e.out, out.Secret)
				return err
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&req.TenantUUID, "tenant", "", "uuid of the tenant (default: the master tenant)")
	f.StringVar(&req.UserUUID, "user", "", "uuid of the directory user it stands for")
	f.StringVar(&req.Description, "description", "", "what it is for")
	f.StringSliceVar(&req.ACL, "acl", []string{"call-logd.#"}, "what it may do")
	f.StringVar(&req.Lifetime, "lifetime", "", "how long it is valid, e.g. 720h (default: until revoked)")
	return cmd
}

func tokenList(e *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List tokens; their secrets are not kept",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withClient(cmd.Context(), func(c *control.Client) error {
				var list []auth.Token
				if err := c.Do(cmd.Context(), "GET", "tokens", nil, &list); err != nil {
					return err
				}
				var rows [][]string
				for _, t := range list {
					expires := "never"
					if !t.ExpiresAt.IsZero() {
						expires = t.ExpiresAt.Format(time.RFC3339)
					}
					about := t.Description
					if t.Purpose != "" {
						about = "session of " + t.AuthID
					}
					rows = append(rows, []string{t.ID, t.TenantUUID, strings.Join(t.ACL, " "), expires, about})
				}
				return e.show(list, []string{"ID", "TENANT", "ACL", "EXPIRES", "DESCRIPTION"}, rows)
			})
		},
	}
}

func tokenRevoke(e *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke ID",
		Short: "Revoke a token by its id",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withClient(cmd.Context(), func(c *control.Client) error {
				return c.Do(cmd.Context(), "DELETE", control.Path("tokens", args[0]), nil, nil)
			})
		},
	}
}
