#!/usr/bin/env bash
# Checks the systemd units: what they may do and start, and with systemd's own
# tools, where they are installed, how exposed they are.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# No unit has a capability, and none starts a shell or has a password in it.
for unit in systemd/*.service; do
	for line in CapabilityBoundingSet= AmbientCapabilities= NoNewPrivileges=yes; do
		grep -qx "$line" "$unit" || { echo "unit: $unit lacks $line"; exit 1; }
	done
	if grep -E '^(Capability|Ambient)[A-Za-z]*=.+' "$unit"; then
		echo "unit: $unit gives a capability"
		exit 1
	fi
	if grep -E '^Exec[A-Za-z]*=' "$unit" | grep -vE '^Exec[A-Za-z]*=/(usr/bin/callrecordd [^;|&]*|bin/kill -HUP \$MAINPID)$'; then
		echo "unit: $unit starts something else than the program"
		exit 1
	fi
	if grep -E '^(Environment|SetCredential)=.*([Pp][Aa][Ss][Ss]|[Ss][Ee][Cc][Rr][Ee][Tt]|_KEY)' "$unit" | grep -vE '_FILE=%d/'; then
		echo "unit: $unit has a secret in it: use LoadCredential="
		exit 1
	fi
done
# What is shipped starts no shell either: one place starts Asterisk's console.
shells=$(grep -rnE '"(/bin/|/usr/bin/)?(sh|bash|dash|zsh|env)"|syscall\.(Exec|ForkExec)|os\.StartProcess' --include='*.go' --exclude='*_test.go' \
	ari cmd/callrecordd config dialplan internal/[a-z]* store | grep -vE '^internal/(lab|bench|e2e|cdrgen|campaign)/' || true)
starts=$(grep -rlE 'exec\.Command' --include='*.go' --exclude='*_test.go' ari cmd/callrecordd config dialplan internal store |
	grep -vE '^internal/(lab|bench|e2e|campaign)/' | sort || true)
if [ -n "$shells" ] || [ "$starts" != cmd/callrecordd/setup.go ]; then
	echo "unit: the program starts other programs: $shells $starts"
	exit 1
fi

if ! command -v systemd-analyze >/dev/null; then
	echo "unit: systemd-analyze is not installed, the unit is not checked"
	exit 0
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
# The program is not installed here; any executable stands for it.
for unit in callrecordd.service callrecordd-export@.service callrecordd-audit.service callrecordd-backup.service; do
	sed 's|=/usr/bin/callrecordd|=/bin/true|' "systemd/$unit" >"$tmp/$unit"
done
cp systemd/*.timer systemd/callrecordd.socket "$tmp"
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
check callrecordd-backup.service 20
check callrecordd-backup.timer -
check callrecordd.socket -
