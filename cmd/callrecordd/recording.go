package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"callrecordd/internal/app"
	"callrecordd/internal/call"
	"callrecordd/internal/control"
	"callrecordd/internal/recorder"
)

func recordingCmd(e *environment) *cobra.Command {
	cmd := &cobra.Command{Use: "recording", Short: "Recordings of the calls that go on"}
	cmd.AddCommand(
		liveCmd(e),
		liveRequestCmd(e, "start", "Record the call of CHANNEL"),
		liveRequestCmd(e, "stop", "End the recording of CHANNEL's call, whoever wants it"),
		liveRequestCmd(e, "pause", "Pause the recording of CHANNEL's call"),
		liveRequestCmd(e, "resume", "Go on with the recording of CHANNEL's call, whoever paused it"),
		orphansCmd(e),
	)
	return cmd
}

func liveCmd(e *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "live",
		Short: "List who talks now, and what is recorded",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withDaemon(cmd.Context(), func(c *control.Client) error {
				talks, err := liveTalks(cmd.Context(), c)
				if err != nil {
					return err
				}
				return e.show(talks, []string{"CALL", "CHANNEL", "WHO", "ROLE", "WISH", "RECORDING", "STATE"}, liveRows(talks))
			})
		},
	}
}

func liveTalks(ctx context.Context, c *control.Client) ([]app.LiveTalk, error) {
	var talks []app.LiveTalk
	err := c.Do(ctx, "GET", "live", nil, &talks)
	return talks, err
}

// liveRows has a line for each party; those of one call have the same number.
func liveRows(talks []app.LiveTalk) [][]string {
	var rows [][]string
	for i, t := range talks {
		recording, state := "-", "-"
		if t.Recording != nil {
			recording, state = t.Recording.UUID, string(t.Recording.State)
		}
		if p := t.PausedBy; p != nil {
			state = string(recorder.Paused) + " by " + pauser(t, *p)
		}
		for _, l := range t.Legs {
			who := l.UserName
			if who == "" {
				who = string(l.Kind)
			}
			rows = append(rows, []string{fmt.Sprint(i + 1), l.Channel, who, string(l.Role), string(l.RecordState), recording, state})
		}
	}
	return rows
}

// pauser names who paused, as far as that is known.
func pauser(t app.LiveTalk, p app.LivePause) string {
	for _, l := range t.Legs {
		if l.ID == p.Leg && l.UserUUID == p.Actor && l.UserName != "" {
			return l.UserName
		}
	}
	return cmp.Or(p.Actor, p.Leg)
}

func liveRequestCmd(e *environment, op, short string) *cobra.Command {
	return &cobra.Command{
		Use:   op + " CHANNEL",
		Short: short,
		Long: short + ".\n\nCHANNEL is a channel or its uniqueid, or an endpoint or user with one call; " +
			"`callrecordd recording live` shows them.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withDaemon(cmd.Context(), func(c *control.Client) error {
				channel, err := liveChannel(cmd.Context(), c, args[0])
				if err != nil {
					return err
				}
				var now app.LiveAnswer
				if err := c.Do(cmd.Context(), "POST", control.Path("live", channel, op), nil, &now); err != nil {
					return err
				}
				rows := [][]string{{channel, string(now.State)}}
				for _, w := range now.Released {
					rows = append(rows, []string{w.Channel, "ended the wish of " + w.Who + " (" + string(w.Reason) + ")"})
				}
				return e.show(now, []string{"CHANNEL", "STATE"}, rows)
			})
		},
	}
}

// liveChannel returns the channel that a person means by word. A word that is
// in no talk is left to the daemon, which knows the channels that do not talk.
func liveChannel(ctx context.Context, c *control.Client, word string) (string, error) {
	if word == "" {
		return "", fmt.Errorf("the name of the channel is empty")
	}
	talks, err := liveTalks(ctx, c)
	if err != nil {
		return "", err
	}
	var found []string
	for _, t := range talks {
		for _, l := range t.Legs {
			_, resource, _ := strings.Cut(l.Endpoint, "/")
			_, short, _ := strings.Cut(l.Channel, "/")
			if l.ID == word || l.Channel == word {
				return l.Channel, nil
			}
			names := []string{l.Channel, short, call.Endpoint(l.Channel), resource, l.UserName}
			if slices.ContainsFunc(names, func(name string) bool { return name != "" && strings.EqualFold(name, word) }) {
				found = append(found, l.Channel)
			}
		}
	}
	switch len(found) {
	case 0:
		return word, nil
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("%q may be any of %s: name the one you mean", word, strings.Join(found, ", "))
}
