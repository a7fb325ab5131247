package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"callrecordd/internal/events"
	"callrecordd/internal/webhook"
)

// Webhooks keeps subscriptions.
type Webhooks interface {
	InsertWebhook(ctx context.Context, s webhook.Subscription, actor string) error
	UpdateWebhook(ctx context.Context, s webhook.Subscription, actor string) error
	DeleteWebhook(ctx context.Context, uuid, actor string) error
	Webhooks(ctx context.Context, tenants []string) ([]webhook.Subscription, error)
	Deliveries(ctx context.Context, f webhook.DeliveryFilter) (list []webhook.Delivery, total int, err error)
	Replay(ctx context.Context, subscription, delivery, actor string) (int, error)
	// AllowPrivate says whether private addresses may be sent to, Attempts after
	// how many a delivery is given up.
	AllowPrivate() bool
	Attempts() int
}

// mostSubscriptions is how many a tenant may have.
const mostSubscriptions = 100

// webhookRoutes are the rows of webhookd.
func (s *Server) webhookRoutes() []route {
	const one, acl = "/subscriptions/{subscription_uuid:uuid}", "webhookd.subscriptions."
	const oneACL = acl + "{subscription_uuid}."
	ok := func(about string, body any) []answerRow {
		return []answerRow{{status: http.StatusOK, about: about, body: body}}
	}
	replayed := ok("How many will be sent again", replayedJSON{})
	rows := []route{
		{
			method: "GET", path: "/subscriptions", acl: acl + "read", summary: "List subscriptions",
			query: []param{
				{name: "recurse", kind: boolean, about: "Those of the tenants below as well."},
				{name: "search_metadata", kind: text, about: "Only those with this key:value in their metadata."},
			},
			answers: ok("The subscriptions", subscriptionsJSON{}), handle: s.listSubscriptions,
		},
		{
			method: "POST", path: "/subscriptions", acl: acl + "create", summary: "Subscribe a URL to events", body: subscribeJSON{},
			answers: []answerRow{{status: http.StatusCreated, about: "The subscription, with the secret that signs: it is shown this once", body: subscribedJSON{}}},
			handle:  s.createSubscription,
		},
		{
			method: "GET", path: "/subscriptions/services", acl: acl + "services.read", summary: "List how events can be sent",
			answers: ok("The services", map[string]map[string]any{}), handle: listHookServices,
		},
		{method: "GET", path: one, acl: oneACL + "read", summary: "Get a subscription", answers: ok("The subscription", subscriptionJSON{}), handle: s.getSubscription},
		{
			method: "PUT", path: one, acl: oneACL + "update", summary: "Change a subscription", body: subscribeJSON{},
			answers: ok("The subscription", subscriptionJSON{}), handle: s.putSubscription,
		},
		{
			method: "DELETE", path: one, acl: oneACL + "delete", summary: "Delete a subscription with its deliveries",
			answers: []answerRow{{status: http.StatusNoContent, about: "It is gone"}}, handle: s.deleteSubscription,
		},
		{
			method: "GET", path: one + "/logs", acl: oneACL + "logs.read", summary: "List deliveries, the newest first",
			query: []param{
				{name: "state", kind: text, choices: hookStates(), about: "Only those that wait, have arrived, or were given up."},
				{name: "direction", kind: text, choices: []string{"asc", "desc"}, about: "The newest first (desc, the default) or last."},
				{name: "limit", kind: integer, about: "How many at most; 100 is the default, 1000 the most."},
				{name: "offset", kind: integer, about: "How many to leave out."},
			},
			answers: ok("The deliveries", hookLogsJSON{}), handle: s.listHookLogs,
		},
		{
			method: "POST", path: one + "/logs/{log_uuid:uuid}/replay", acl: oneACL + "logs.{log_uuid}.replay.create",
			summary: "Send an event again that has arrived or was given up", answers: replayed, handle: s.replay,
		},
		{method: "POST", path: one + "/replay", acl: oneACL + "replay.create", summary: "Send all events again that were given up", answers: replayed, handle: s.replay},
	}
	for i := range rows {
		rows[i].service = Webhookd
	}
	return rows
}

