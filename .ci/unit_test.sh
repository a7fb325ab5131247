#!/usr/bin/env bash
# Checks the systemd unit with systemd's own tools, where they are installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ! command -v systemd-analyze >/dev/null; then
	echo "unit: systemd-analyze is not installed, the unit is not checked"
	exit 0
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
# The program is not installed here; any executable stands for it.
for unit in callrecordd.service callrecordd-export@.service callrecordd-audit.service; do
	sed 's|=/usr/bin/callrecordd|=/bin/true|' "systemd/$unit" >"$tmp/$unit"
done
cp systemd/callrecordd-export@.timer systemd/callrecordd-audit.timer systemd/callrecordd.socket "$tmp"
# Templates are looked at with an instance.
cp "$tmp/callrecordd-export@.service" "$tmp/callrecordd-export@acme.service"
cp "$tmp/callrecordd-export@.timer" "$tmp/callrecordd-export@acme.timer"
check() { # <unit> <threshold, of 100>: 0 is best, tightened, never loosened
	# verify also exits 0 with warnings: any word about our unit is a failure.
	out=$(SYSTEMD_UNIT_PATH="$tmp:" systemd-analyze verify --man=no "$tmp/$1" 2>&1) || { echo "$out"; exit 1; }
	if grep -F callrecordd <<<"$out"; then
		exit 1
	fi
	if [ "$2" = - ]; then
		return
	fi
	if ! out=$(systemd-analyze security --no-pager --offline=true --threshold="$2" "$tmp/$1" 2>&1); then
		echo "$out"
		exit 1
	fi
	echo "unit: $(tail -n 1 <<<"$out" | sed 's/^[^A-Za-z]*//')"
}
check callrecordd.service 20
check callrecordd-export@acme.service 20
check callrecordd-export@acme.timer -
check callrecordd-audit.service 20
check callrecordd-audit.timer -
check callrecordd.socket -
