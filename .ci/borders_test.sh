#!/usr/bin/env bash
# Shows that the import borders in .golangci.yml hold: a module with our layout
# in which each file bad_*.go crosses one border, and ok.go everything allowed.
# Exactly the bad files must be reported.
set -euo pipefail
lint=$(realpath "${1:?usage: borders_test.sh <golangci-lint>}")
config=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../.golangci.yml")
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
cp "$config" . # beside the files: patterns and paths are relative to it

cat >go.mod <<MOD
module callrecordd

go 1.26

require github.com/spf13/viper v0.0.0

replace github.com/spf13/viper => ./.stubs/viper
MOD
mkdir -p .stubs/viper
echo 'package viper' >.stubs/viper/viper.go
printf 'module github.com/spf13/viper\n\ngo 1.26\n' >.stubs/viper/go.mod

package() { # <folder> <file> [import...]
	mkdir -p "$1"
	{
		echo "package $(basename "$1")"
		for i in "${@:3}"; do
			case $i in github.com/*) ;; *) i=callrecordd/$i ;; esac
			echo "import _ \"$i\""
		done
	} >"$1/$2"
}
allowed() { package "$1" ok.go "${@:2}"; }
count=0
crossing() {
	count=$((count + 1))
	package "$1" "bad_$count.go" "$2"
	echo "$1/bad_$count.go" >>expected
}

allowed internal/app
allowed ari
allowed ari/ami
allowed dialplan
allowed config github.com/spf13/viper
allowed internal/call
allowed internal/audio
allowed internal/tones
allowed internal/asteriskconf
allowed internal/setup internal/asteriskconf dialplan
allowed internal/check internal/asteriskconf internal/setup dialplan ari ari/ami
allowed internal/recorder internal/call dialplan
allowed internal/recorder/exec internal/recorder internal/call dialplan internal/audio internal/gentle
allowed internal/alarm
allowed internal/metrics
allowed internal/space
allowed internal/gentle
allowed internal/orphans internal/recorder internal/audio internal/gentle
allowed internal/cdr internal/call
allowed internal/directory dialplan
allowed internal/auth dialplan
allowed internal/toggle dialplan
allowed internal/lamp
allowed internal/mail
allowed internal/events
allowed internal/webhook internal/events
allowed internal/ledger
allowed internal/notary internal/ledger
allowed internal/verify internal/ledger internal/recorder
allowed internal/export internal/recorder internal/ledger
allowed internal/retention internal/recorder
allowed internal/backup internal/recorder
allowed internal/history internal/cdr internal/recorder internal/audio
allowed internal/why internal/recorder dialplan
allowed internal/replay internal/recorder dialplan
allowed store internal/directory internal/auth internal/recorder internal/cdr internal/call dialplan internal/export internal/retention internal/webhook internal/ledger internal/verify internal/backup
allowed internal/api internal/auth internal/cdr internal/directory internal/recorder dialplan internal/audio internal/export internal/retention internal/why internal/events internal/webhook internal/audit
allowed internal/audit internal/call internal/recorder dialplan
allowed internal/lab dialplan
allowed internal/live ari internal/call
allowed internal/control internal/directory internal/auth dialplan
allowed internal/cdrgen store internal/cdr internal/call internal/recorder dialplan
allowed internal/bench internal/cdrgen internal/cdr store internal/lab internal/control internal/directory dialplan config
allowed internal/bench/load
allowed internal/campaign/voice
allowed internal/campaign internal/bench/load internal/campaign/voice internal/lab internal/control internal/directory dialplan config
package internal/e2e e2e_test.go internal/app internal/lab config
package cmd/callrecordd main.go internal/app config store
sed -i 's/^package .*/package main/; $afunc main() {}' cmd/callrecordd/main.go

# Only commands know the whole.
for p in ari ari/ami dialplan config internal/call internal/audio internal/recorder \
	internal/recorder/exec internal/cdr internal/directory internal/auth store \
	internal/api internal/lab internal/live internal/control internal/toggle internal/lamp internal/tones \
	internal/asteriskconf internal/setup internal/check \
	internal/mail internal/export internal/retention internal/history internal/why internal/replay \
	internal/events internal/webhook internal/ledger internal/notary internal/verify internal/audit \
	internal/alarm internal/metrics internal/space internal/gentle internal/orphans internal/backup; do
	crossing $p internal/app
done
crossing ari/ami ari
crossing internal/mail internal/recorder
crossing internal/events internal/auth
crossing internal/alarm internal/recorder
crossing internal/orphans store
crossing internal/webhook internal/auth
crossing internal/webhook internal/recorder
crossing internal/ledger internal/recorder
crossing internal/notary store
crossing internal/verify internal/cdr
crossing internal/export internal/mail
crossing internal/export internal/cdr
crossing internal/retention internal/export
crossing internal/backup internal/export
crossing internal/history store
crossing internal/why store
crossing internal/replay internal/directory
crossing internal/audit store
crossing dialplan internal/call
crossing config dialplan
crossing internal/recorder ari
crossing internal/recorder/exec ari/ami
crossing internal/cdr dialplan
crossing internal/directory internal/call
crossing internal/auth internal/directory
crossing store ari
crossing store internal/recorder/exec
crossing internal/api ari
crossing internal/api store
crossing internal/api internal/recorder/exec
crossing internal/toggle ari
crossing internal/toggle internal/directory
crossing internal/lamp dialplan
crossing internal/lab config
crossing internal/live dialplan
crossing internal/live ari/ami
crossing internal/tones ari
crossing internal/control store
crossing internal/asteriskconf dialplan
crossing internal/setup ari
crossing internal/setup config
crossing internal/check store
crossing internal/check config
crossing internal/control ari
crossing store github.com/spf13/viper
crossing cmd/callrecordd github.com/spf13/viper
sed -i 's/^package .*/package main/' "cmd/callrecordd/bad_$count.go"
crossing internal/bench internal/app
crossing internal/bench internal/recorder
crossing internal/cdrgen internal/auth
crossing internal/campaign internal/app
crossing internal/campaign store
crossing internal/campaign internal/audit
crossing internal/campaign internal/bench
crossing internal/campaign/voice internal/lab
crossing cmd/callrecordd internal/lab
sed -i 's/^package .*/package main/' "cmd/callrecordd/bad_$count.go"
crossing cmd/callrecordd internal/campaign
sed -i 's/^package .*/package main/' "cmd/callrecordd/bad_$count.go"
crossing cmd/callrecordd internal/bench
sed -i 's/^package .*/package main/' "cmd/callrecordd/bad_$count.go"

go build ./... # the module itself must be sound
"$lint" run --enable-only depguard --max-same-issues=0 --max-issues-per-linter=0 \
	--output.text.path=stdout --output.text.colors=false ./... >report 2>errors && {
	echo "borders: nothing was reported"
	exit 1
}
grep -oE '^[A-Za-z0-9_/.]+\.go:' report | tr -d : | sort -u >reported || true
if ! diff <(sort -u expected) reported >difference; then
	echo "borders: '<' crosses a border and was not reported, '>' is allowed and was reported"
	cat difference report errors
	exit 1
fi
echo "borders: $count crossings, all reported, nothing else"
