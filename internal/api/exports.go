package api

// exportRoutes are the rows of exports, deletion, retention and holds.
func (s *Server) exportRoutes() []route { return nil }
