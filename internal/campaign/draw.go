package campaign

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/bench/load"
	"callrecordd/internal/campaign/voice"
)

// people is the number of callers and of callees.
const people = 10

func caller(i int) string { return fmt.Sprintf("caller%02d", i) }
func callee(i int) string { return fmt.Sprintf("callee%02d", i) }

// provider is the trunk, and outsider who calls through it.
const (
	provider = "trunk-a"
	outsider = "0301234567"
)

// flags are the rules of a user: of the callers some have all that they begin
// recorded, some may press *3, some have nothing; of the callees few have what
// they get recorded, and some only from outside.
func flags(name string) dialplan.Flags {
	var f dialplan.Flags
	switch name {
	case caller(0), caller(1), caller(2), caller(3), caller(4):
		f.OutgoingInternal, f.OutgoingExternal = true, true
	case caller(5):
		f.IncomingInternal, f.IncomingExternal = true, true // it never gets a call
	case caller(8), caller(9):
		f.OnDemand = true
	case callee(0), callee(1), callee(2), callee(4), callee(5):
		f.IncomingExternal = true
	case callee(3):
		f.IncomingInternal, f.IncomingExternal = true, true
	}
	return f
}

// Kind is where a call comes from and goes to.
type Kind string

// The kinds.
const (
	Internal Kind = "internal"
	Outbound Kind = "outbound"
	Inbound  Kind = "inbound"
)

// Ending is what becomes of a call if nothing goes wrong.
type Ending string

// The endings.
const (
	Talks      Ending = "talks"
	Unanswered Ending = "unanswered"
	Busy       Ending = "busy"
)

// Drawn is a call as it is meant to be.
type Drawn struct {
	N      int    `json:"n"`
	Exten  string `json:"exten"` // of this call alone: by it its CDR is found
	Kind   Kind   `json:"kind"`
	Caller string `json:"caller"`
	Callee string `json:"callee"`
	Ending Ending `json:"ending"`
	// Talk is from answer to BYE, in whole frames.
	Talk     time.Duration `json:"talk"`
	Patience time.Duration `json:"-"`
	// Presses are when *3 begins to be pressed, after the answer: to start, to
	// pause, to go on.
	Presses []time.Duration `json:"presses,omitempty"`
	// ByRule: a rule of a party wants it recorded.
	ByRule bool `json:"by_rule"`
}

// setup is how long a caller waits for a callee who answers at once: Asterisk
// may be away for a while.
const setup = 5 * time.Second

// draw draws the n-th call of a campaign; the same seed draws the same calls.
func draw(seed uint64, n int) Drawn {
	r := rand.New(rand.NewPCG(seed, uint64(n)))
	d := Drawn{N: n, Patience: setup, Ending: Talks, Talk: 3*time.Second + time.Duration(r.IntN(250))*voice.Frame}
	from, to := r.IntN(people), r.IntN(people)
	d.Caller, d.Callee = caller(from), callee(to)
	switch p := r.IntN(10); {
	case p < 6:
		d.Kind, d.Exten = Internal, fmt.Sprintf("8%02d%06d", to, n)
		d.ByRule = flags(d.Caller).OutgoingInternal || flags(d.Callee).IncomingInternal
	case p < 8:
		d.Kind, d.Callee, d.Exten = Outbound, provider, fmt.Sprintf("6%08d", n)
		d.ByRule = flags(d.Caller).OutgoingExternal
	default:
		d.Kind, d.Caller, d.Exten = Inbound, provider, fmt.Sprintf("7%02d%06d", to, n)
		d.ByRule = flags(d.Callee).IncomingExternal
	}
	switch p := r.IntN(10); {
	case p == 0:
		d.Ending, d.Patience, d.Talk = Unanswered, 1500*time.Millisecond+time.Duration(r.IntN(1500))*time.Millisecond, 0
	case p == 1:
		d.Ending, d.Talk = Busy, 0
	case flags(d.Caller).OnDemand && !d.ByRule && r.IntN(10) < 7:
		d.Talk = max(d.Talk, 5*time.Second)
		d.Presses = []time.Duration{700 * time.Millisecond, 2200 * time.Millisecond, 3200 * time.Millisecond}[:1+2*r.IntN(2)]
	}
	return d
}

// pressed is from the begin of *3 to when its last digit is over; the gap after
// that is no part of it.
const pressed = 300 * time.Millisecond

const onDemandCode = "*3"

// script is the call for the telephones.
func (d Drawn) script() load.Script {
	s := load.Script{
		Caller: d.Caller, Provider: d.Kind == Inbound, Exten: d.Exten, Talk: d.Talk, Patience: d.Patience,
		Audio: voice.Caller(d.N, d.Talk),
	}
	if s.Provider {
		s.Caller = outsider
	}
	for _, at := range d.Presses {
		s.Presses = append(s.Presses, load.Press{Digits: onDemandCode, At: at})
	}
	return s
}

// react is what the callee of the call does.
func (d Drawn) react() load.Reaction {
	switch d.Ending {
	case Busy:
		return load.Reaction{Refuse: "486 Busy Here"}
	case Unanswered:
		return load.Reaction{Unanswered: true}
	default:
		return load.Reaction{Audio: voice.Callee(d.N)}
	}
}

// numberIn is the number of a call in its extension.
func numberIn(exten string) (n int, ok bool) {
	if len(exten) != 9 || strings.Trim(exten, "0123456789") != "" {
		return 0, false
	}
	digits, ok := map[byte]string{'8': exten[3:], '7': exten[3:], '6': exten[1:]}[exten[0]]
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(digits)
	return n, err == nil
}

// wanted says whether a frame of the talk has to be recorded, and whether it
// must not be. Around a press neither is asked for.
func (d Drawn) wanted(frame int) (must, mustNot bool) {
	if d.ByRule {
		return true, false
	}
	at := time.Duration(frame) * voice.Frame
	before := slices.IndexFunc(d.Presses, func(p time.Duration) bool { return at < p })
	if before < 0 {
		before = len(d.Presses)
	}
	if before == 0 {
		return false, true
	}
	if at < d.Presses[before-1]+pressed {
		return false, false
	}
	return before%2 == 1, before%2 == 0
}

// said says whether the caller's voice is in that frame: while a digit is sent
// there is none.
func (d Drawn) said(frame int) bool {
	for _, p := range d.Presses {
		if n := frame - int(p/voice.Frame); n >= 0 && n < int(load.PressTime(onDemandCode)/voice.Frame) && n%digitEvery <= digitFrames {
			return false
		}
	}
	return frame < int(d.Talk/voice.Frame)
}

// The digits of the telephones: a digit begins every tenth frame, and lasts
// five and its end.
const digitEvery, digitFrames = 10, 5
