package main

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"callrecordd/internal/app"
	"callrecordd/internal/control"
	"callrecordd/internal/webhook"
)

func webhookCmd(e *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "webhook",
		Short: "Other servers that are told of events",
		Long:  "Other servers that are told of events: recordings that start, pause, stop and are ready, calls that are over, archives.",
	}
	cmd.AddCommand(webhookList(e), webhookShow(e), webhookCreate(e), webhookDelete(e), webhookDeliveries(e), webhookReplay(e))
	return cmd
}

func (e *environment) showWebhooks(list []app.HookStatus, v any) error {
	var rows [][]string
	for _, s := range list {
		rows = append(rows, []string{
			s.UUID, s.Name, s.TenantUUID, s.Config.URL, strings.Join(s.Events, " "), strconv.Itoa(s.Waiting), strconv.Itoa(s.Dead),
		})
	}
	return e.show(v, []string{"WEBHOOK", "NAME", "TENANT", "URL", "EVENTS", "WAITING", "DEAD"}, rows)
}

func webhookList(e *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List all",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withClient(cmd.Context(), func(c *control.Client) error {
				var list []app.HookStatus
				if err := c.Do(cmd.Context(), "GET", "webhooks", nil, &list); err != nil {
					return err
				}
				return e.showWebhooks(list, list)
			})
		},
	}
}

func webhookShow(e *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "show WEBHOOK",
		Short: "Show one",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withClient(cmd.Context(), func(c *control.Client) error {
				var s app.HookStatus
				if err := c.Do(cmd.Context(), "GET", control.Path("webhooks", args[0]), nil, &s); err != nil {
					return err
				}
				return e.showWebhooks([]app.HookStatus{s}, s)
			})
		},
	}
}

func webhookCreate(e *environment) *cobra.Command {
	var tenant string
	var req app.HookRequest
	cmd := &cobra.Command{
		Use:   "create URL",
		Short: "Tell a URL of events, and print its uuid and the secret that signs; that is shown this once",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withClient(cmd.Context(), func(c *control.Client) error {
				var err error
				if req.TenantUUID, err = findTenant(cmd.Context(), c, tenant); err != nil {
					return err
				}
				if req.URL = args[0]; req.Name == "" {
					req.Name = args[0]
				}
				var s app.HookStatus
				if err := c.Do(cmd.Context(), "POST", "webhooks", req, &s); err != nil {
					return err
				}
				return e.show(s, []string{"WEBHOOK", "SECRET"}, [][]string{{s.UUID, s.Secret}})
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&tenant, "tenant", "", "name or uuid of the tenant (default: the master tenant)")
	f.StringVar(&req.Name, "name", "", "what it is called (default: the URL)")
	f.StringSliceVar(&req.Events, "events", []string{"*"}, "names of events, see docs/events.md")
	f.StringVar(&req.UserUUID, "user", "", "only events about the user of that uuid")
	f.BoolVar(&req.Recurse, "recurse", false, "those of the tenants below, too")
	f.BoolVar(&req.Insecure, "insecure", false, "take any certificate")
	return cmd
}

func webhookDelete(e *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "delete WEBHOOK",
		Short: "Delete one, with what waits for it",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withClient(cmd.Context(), func(c *control.Client) error {
				return c.Do(cmd.Context(), "DELETE", control.Path("webhooks", args[0]), nil, nil)
			})
		},
	}
}

func webhookDeliveries(e *environment) *cobra.Command {
	var state string
	cmd := &cobra.Command{
		Use:   "deliveries WEBHOOK",
		Short: "List what was sent, waits or was given up, the newest first",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch webhook.State(state) {
			case "", webhook.Pending, webhook.Delivered, webhook.Dead:
			default:
				return fmt.Errorf("state %q is neither pending, delivered nor dead", state)
			}
			return e.withClient(cmd.Context(), func(c *control.Client) error {
				var list []app.HookDelivery
				path := control.Path("webhooks", args[0], "deliveries") + "?state=" + url.QueryEscape(state)
				if err := c.Do(cmd.Context(), "GET", path, nil, &list); err != nil {
					return err
				}
				var rows [][]string
				for _, d := range list {
					rows = append(rows, []string{
						d.UUID, d.CreatedAt.Local().Format(time.DateTime), d.Event, string(d.State), strconv.Itoa(d.Attempts), d.Detail,
					})
				}
				return e.show(list, []string{"DELIVERY", "TIME", "EVENT", "STATE", "ATTEMPTS", "WHY NOT"}, rows)
			})
		},
	}
	cmd.Flags().StringVar(&state, "state", "", "pending, delivered or dead (default: all)")
	return cmd
}

func webhookReplay(e *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "replay WEBHOOK [DELIVERY]",
		Short: "Send again what was given up, or one delivery",
		Args:  cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withClient(cmd.Context(), func(c *control.Client) error {
				req, out := map[string]string{}, map[string]int{}
				if len(args) == 2 {
					req["delivery"] = args[1]
				}
				if err := c.Do(cmd.Context(), "POST", control.Path("webhooks", args[0], "replay"), req, &out); err != nil {
					return err
				}
				return e.show(out, []string{"REPLAYED"}, [][]string{{strconv.Itoa(out["replayed"])}})
			})
		},
	}
}
