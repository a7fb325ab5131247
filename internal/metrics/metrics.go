// Package metrics writes figures in the text format that Prometheus reads
// (version 0.0.4). It knows no figures: who has some makes families of them.
//
// It imports nothing of ours.
package metrics

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// ContentType is that of what Write writes.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// Type is what a figure is.
type Type string

// A Counter only grows, and begins at 0 with the daemon.
const (
	Gauge   Type = "gauge"
	Counter Type = "counter"
)

// Family is a figure, with a sample for each thing that has it.
type Family struct {
	Name, Help string
	Type       Type
	Samples    []Sample
}

// Sample is a value and what tells it from the others. Labels must have few
// different values: never numbers or ids of calls.
type Sample struct {
	Labels []Label
	Value  float64
}

// Label is a name with its value.
type Label struct{ Name, Value string }

// One is a family with a single sample without labels.
func One(name, help string, t Type, value float64) Family {
	return Family{Name: name, Help: help, Type: t, Samples: []Sample{{Value: value}}}
}

// Bool is 1 for true.
func Bool(v bool) float64 {
	if v {
		return 1
	}
	return 0
}

// Write writes the families in their order; one without samples is left out.
func Write(w io.Writer, list []Family) error {
	out := bufio.NewWriter(w)
	for _, f := range list {
		if len(f.Samples) == 0 {
			continue
		}
		fmt.Fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", f.Name, help.Replace(f.Help), f.Name, f.Type)
		for _, s := range f.Samples {
			fmt.Fprintf(out, "%s%s %s\n", f.Name, labels(s.Labels), number(s.Value))
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write metrics: %w", err)
	}
	return nil
}

var (
	help  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	value = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
)

func labels(list []Label) string {
	if len(list) == 0 {
		return ""
	}
	parts := make([]string, len(list))
	for i, l := range list {
		parts[i] = l.Name + `="` + value.Replace(l.Value) + `"`
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func number(v float64) string {
	switch {
	case math.IsInf(v, 1):
		return "+Inf"
	case math.IsInf(v, -1):
		return "-Inf"
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}
