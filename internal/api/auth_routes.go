package api

import (
	"context"
	"net/http"

	"callrecordd/internal/auth"
	"callrecordd/internal/directory"
)

// AccountOptions are what the auth service needs. Zero, its routes must not be
// called.
type AccountOptions struct {
	Accounts  *auth.Accounts
	Tokens    *auth.Service
	Directory *directory.Service
	// UserTenants are the tenants of whom a uuid is or was, as far as the directory's
	// history or, without one there, calls know it.
	UserTenants func(ctx context.Context, uuid string) ([]string, error)
	// StackUUID names this installation in tokens.
	StackUUID string
}

// accountRoutes are the rows of the auth service: tokens, users, policies and
// tenants (auth-and-clients 1.4 to 1.9).
func (s *Server) accountRoutes() []route {
	var out []route
	for _, rows := range [][]route{s.tokenRoutes(), s.accountUserRoutes(), s.policyRoutes(), s.tenantRoutes()} {
		out = append(out, rows...)
	}
	for i := range out {
		out[i].service = Auth
	}
	return out
}

func sends(about string, body any) []answerRow {
	return []answerRow{{status: http.StatusOK, about: about, body: body}}
}

func sendsNothing(about string) []answerRow {
	return []answerRow{{status: http.StatusNoContent, about: about}}
}

func (s *Server) tokenRoutes() []route {
	return []route{
		{
			method: "GET", path: "/backends", summary: "The ways to log in",
			answers: sends("Their names", backendsJSON{}), handle: s.backends,
		},
		{
			method: "POST", path: "/token", summary: "Log in",
			body: loginJSON{}, answers: sends("The token", tokenAnswer{}), handle: s.createToken,
		},
		{
			method: "GET", path: "/token/{token:uuid}", summary: "What a token may do; who knows it may ask",
			query: checkParams(), answers: sends("The token", tokenAnswer{}), handle: s.getToken,
		},
		{
			method: "HEAD", path: "/token/{token:uuid}", summary: "Whether a token may do something",
			query: checkParams(), answers: sendsNothing("It may"), handle: s.headToken,
		},
		{
			method: "DELETE", path: "/token/{token:uuid}", summary: "Log out",
			answers: sends("It is valid no more", messageAnswer{}), handle: s.deleteToken,
		},
		{
			method: "POST", path: "/token/{token:uuid}/scopes/check", summary: "What of a list a token may do",
			body: scopesJSON{}, answers: sends("Each scope with whether it may", scopesAnswer{}), handle: s.checkScopes,
		},
		{
			method: "GET", path: "/tokens", acl: "auth.tokens.read", summary: "List refresh tokens",
			query: append(refreshParams(), recurseParam()), answers: sends("Without their secrets", refreshList{}), handle: s.listRefresh,
		},
		{
			method: "GET", path: "/users/me/tokens", acl: "auth.users.me.tokens.read", summary: "List one's own refresh tokens",
			query: refreshParams(), answers: sends("Without their secrets", refreshList{}), handle: s.listMyRefresh,
		},
		{
			method: "GET", path: "/users/{user:uuid}/tokens", acl: "auth.users.{user}.tokens.read", summary: "List a user's refresh tokens",
			query: refreshParams(), answers: sends("Without their secrets", refreshList{}), handle: s.listUserRefresh,
		},
		{
			method: "DELETE", path: "/users/me/tokens/{client_id}", acl: "auth.users.me.tokens.{client_id}.delete",
			summary: "Delete one's own refresh token of a client", answers: sendsNothing("It is gone"), handle: s.deleteMyRefresh,
		},
		{
			method: "DELETE", path: "/users/{user:uuid}/tokens/{client_id}", acl: "auth.users.{user}.tokens.{client_id}.delete",
			summary: "Delete a user's refresh token of a client", answers: sendsNothing("It is gone"), handle: s.deleteUserRefresh,
		},
		{
			method: "GET", path: "/sessions", acl: "auth.sessions.read", summary: "List sessions",
			query: append(pageParams(), recurseParam()), answers: sends("The sessions", sessionList{}), handle: s.listSessions,
		},
		{
			method: "DELETE", path: "/sessions/{session:uuid}", acl: "auth.sessions.{session}.delete", summary: "End a session",
			answers: sendsNothing("It has ended"), handle: s.deleteSession,
		},
		{
			method: "GET", path: "/users/{user:uuid}/sessions", acl: "auth.users.{user}.sessions.read", summary: "List a user's sessions",
			query: pageParams(), answers: sends("The sessions", sessionList{}), handle: s.listUserSessions,
		},
		{
			method: "DELETE", path: "/users/{user:uuid}/sessions/{session:uuid}", acl: "auth.users.{user}.sessions.{session}.delete",
			summary: "End a user's session", answers: sendsNothing("It has ended"), handle: s.deleteUserSession,
		},
	}
}

