package main

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"callrecordd/internal/control"
)

// noun is one kind of directory entry on the command line: list, show, create,
// set and delete are the same for all, what differs is here.
type noun[T any] struct {
	name  string // user
	path  string // users
	about string
	// header and row make the table.
	header []string
	row    func(T) []string
	key    func(T) string
	// names are all the words by which a person may mean this entry.
	names func(T) []string
	// flags declares the options; apply puts those that were given into v.
	flags func(*pflag.FlagSet)
	apply func(*pflag.FlagSet, *T) error
	// fixed entries cannot be changed, only made and deleted.
	fixed bool
	// given entries are there from the start: they can only be changed.
	given bool
}

func (n noun[T]) command(e *environment) *cobra.Command {
	cmd := &cobra.Command{Use: n.name, Short: n.about}
	cmd.AddCommand(n.list(e), n.show(e))
	if !n.given {
		cmd.AddCommand(n.create(e), n.remove(e))
	}
	if !n.fixed {
		cmd.AddCommand(n.set(e))
	}
	return cmd
}

func (n noun[T]) all(ctx context.Context, c *control.Client) ([]T, error) {
	var list []T
	err := c.Do(ctx, "GET", n.path, nil, &list)
	return list, err
}

// find returns the one entry that a person means by word.
func (n noun[T]) find(ctx context.Context, c *control.Client, word string) (T, error) {
	var found []T
	var none T
	if word == "" { // which every entry without a label would match
		return none, fmt.Errorf("the name of the %s is empty", n.name)
	}
	list, err := n.all(ctx, c)
	if err != nil {
		return none, err
	}
	for _, v := range list {
		if n.key(v) == word {
			return v, nil
		}
		if slices.ContainsFunc(n.names(v), func(name string) bool { return name != "" && strings.EqualFold(name, word) }) {
			found = append(found, v)
		}
	}
	switch len(found) {
	case 0:
		return none, fmt.Errorf("there is no %s %q; `callrecordd %s list` shows them", n.name, word, n.name)
	case 1:
		return found[0], nil
	}
	var keys []string
	for _, v := range found {
		keys = append(keys, n.key(v))
	}
	return none, fmt.Errorf("%q may be any of %s: name the one you mean", word, strings.Join(keys, ", "))
}

func (n noun[T]) print(e *environment, list []T, v any) error {
	rows := make([][]string, 0, len(list))
	for _, item := range list {
		rows = append(rows, n.row(item))
	}
	return e.show(v, n.header, rows)
}

func (n noun[T]) list(e *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List all",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withClient(cmd.Context(), func(c *control.Client) error {
				list, err := n.all(cmd.Context(), c)
				if err != nil {
					return err
				}
				return n.print(e, list, list)
			})
		},
	}
}

func (n noun[T]) show(e *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "show " + strings.ToUpper(n.name),
		Short: "Show one",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withClient(cmd.Context(), func(c *control.Client) error {
				v, err := n.find(cmd.Context(), c, args[0])
				if err != nil {
					return err
				}
				return n.print(e, []T{v}, v)
			})
		},
	}
}

func (n noun[T]) create(e *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Create a " + n.name,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var v T
			if err := n.apply(cmd.Flags(), &v); err != nil {
				return err
			}
			return e.withClient(cmd.Context(), func(c *control.Client) error {
				var made T
				if err := c.Do(cmd.Context(), "POST", n.path, v, &made); err != nil {
					return err
				}
				return n.print(e, []T{made}, made)
			})
		},
	}
	n.flags(cmd.Flags())
	return cmd
}

func (n noun[T]) set(e *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "set " + strings.ToUpper(n.name),
		Short: "Change what the options name and leave the rest",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withClient(cmd.Context(), func(c *control.Client) error {
				v, err := n.find(cmd.Context(), c, args[0])
				if err != nil {
					return err
				}
				old := v
				if err := n.apply(cmd.Flags(), &v); err != nil {
					return err
				}
				changes, err := difference(old, v)
				if err != nil {
					return err
				}
				var now T
				if err := c.Do(cmd.Context(), "PATCH", control.Path(n.path, n.key(old)), changes, &now); err != nil {
					return err
				}
				return n.print(e, []T{now}, now)
			})
		},
	}
	n.flags(cmd.Flags())
	return cmd
}

func (n noun[T]) remove(e *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "delete " + strings.ToUpper(n.name),
		Short: "Delete a " + n.name,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withClient(cmd.Context(), func(c *control.Client) error {
				v, err := n.find(cmd.Context(), c, args[0])
				if err != nil {
					return err
				}
				return c.Do(cmd.Context(), "DELETE", control.Path(n.path, n.key(v)), nil, nil)
			})
		},
	}
}

// difference is what has changed from before to after, as a PATCH says it.
// Sending the rest too would undo what others have changed in the meantime,
// such as a user who dials *26.
func difference(before, after any) (map[string]any, error) {
	b, err := asMap(before)
	if err != nil {
		return nil, err
	}
	a, err := asMap(after)
	if err != nil {
		return nil, err
	}
	return mapDifference(b, a), nil
}

func asMap(v any) (map[string]any, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("compare entries: %w", err)
	}
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("compare entries: %w", err)
	}
	return m, nil
}

func mapDifference(before, after map[string]any) map[string]any {
	changes := make(map[string]any)
	for key, is := range after {
		was := before[key]
		if reflect.DeepEqual(was, is) {
			continue
		}
		wasMap, ok1 := was.(map[string]any)
		isMap, ok2 := is.(map[string]any)
		if ok1 && ok2 {
			is = mapDifference(wasMap, isMap)
		}
		changes[key] = is
	}
	for key, was := range before {
		if _, there := after[key]; there {
			continue
		}
		// JSON leaves empty values out; that they are empty now must be said.
		if _, isList := was.([]any); isList {
			changes[key] = []any{}
		} else {
			changes[key] = reflect.Zero(reflect.TypeOf(was)).Interface()
		}
	}
	return changes
}

// setString puts the option's value into to, if the option was given.
func setString(f *pflag.FlagSet, name string, to *string) {
	if f.Changed(name) {
		*to, _ = f.GetString(name) // the option exists: it has changed
	}
}

func setBool(f *pflag.FlagSet, name string, to *bool) {
	if f.Changed(name) {
		*to, _ = f.GetBool(name) // as above
	}
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