// The bodies of these routes. What is not Wazo's is recurse, acl and secret.
type (
	hookConfigJSON struct {
		URL               string  `json:"url"`
		Method            string  `json:"method"`
		Body              *string `json:"body"`
		ContentType       *string `json:"content_type"`
		VerifyCertificate *string `json:"verify_certificate"`
	}
	subscribeJSON struct {
		Name           string            `json:"name"`
		Service        string            `json:"service"`
		Config         hookConfigJSON    `json:"config"`
		Events         []string          `json:"events"`
		EventsUserUUID *string           `json:"events_user_uuid,omitempty"`
		OwnerUserUUID  *string           `json:"owner_user_uuid,omitempty"`
		Metadata       map[string]string `json:"metadata,omitempty"`
		Recurse        bool              `json:"recurse,omitempty"`
	}
	subscriptionJSON struct {
		UUID            string            `json:"uuid"`
		Name            string            `json:"name"`
		Service         string            `json:"service"`
		Config          hookConfigJSON    `json:"config"`
		Events          []string          `json:"events"`
		EventsUserUUID  *string           `json:"events_user_uuid"`
		EventsWazoUUID  *string           `json:"events_wazo_uuid"`
		OwnerUserUUID   *string           `json:"owner_user_uuid"`
		OwnerTenantUUID string            `json:"owner_tenant_uuid"`
		Metadata        map[string]string `json:"metadata"`
		Recurse         bool              `json:"recurse"`
		ACL             []string          `json:"acl"`
		CreatedAt       *string           `json:"created_at"`
	}
	subscribedJSON struct {
		subscriptionJSON
		Secret string `json:"secret"`
	}
	subscriptionsJSON struct {
		Items []subscriptionJSON `json:"items"`
		Total int                `json:"total"`
	}
	hookLogJSON struct {
		UUID        string          `json:"uuid"`
		State       string          `json:"state"`
		Status      string          `json:"status"`
		CreatedAt   *string         `json:"created_at"`
		StartedAt   *string         `json:"started_at"`
		EndedAt     *string         `json:"ended_at"`
		NextAt      *string         `json:"next_at"`
		Attempts    int             `json:"attempts"`
		MaxAttempts int             `json:"max_attempts"`
		Event       json.RawMessage `json:"event"`
		Detail      hookDetailJSON  `json:"detail"`
	}
	hookDetailJSON struct {
		HTTPStatus *int    `json:"http_status"`
		Message    *string `json:"message"`
	}
	hookLogsJSON struct {
		Items []hookLogJSON `json:"items"`
		Total int           `json:"total"`
	}
	replayedJSON struct {
		Replayed int `json:"replayed"`
	}
)

func hookStates() []string {
	return []string{string(webhook.Pending), string(webhook.Delivered), string(webhook.Dead)}
}

func subscriptionToJSON(w webhook.Subscription) subscriptionJSON {
	out := subscriptionJSON{
		UUID: w.UUID, Name: w.Name, Service: "http", Events: w.Events, EventsUserUUID: orNull(w.EventsUserUUID),
		OwnerUserUUID: orNull(w.OwnerUserUUID), OwnerTenantUUID: w.TenantUUID, Metadata: w.Metadata, Recurse: w.Recurse, ACL: w.ACL,
		CreatedAt: timestamp(w.CreatedAt),
		Config: hookConfigJSON{
			w.Config.URL, w.Config.Method, orNull(w.Config.Body), orNull(w.Config.ContentType), orNull(w.Config.VerifyCertificate),
		},
	}
	if out.Metadata == nil {
		out.Metadata = map[string]string{}
	}
	return out
}

// hookStatus is what Wazo calls the state of a delivery.
func hookStatus(d webhook.Delivery) string {
	switch {
	case d.State == webhook.Delivered:
		return "success"
	case d.State == webhook.Dead:
		return "failure"
	case d.Attempts > 0:
		return "error"
	}
	return "pending"
}

func listHookServices(w http.ResponseWriter, _ *http.Request, _ request) error {
	writeJSON(w, http.StatusOK, map[string]map[string]any{"services": {"http": map[string]any{}}})
	return nil
}

func (s *Server) listSubscriptions(w http.ResponseWriter, r *http.Request, rc request) error {
	p := newParams(queryOf(r))
	tenants := []string{rc.tenant}
	if p.boolean("recurse", false) {
		tenants = rc.visible
	}
	if problem := p.problem(); problem != nil {
		return problem
	}
	list, err := s.webhooks.Webhooks(r.Context(), tenants)
	if err != nil {
		return err
	}
	out := subscriptionsJSON{Items: []subscriptionJSON{}}
	for _, sub := range list {
		if hasMetadata(sub, p.values["search_metadata"]) {
			out.Items = append(out.Items, subscriptionToJSON(sub))
		}
	}
	out.Total = len(out.Items)
	writeJSON(w, http.StatusOK, out)
	return nil
}

// hasMetadata says whether all key:value pairs are there; what is no pair does
// not count, as upstream.
func hasMetadata(sub webhook.Subscription, pairs []string) bool {
	return !slices.ContainsFunc(pairs, func(pair string) bool {
		key, value, ok := strings.Cut(pair, ":")
		have, there := sub.Metadata[key]
		return ok && (!there || have != value)
	})
}

func subscriptionNotFound(uuid string) *problem {
	return &problem{
		http.StatusNotFound, "no-such-subscription", "No such subscription", map[string]any{"subscription_uuid": uuid},
	}
}

func (s *Server) findSubscription(r *http.Request, rc request) (webhook.Subscription, error) {
	id := strings.ToLower(r.PathValue("subscription_uuid"))
	list, err := s.webhooks.Webhooks(r.Context(), rc.visible)
	if err != nil {
		return webhook.Subscription{}, err
	}
	i := slices.IndexFunc(list, func(sub webhook.Subscription) bool { return sub.UUID == id })
	if i < 0 {
		return webhook.Subscription{}, subscriptionNotFound(id)
	}
	return list[i], nil
}

