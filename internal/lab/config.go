package lab

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"

	"callrecordd/dialplan"
)

// User is a telephone endpoint of the PBX with its extension.
type User struct {
	Name   string   // endpoint, such as alice
	Number string   // extension in context users, such as 1001
	PJSIP  []string // further endpoint options, such as "tenantid=acme"
}

// Config describes a private PBX. The zero value with a Dir is complete.
type Config struct {
	// Dir takes everything the instance writes; it is created if need be.
	Dir string
	// Users are the telephones. Default: DefaultUsers. At least three.
	Users []User
	// Trunks are provider endpoints, at most 7. Default: trunk-a. Outgoing
	// calls (9 and the number) leave through the first.
	Trunks []string
	// ARIPassword and AMIPassword are random by default.
	ARIPassword, AMIPassword string
	// AMIWrite replaces the shipped classes "system,call", for example by "call".
	AMIWrite string
	// NoLoad leaves modules out, such as "app_mixmonitor.so".
	NoLoad []string
	// ExtraFiles adds configuration files or replaces whole ones, by name
	// (such as "cel.conf"); an empty text leaves the file empty.
	ExtraFiles map[string]string
	// ExtraDialplan is appended to extensions.conf.
	ExtraDialplan string
	// SystemName prefixes uniqueids if set.
	SystemName string
	// FeaturesPath is the file in which the dialplan expects *26, by default in
	// the folder "state" below Dir. Context users includes its context.
	FeaturesPath string
	// Sounds are tones, in Hz, in place of spoken sounds such as "activated", so
	// that a telephone can tell which one it hears. They last a second.
	Sounds map[string]float64
	// SoundSeconds is how long they last instead.
	SoundSeconds float64
	// Stock starts from the configuration that the unpacked release ships, with
	// no snippet of ours: only folders, ports, log, telephones and their dialplan
	// are the lab's. ARI is off then, and AMI has no user.
	Stock bool
	// NoJournal leaves the CEL journal's file for Asterisk or setup to create.
	NoJournal bool
	// Log reports what the lab does. Default: nothing.
	Log *slog.Logger
}

// DefaultUsers are alice 1001, bob 1002, carol 1003 and dave 1004.
func DefaultUsers() []User {
	return []User{
		{Name: "alice", Number: "1001"},
		{Name: "bob", Number: "1002"},
		{Name: "carol", Number: "1003"},
		{Name: "dave", Number: "1004"},
	}
}

// The extensions of the dialplan that belong to no user. "bob" stands for the
// second user, "carol" for the third.
const (
	ExtenGroup       = "2000" // ring group: bob and carol
	ExtenQueue       = "3000" // queue "support", answered at once; bob and carol, ringall
	ExtenConference  = "4000" // ConfBridge, quiet
	ExtenPage        = "4100" // Page to bob and carol
	ExtenIVR         = "5000" // answers, plays the announcement, waits for a digit: 1 leads to bob
	ExtenMusic       = "5001" // answers, music on hold for ever
	ExtenEarly       = "5002" // the announcement as early media, then bob
	ExtenEcho        = "5003"
	ExtenPark        = "700"  // transfer here to park; retrieve at 701–720
	ExtenNoAnswer    = "1101" // bob for 3 s, then his mailbox
	ExtenBusy        = "1201"
	ExtenLocal       = "1301" // bob through a Local channel, which is optimised away
	ExtenForward     = "1401" // forwarded to bob through a Local channel that stays (/n)
	ExtenVoicemail   = "1901" // straight into bob's mailbox
	PrefixOut        = "9"    // and the number: out through the first trunk
	PrefixDID        = "555"  // and a user's number, 2000 or 3000: calls from a trunk
	PrefixPickup     = "**"   // and a user's number: directed pickup
	ExtenPickupGroup = "*8"   // picks up what rings; all users are one group
	FeatureBlind     = "#1"   // during a call
	FeatureAttended  = "*2"   // during a call
	FeatureThreeWay  = "*5"   // during the consultation of an attended transfer
	QueueName        = "support"
	ContextUsers     = "users"
	ContextTrunk     = "from-trunk"
)

// What the PBX itself plays are tones, so that a test can tell them from the
// phones: music on hold, and the announcement of the IVR and of early media,
// which lasts three seconds.
const (
	MusicHz        = 300.0
	AnnouncementHz = 2500.0
	RingHz         = 2100.0 // what a caller who has been answered before hears while somebody is called
)

const maxTrunks = 7 // ports between AMI's and the first of RTP, see ports.go

func (c Config) withDefaults() (Config, error) {
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return c, fmt.Errorf("find folder %q: %w", c.Dir, err)
	}
	c.Dir = dir
	if c.FeaturesPath == "" {
		c.FeaturesPath = filepath.Join(c.Dir, "state", "asterisk", filepath.Base(dialplan.DefaultFeaturesPath))
	}
	if c.Users == nil {
		c.Users = DefaultUsers()
	}
	if c.Trunks == nil {
		c.Trunks = []string{"trunk-a"}
	}
	if len(c.Users) < 3 || len(c.Trunks) > maxTrunks {
		return c, fmt.Errorf("%d users and %d trunks: need three users and at most %d trunks", len(c.Users), len(c.Trunks), maxTrunks)
	}
	if c.ARIPassword == "" {
		c.ARIPassword = randomHex()
	}
	if c.AMIPassword == "" {
		c.AMIPassword = randomHex()
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// number returns the extension of a user, empty if there is no such user.
func (c Config) number(user string) string {
	if i := slices.IndexFunc(c.Users, func(u User) bool { return u.Name == user }); i >= 0 {
		return c.Users[i].Number
	}
	return ""
}
