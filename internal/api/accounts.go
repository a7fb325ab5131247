package api

// accountRoutes are the rows of the auth service: tokens, users, policies and
// tenants.
func (s *Server) accountRoutes() []route { return nil }