func (s *Server) accountUserRoutes() []route {
	return []route{
		{
			method: "GET", path: "/users", acl: "auth.users.read", summary: "List users",
			query: userParams(), answers: sends("The users", userList{}), handle: s.listUsers,
		},
		{
			method: "POST", path: "/users", acl: "auth.users.create", summary: "Create a user",
			body: newUserJSON{}, answers: sends("The user", userJSON{}), handle: s.createUser,
		},
		{
			method: "GET", path: "/users/{user:uuid}", acl: "auth.users.{user}.read", summary: "Get a user",
			answers: sends("The user", userJSON{}), handle: s.getUser,
		},
		{
			method: "PUT", path: "/users/{user:uuid}", acl: "auth.users.{user}.update", summary: "Change a user",
			body: newUserJSON{}, answers: sends("The user", userJSON{}), handle: s.putUser,
		},
		{
			method: "DELETE", path: "/users/{user:uuid}", acl: "auth.users.{user}.delete", summary: "Delete a user",
			answers: sendsNothing("It is gone, with its tokens"), handle: s.deleteUser,
		},
		{
			method: "PUT", path: "/users/{user:uuid}/password", acl: "auth.users.{user}.password.update", summary: "Change a password",
			body: passwordJSON{}, answers: sendsNothing("It is changed, and all sessions have ended"), handle: s.putPassword,
		},
		{
			method: "GET", path: "/users/{user:uuid}/policies", acl: "auth.users.{user}.policies.read", summary: "List a user's policies",
			query: pageParams(), answers: sends("The policies", policyPage{}), handle: s.listUserPolicies,
		},
		{
			method: "PUT", path: "/users/{user:uuid}/policies/{policy:ref}", acl: "auth.users.{user}.policies.{policy}.create",
			summary: "Give a user a policy", answers: sendsNothing("The user has it"), handle: s.putUserPolicy,
		},
		{
			method: "DELETE", path: "/users/{user:uuid}/policies/{policy:ref}", acl: "auth.users.{user}.policies.{policy}.delete",
			summary: "Take a policy from a user", answers: sendsNothing("The user does not have it"), handle: s.deleteUserPolicy,
		},
		{
			method: "GET", path: "/users/{user:uuid}/groups", acl: "auth.users.{user}.groups.read", summary: "List a user's groups",
			query: pageParams(), answers: sends("There are no groups of accounts here", groupList{}), handle: s.listUserGroups,
		},
	}
}

func (s *Server) policyRoutes() []route {
	return []route{
		{
			method: "GET", path: "/policies", acl: "auth.policies.read", summary: "List policies",
			query: policyParams(), answers: sends("The policies", policyList{}), handle: s.listPolicies,
		},
		{
			method: "POST", path: "/policies", acl: "auth.policies.create", summary: "Create a policy",
			body: newPolicyJSON{}, answers: sends("The policy", policyJSON{}), handle: s.createPolicy,
		},
		{
			method: "GET", path: "/policies/{policy:ref}", acl: "auth.policies.{policy}.read", summary: "Get a policy",
			answers: sends("The policy", policyJSON{}), handle: s.getPolicy,
		},
		{
			method: "PUT", path: "/policies/{policy:ref}", acl: "auth.policies.{policy}.edit", summary: "Change a policy",
			body: newPolicyJSON{}, answers: sends("The policy", policyJSON{}), handle: s.putPolicy,
		},
		{
			method: "DELETE", path: "/policies/{policy:ref}", acl: "auth.policies.{policy}.delete", summary: "Delete a policy",
			answers: sendsNothing("It is gone"), handle: s.deletePolicy,
		},
		{
			method: "PUT", path: "/policies/{policy:ref}/acl/{access}", acl: "auth.policies.{policy}.edit", summary: "Add an access to a policy",
			answers: sendsNothing("It is in"), handle: s.putAccess,
		},
		{
			method: "DELETE", path: "/policies/{policy:ref}/acl/{access}", acl: "auth.policies.{policy}.edit",
			summary: "Remove an access from a policy", answers: sendsNothing("It is out"), handle: s.deleteAccess,
		},
	}
}

func (s *Server) tenantRoutes() []route {
	return []route{
		{
			method: "GET", path: "/tenants", acl: "auth.tenants.read", summary: "List the tenant and those below",
			query: tenantParams(), answers: sends("The tenants", tenantList{}), handle: s.listTenants,
		},
		{
			method: "POST", path: "/tenants", acl: "auth.tenants.create", summary: "Create a tenant below",
			body: newTenantJSON{}, answers: sends("The tenant", tenantJSON{}), handle: s.createTenant,
		},
		{
			method: "GET", path: "/tenants/{tenant:uuid}", acl: "auth.tenants.{tenant}.read", summary: "Get a tenant",
			answers: sends("The tenant", tenantJSON{}), handle: s.getTenant,
		},
		{
			method: "PUT", path: "/tenants/{tenant:uuid}", acl: "auth.tenants.{tenant}.edit", summary: "Change a tenant",
			body: newTenantJSON{}, answers: sends("The tenant", tenantJSON{}), handle: s.putTenant,
		},
		{
			method: "DELETE", path: "/tenants/{tenant:uuid}", acl: "auth.tenants.{tenant}.delete",
			summary: "Delete a tenant that owns nothing", answers: sendsNothing("It is gone"), handle: s.deleteTenant,
		},
	}
}