func (s *Server) getSubscription(w http.ResponseWriter, r *http.Request, rc request) error {
	sub, err := s.findSubscription(r, rc)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, subscriptionToJSON(sub))
	return nil
}

func (s *Server) createSubscription(w http.ResponseWriter, r *http.Request, rc request) error {
	sub := webhook.Subscription{UUID: uuid.NewString(), TenantUUID: rc.tenant, Secret: webhook.NewSecret(), CreatedAt: s.now()}
	if err := s.readSubscription(r, rc, &sub); err != nil {
		return err
	}
	list, err := s.webhooks.Webhooks(r.Context(), []string{rc.tenant})
	if err != nil {
		return err
	}
	if len(list) >= mostSubscriptions {
		return &problem{
			http.StatusConflict, "too-many-subscriptions", "The tenant has as many subscriptions as it may have",
			map[string]any{"most": mostSubscriptions},
		}
	}
	if err := s.webhooks.InsertWebhook(r.Context(), sub, rc.actor()); err != nil {
		return err
	}
	w.Header().Set("Location", rc.origin.path(Webhookd.version()+"/subscriptions/"+sub.UUID))
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusCreated, subscribedJSON{subscriptionToJSON(sub), sub.Secret})
	return nil
}

// putSubscription replaces all but the secret. From then on it is told of what
// the token that changed it may see.
func (s *Server) putSubscription(w http.ResponseWriter, r *http.Request, rc request) error {
	sub, err := s.findSubscription(r, rc)
	if err != nil {
		return err
	}
	if err := s.readSubscription(r, rc, &sub); err != nil {
		return err
	}
	if err := s.webhooks.UpdateWebhook(r.Context(), sub, rc.actor()); err != nil {
		return hookGone(err, sub.UUID)
	}
	writeJSON(w, http.StatusOK, subscriptionToJSON(sub))
	return nil
}

// hookGone is the answer if it has gone meanwhile.
func hookGone(err error, uuid string) error {
	if errors.Is(err, webhook.ErrNotFound) {
		return subscriptionNotFound(uuid)
	}
	return err
}

func (s *Server) deleteSubscription(w http.ResponseWriter, r *http.Request, rc request) error {
	sub, err := s.findSubscription(r, rc)
	if err != nil {
		return err
	}
	if err := s.webhooks.DeleteWebhook(r.Context(), sub.UUID, rc.actor()); err != nil {
		return hookGone(err, sub.UUID)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) listHookLogs(w http.ResponseWriter, r *http.Request, rc request) error {
	sub, err := s.findSubscription(r, rc)
	if err != nil {
		return err
	}
	const most = 1000
	p := newParams(queryOf(r))
	f := webhook.DeliveryFilter{
		Subscription: sub.UUID, State: webhook.State(p.choice("state", "", hookStates()...)),
		Ascending: p.choice("direction", "desc", "asc", "desc") == "asc", Limit: p.count("limit", 100), Offset: p.count("offset", 0),
	}
	if problem := p.problem(); problem != nil {
		return problem
	}
	if f.Limit == 0 || f.Limit > most {
		f.Limit = most
	}
	list, total, err := s.webhooks.Deliveries(r.Context(), f)
	if err != nil {
		return err
	}
	out := hookLogsJSON{Items: []hookLogJSON{}, Total: total}
	for _, d := range list {
		item := hookLogJSON{
			UUID: d.UUID, State: string(d.State), Status: hookStatus(d), CreatedAt: timestamp(d.CreatedAt), StartedAt: timestamp(d.StartedAt),
			EndedAt: timestamp(d.EndedAt), Attempts: d.Attempts, MaxAttempts: s.webhooks.Attempts(), Event: visibleEvent(d.Payload, rc),
			Detail: hookDetailJSON{orNull(d.Status), orNull(d.Detail)},
		}
		if d.State == webhook.Pending {
			item.NextAt = timestamp(d.NextAt)
		}
		out.Items = append(out.Items, item)
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

// visibleEvent is a delivered event as far as who reads the log may see it: the
// subscription may be told of more than its reader.
func visibleEvent(payload []byte, rc request) json.RawMessage {
	var e events.Event
	if err := json.Unmarshal(payload, &e); err != nil {
		return json.RawMessage("null")
	}
	if rc.token.Allows(e.RequiredACL) && slices.Contains(rc.visible, e.TenantUUID) {
		return payload
	}
	e.Data = json.RawMessage("null")
	shown, err := json.Marshal(e)
	if err != nil {
		return json.RawMessage("null")
	}
	return shown
}

// replay has one delivery made again, or all that were given up.
func (s *Server) replay(w http.ResponseWriter, r *http.Request, rc request) error {
	sub, err := s.findSubscription(r, rc)
	if err != nil {
		return err
	}
	id := strings.ToLower(r.PathValue("log_uuid"))
	n, err := s.webhooks.Replay(r.Context(), sub.UUID, id, rc.actor())
	if errors.Is(err, webhook.ErrNotFound) {
		return &problem{http.StatusNotFound, "no-such-subscription-log", "No such delivery", map[string]any{"log_uuid": id}}
	}
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, replayedJSON{n})
	return nil
}
