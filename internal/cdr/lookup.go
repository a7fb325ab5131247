package cdr

// Kinds of endpoints (design 5).
const (
	EndpointUser    = "user"
	EndpointTrunk   = "trunk"
	EndpointDevice  = "device"
	EndpointUnknown = "unknown"
)

// Endpoint is what the directory knows about a channel's endpoint. Fields that
// do not apply are empty; the zero Kind counts as unknown.
type Endpoint struct {
	Kind       string // user, trunk, device, unknown
	UserUUID   string
	UserName   string // as shown to people
	TenantUUID string
	LineID     int64
	Exten      string // main extension of the line
	Context    string // of Exten
	Tags       []string
}

// Queue is a queue of the directory.
type Queue struct {
	ID         int64
	Label      string
	TenantUUID string
	Exten      string
	Context    string
}

// Group is a ring group of the directory.
type Group struct {
	ID         int64
	Label      string
	TenantUUID string
	Exten      string
	Context    string
}

// Lookup is the directory as derivation needs it. Its answers must not change
// while one CDR is derived: the caller hands over a snapshot.
type Lookup interface {
	// Endpoint describes technology and resource, e.g. PJSIP/alice.
	Endpoint(endpoint string) Endpoint
	// UserAt finds the user whose line has this extension.
	UserAt(exten, context string) (Endpoint, bool)
	// Queue finds a queue by its name in app_queue.
	Queue(name string) (Queue, bool)
	// Group finds a group by the extension that dials it.
	Group(exten, context string) (Group, bool)
	// MasterTenant owns what nobody else does.
	MasterTenant() string
}
