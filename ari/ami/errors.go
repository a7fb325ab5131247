package ami

import (
	"errors"
	"fmt"
	"strings"
)

// What goes wrong with the connection or before anything is sent.
var (
	// ErrDisconnected says that there is no connection or that it was lost
	// before the answer: the action may have been carried out.
	ErrDisconnected = errors.New("ami disconnected")
	// ErrNotSent says that there was no connection to begin with: an
	// ErrDisconnected after which nothing can have been carried out.
	ErrNotSent = fmt.Errorf("not sent: %w", ErrDisconnected)
	// ErrAuth says that Asterisk refuses user or secret; trying again does not help.
	ErrAuth = errors.New("ami login refused")
	// ErrInvalidField says that a value cannot be sent safely; nothing was sent.
	ErrInvalidField = errors.New("invalid ami field")
	// ErrTooLong says that a line, message or list is beyond its limit.
	ErrTooLong = errors.New("ami message too long")
	// ErrNotAMI says that whoever answers at the address does not speak AMI.
	ErrNotAMI = errors.New("not an asterisk manager interface")
	// ErrIncompleteList says that Asterisk cancelled a list or that items are missing.
	ErrIncompleteList = errors.New("incomplete ami list")
	// ErrSilent says that Asterisk left two pings unanswered.
	ErrSilent = errors.New("asterisk answers no ping")
)

// What an *ActionError may be, for errors.Is.
var (
	// ErrPermission says that the manager user lacks a write class.
	ErrPermission = errors.New("ami permission denied")
	// ErrUnknownAction says that the module with the action is not loaded.
	ErrUnknownAction = errors.New("unknown ami action")
	// ErrNoChannel says that the channel does not exist, or no more.
	ErrNoChannel = errors.New("no such channel")
)

// ActionError is the answer "Response: Error".
type ActionError struct {
	// Action is the name of the action.
	Action string
	// Message is Asterisk's explanation.
	Message string
}

// Error implements error; where the cure is known it says it.
func (e *ActionError) Error() string {
	text := fmt.Sprintf("ami action %s: %s", e.Action, e.Message)
	switch {
	case e.Is(ErrPermission):
		return text + ": give the user of manager.conf the write class " + classOf(e.Action)
	case e.Is(ErrUnknownAction):
		return text + ": load " + moduleOf(e.Action)
	}
	return text
}

// Is relates Asterisk's messages, which have no codes, to sentinel errors.
func (e *ActionError) Is(target error) bool {
	message := strings.ToLower(e.Message)
	switch target {
	case ErrPermission:
		return strings.HasPrefix(message, "permission denied")
	case ErrUnknownAction:
		return strings.HasPrefix(message, "invalid/unknown command")
	case ErrNoChannel:
		return strings.HasPrefix(message, "no such channel") || strings.HasPrefix(message, "channel does not exist") ||
			strings.HasPrefix(message, "channel not found")
	}
	return false
}

// classOf names the write class an action needs (asterisk-facts 1).
func classOf(action string) string {
	switch strings.ToLower(action) {
	case "mixmonitor":
		return "system"
	case "stopmixmonitor", "mixmonitormute":
		return "call or system"
	case "setvar", "getvar", "devicestatelist":
		return "call"
	case "reload":
		return "system"
	case "command":
		return "command"
	}
	return "that `manager show command " + action + "` names"
}

// moduleOf names the module that registers an action.
func moduleOf(action string) string {
	switch strings.ToLower(action) {
	case "mixmonitor", "stopmixmonitor", "mixmonitormute":
		return "app_mixmonitor.so"
	}
	return "the module that offers it"
}
