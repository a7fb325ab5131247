package ari

import "time"

// Info describes the running Asterisk.
type Info struct {
	// Version is as Asterisk prints it, such as "22.4.1".
	Version string
	// EntityID identifies the system; it may be empty.
	EntityID string
	// SystemName is systemname of asterisk.conf, the prefix of uniqueids.
	SystemName string
	// StartupTime tells one run of Asterisk from another: uniqueids repeat.
	StartupTime time.Time
	// LastReload is when the configuration was last reloaded.
	LastReload time.Time
}

// CallerID is a name and a number, either may be empty.
type CallerID struct{ Name, Number string }

// Dialplan is where a channel is in the dialplan and what it executes there.
type Dialplan struct {
	Context, Exten   string
	Priority         int
	AppName, AppData string
}

// Channel is the snapshot of a channel.
type Channel struct {
	// ID is the uniqueid.
	ID string
	// Name is such as "PJSIP/alice-00000001"; a masquerade changes it.
	Name string
	// State is Asterisk's word: Down, Ring, Ringing, Up …
	State             string
	Caller, Connected CallerID
	AccountCode       string
	Dialplan          Dialplan
	CreationTime      time.Time
	// ChannelVars are the variables that channelvars of ari.conf names.
	ChannelVars map[string]string
	// TenantID is the endpoint's tenantid (Asterisk 22), otherwise empty.
	TenantID string
}

// Bridge is the snapshot of a bridge.
type Bridge struct {
	ID string
	// Technology is such as simple_bridge, native_rtp, softmix, holding_bridge.
	Technology string
	// Type is mixing or holding, Class basic, base, stasis …
	Type, Class   string
	Creator, Name string
	// Channels are the ids of the channels in it.
	Channels []string
}

// Endpoint is a device Asterisk knows.
type Endpoint struct {
	// Technology and Resource are the parts of a name such as "PJSIP/alice".
	Technology, Resource string
	// State is unknown, offline or online.
	State    string
	Channels []string
}

// Module is a module of Asterisk.
type Module struct {
	Name, Description string
	// Status is such as "Running".
	Status       string
	SupportLevel string
	UseCount     int
}

// RTPStats are the counters of a channel's audio stream, zero where Asterisk
// gives none.
type RTPStats struct {
	// ChannelID is the uniqueid of the channel.
	ChannelID string
	// RxCount and TxCount are packets received and sent.
	RxCount, TxCount int64
	// RxOctets and TxOctets are bytes of payload.
	RxOctets, TxOctets int64
	// RxLost and TxLost are lost packets.
	RxLost, TxLost int64
	// RxJitter, TxJitter and RTT are seconds.
	RxJitter, TxJitter, RTT float64
}

// App is a registered Stasis application.
type App struct {
	Name string
	// EventsAllowed and EventsDisallowed are the types in its event filter.
	EventsAllowed, EventsDisallowed []string
	// Channels are the ids of the channels it is subscribed to.
	Channels []string
}

// Playback is a sound being played.
type Playback struct {
	ID, MediaURI, TargetURI string
	// State is queued, playing, done …
	State string
}

// SnoopOptions describe a snoop channel.
type SnoopOptions struct {
	// ID becomes the uniqueid of the snoop channel; we choose it so that it
	// is known whatever happens to the answer.
	ID string
	// Spy and Whisper are none, in, out or both; "" is none.
	Spy, Whisper string
	// App is the Stasis application that gets the snoop channel.
	App, AppArgs string
}
