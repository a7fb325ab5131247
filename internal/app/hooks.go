package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"callrecordd/config"
	"callrecordd/internal/auth"
	"callrecordd/internal/control"
	"callrecordd/internal/directory"
	"callrecordd/internal/webhook"
	"callrecordd/store"
)

// HookOptions are what Hooks need. Feed is nil without a daemon, which alone
// delivers.
type HookOptions struct {
	Config    config.Config
	Store     *store.Store
	Directory *directory.Service
	Accounts  *auth.Accounts
	Tokens    *auth.Service
	Feed      webhook.Feed
	Version   string
	Now       func() time.Time
	NewUUID   func() string
	Log       *slog.Logger
}

// Hooks are webhooks, put together. The command line uses them without a daemon,
// too.
type Hooks struct {
	*webhook.Service
	opt HookOptions
}

// NewHooks fits the parts together.
func NewHooks(o HookOptions) *Hooks {
	c := o.Config.Webhooks
	return &Hooks{opt: o, Service: webhook.New(webhook.Options{
		Repo: o.Store, Feed: o.Feed, Workers: c.Workers, Timeout: c.Timeout, Attempts: c.Attempts, Keep: c.Keep,
		AllowPrivate: c.AllowPrivate, Agent: "callrecordd/" + o.Version, Now: o.Now, NewUUID: o.NewUUID, Log: o.Log,
		Sees: (&makers{opt: o, tokens: map[string]bool{}}).sees,
	})}
}

// HookRequest makes a subscription over the control socket.
type HookRequest struct {
	TenantUUID string   `json:"tenant_uuid"`
	Name       string   `json:"name"`
	URL        string   `json:"url"`
	Events     []string `json:"events"`
	UserUUID   string   `json:"user_uuid,omitempty"`
	Recurse    bool     `json:"recurse,omitempty"`
	ACL        []string `json:"acl,omitempty"`
	Insecure   bool     `json:"insecure,omitempty"`
}

// HookStatus is a subscription as the command line shows it. Secret is there
// when it has just been made.
type HookStatus struct {
	webhook.Subscription
	Waiting int    `json:"waiting"`
	Dead    int    `json:"dead"`
	Secret  string `json:"secret,omitempty"`
}

// HookDelivery is a delivery as the command line shows it.
type HookDelivery struct {
	webhook.Delivery
	Payload json.RawMessage `json:"payload"`
}

// Routes are the commands of the control socket.
func (h *Hooks) Routes() []control.Route {
	return []control.Route{
		{Pattern: "GET /v1/webhooks", Handle: h.list},
		{Pattern: "POST /v1/webhooks", Handle: h.create},
		{Pattern: "GET /v1/webhooks/{uuid}", Handle: h.show},
		{Pattern: "DELETE /v1/webhooks/{uuid}", Handle: h.remove},
		{Pattern: "GET /v1/webhooks/{uuid}/deliveries", Handle: h.deliveries},
		{Pattern: "POST /v1/webhooks/{uuid}/replay", Handle: h.replay},
	}
}

func (h *Hooks) status(ctx context.Context, s webhook.Subscription) (out HookStatus, err error) {
	out.Subscription = s
	for state, to := range map[webhook.State]*int{webhook.Pending: &out.Waiting, webhook.Dead: &out.Dead} {
		if _, *to, err = h.Deliveries(ctx, webhook.DeliveryFilter{Subscription: s.UUID, State: state, Limit: 1}); err != nil {
			return out, err
		}
	}
	return out, nil
}

func (h *Hooks) list(r *http.Request, _ []byte) (any, error) {
	all, err := h.Webhooks(r.Context(), nil)
	out := make([]HookStatus, 0, len(all))
	for _, s := range all {
		status, err := h.status(r.Context(), s)
		if err != nil {
			return nil, err
		}
		out = append(out, status)
	}
	return out, err
}

func (h *Hooks) find(r *http.Request) (webhook.Subscription, error) {
	id := strings.ToLower(r.PathValue("uuid"))
	all, err := h.Webhooks(r.Context(), nil)
	if err != nil {
		return webhook.Subscription{}, err
	}
	i := slices.IndexFunc(all, func(s webhook.Subscription) bool { return s.UUID == id })
	if i < 0 {
		return webhook.Subscription{}, refuse(http.StatusNotFound, "there is no subscription %q", id)
	}
	return all[i], nil
}

func (h *Hooks) show(r *http.Request, _ []byte) (any, error) {
	s, err := h.find(r)
	if err != nil {
		return nil, err
	}
	return h.status(r.Context(), s)
}

func (h *Hooks) create(r *http.Request, body []byte) (any, error) {
	var req HookRequest
	if err := control.Strict(body, &req); err != nil {
		return nil, err
	}
	if _, ok := h.opt.Directory.Book().Tenant(req.TenantUUID); !ok {
		return nil, refuse(http.StatusNotFound, "tenant %q does not exist", req.TenantUUID)
	}
	switch err := webhook.CheckURL(req.URL, h.AllowPrivate()); {
	case err != nil:
		return nil, refuse(http.StatusBadRequest, "the address %s", err)
	case req.Name == "":
		return nil, refuse(http.StatusBadRequest, "a subscription needs a name")
	case len(req.Events) == 0:
		return nil, refuse(http.StatusBadRequest, "name the events, or * for all")
	}
	s := webhook.Subscription{
		UUID: h.opt.NewUUID(), TenantUUID: req.TenantUUID, Name: req.Name, Events: req.Events, EventsUserUUID: req.UserUUID,
		Recurse: req.Recurse, ACL: req.ACL, Secret: webhook.NewSecret(), CreatedAt: h.opt.Now(),
		Config: webhook.Config{URL: req.URL, Method: "post", VerifyCertificate: "true"},
	}
	if len(s.ACL) == 0 {
		s.ACL = []string{"events.#"}
	}
	if req.Insecure {
		s.Config.VerifyCertificate = "false"
	}
	if err := h.InsertWebhook(r.Context(), s, control.Actor(r)); err != nil {
		return nil, err
	}
	return HookStatus{Subscription: s, Secret: s.Secret}, nil
}

func (h *Hooks) remove(r *http.Request, _ []byte) (any, error) {
	s, err := h.find(r)
	if err != nil {
		return nil, err
	}
	return nil, h.DeleteWebhook(r.Context(), s.UUID, control.Actor(r))
}

func (h *Hooks) deliveries(r *http.Request, _ []byte) (any, error) {
	s, err := h.find(r)
	if err != nil {
		return nil, err
	}
	const most = 1000
	list, _, err := h.Deliveries(r.Context(), webhook.DeliveryFilter{
		Subscription: s.UUID, State: webhook.State(r.URL.Query().Get("state")), Limit: most,
	})
	out := make([]HookDelivery, 0, len(list))
	for _, d := range list {
		out = append(out, HookDelivery{d, d.Payload})
	}
	return out, err
}

// replay is of one delivery, or of all that were given up.
func (h *Hooks) replay(r *http.Request, body []byte) (any, error) {
	var req struct {
		Delivery string `json:"delivery"`
	}
	if err := control.Strict(body, &req); err != nil {
		return nil, err
	}
	s, err := h.find(r)
	if err != nil {
		return nil, err
	}
	n, err := h.Replay(r.Context(), s.UUID, strings.ToLower(req.Delivery), control.Actor(r))
	if errors.Is(err, webhook.ErrNotFound) {
		return nil, refuse(http.StatusNotFound, "there is no delivery %q of this subscription", req.Delivery)
	}
	if err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	return map[string]int{"replayed": n}, nil
}
