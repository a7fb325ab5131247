# Everything a developer or a builder runs. `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

GO ?= go
# Searching parts of numbers and names needs SQLite's FTS5.
TAGS := sqlite_fts5
VERSION := $(shell git describe --always --dirty 2>/dev/null || echo unknown)
GOBUILD = $(GO) build -trimpath -tags $(TAGS) -ldflags '-X main.version=$(VERSION)'

# Tools and the Asterisk of the tests are kept here; tests read the variable too.
XDG_CACHE_HOME ?= $(HOME)/.cache
CALLRECORDD_CACHE ?= $(XDG_CACHE_HOME)/callrecordd
CACHE ?= $(CALLRECORDD_CACHE)
export CALLRECORDD_CACHE := $(CACHE)

LINT_VERSION := v2.15.0
LINT := $(CACHE)/bin/golangci-lint-$(LINT_VERSION)

# Packages tested at the same time. Real calls need the processors: more than
# one or two at once make phones late, not tests fast.
TEST_JOBS ?= 1
# Tests of a package at the same time: those with calls mostly wait for speech.
TEST_PARALLEL ?= 2
TEST_PACKAGES ?= ./...
TEST_RUN ?=
FUZZTIME ?= 20s
BENCH ?= full
ONLY ?=
KEEP ?=
MINUTES ?= 10
SEED ?=

PREFIX ?= /usr/local
DESTDIR ?=
SYSCONFDIR ?= /etc
UNITDIR ?= $(PREFIX)/lib/systemd/system
RECORDINGS ?= /var/lib/wazo/sounds/tenants

.PHONY: help build test lint fuzz bench demo campaign install clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## bin/callrecordd
	$(GOBUILD) -o bin/callrecordd ./cmd/callrecordd

test: ## all tests, with real calls through a real Asterisk
	$(GO) test -race -shuffle=on -tags $(TAGS) -timeout 30m -p $(TEST_JOBS) -parallel $(TEST_PARALLEL) \
		$(if $(TEST_RUN),-run '$(TEST_RUN)') $(TEST_PACKAGES)

lint: $(LINT) ## vet, linters, formatting, import borders, the systemd units
	$(GO) vet -tags $(TAGS) ./...
	$(LINT) run ./...
	.ci/borders_test.sh $(LINT)
	.ci/unit_test.sh

# The version is in the file's name, so a new one is fetched when it changes.
$(LINT):
	mkdir -p $(@D)
	tmp=$$(mktemp -d $(@D)/tmp.XXXXXX); trap 'rm -rf "$$tmp"' EXIT; \
	GOBIN="$$tmp" GOFLAGS= $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION); \
	mv "$$tmp/golangci-lint" $@

fuzz: ## every fuzz target, each for FUZZTIME=20s
	@grep -rnoE '^func Fuzz[A-Za-z0-9_]+' --include='*_test.go' . | sort | \
	while IFS=: read -r file _ name; do \
		dir=$$(dirname "$$file"); name=$${name#func }; \
		echo "==> $$name in $$dir"; \
		$(GO) test -tags $(TAGS) -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$dir" </dev/null; \
	done

# The processes do not share the processors: one package after another, then
# the programme with real calls.
bench: build ## figures with their references, BENCHMARKS.md; BENCH=short for a smoke run, ONLY=rate for a group
	$(if $(ONLY),,$(GO) test -tags $(TAGS) -run '^$$' -bench . -benchmem -timeout 60m -p 1 \
		$(if $(filter short,$(BENCH)),-short -benchtime=100ms,-count=3) ./...)
	$(GOBUILD) -o bin/callrecord-bench ./cmd/callrecord-bench
	bin/callrecord-bench $(if $(filter short,$(BENCH)),-short) $(if $(ONLY),-only $(ONLY)) \
		-markdown -json bin/bench-$(if $(filter short,$(BENCH)),short,$(shell date +%Y%m%d-%H%M)).json

# Built and then started, not `go run`: that would not pass on a SIGTERM, and
# Asterisk and the phones would be left behind.
demo: build ## real calls on a real Asterisk, recorded and listed; KEEP=1 keeps all running
	$(GOBUILD) -o bin/callrecord-demo ./cmd/callrecord-demo
	exec bin/callrecord-demo $(if $(filter-out 0,$(KEEP)),-keep)

# Each fault five times in ten minutes, in a shorter one less often.
campaign: build ## calls while all kinds of faults happen, MINUTES=10, compared with what audit and CDRs say; SEED=… repeats one
	$(GOBUILD) -o bin/callrecord-campaign ./cmd/callrecord-campaign
	exec bin/callrecord-campaign -minutes $(MINUTES) $(if $(SEED),-seed $(SEED)) $(if $(filter-out 0,$(KEEP)),-keep)

install: build ## into DESTDIR and PREFIX=/usr/local
	install -D -m 0755 bin/callrecordd $(DESTDIR)$(PREFIX)/bin/callrecordd
	install -d -m 0755 $(DESTDIR)$(UNITDIR)
	sed -e 's|/usr/|$(PREFIX)/|' -e 's|/etc/callrecordd|$(SYSCONFDIR)/callrecordd|' \
		-e 's|=-/var/lib/wazo/sounds/tenants|=-$(RECORDINGS)|' systemd/callrecordd.service > $(DESTDIR)$(UNITDIR)/callrecordd.service
	for unit in callrecordd-export@ callrecordd-backup callrecordd-audit; do \
		sed -e 's|/usr/|$(PREFIX)/|' -e 's|/etc/callrecordd|$(SYSCONFDIR)/callrecordd|' \
			systemd/$$unit.service > $(DESTDIR)$(UNITDIR)/$$unit.service; \
	done
	install -m 0644 systemd/*.timer systemd/callrecordd.socket $(DESTDIR)$(UNITDIR)
	sed -i -e 's|/usr/share/doc|$(PREFIX)/share/doc|' $(DESTDIR)$(UNITDIR)/callrecordd*.timer $(DESTDIR)$(UNITDIR)/callrecordd.socket
	chmod 0644 $(DESTDIR)$(UNITDIR)/callrecordd*.service
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/callrecordd/asterisk etc/asterisk/*
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/callrecordd/prometheus etc/prometheus/*
	install -D -m 0644 etc/callrecordd.yaml $(DESTDIR)$(PREFIX)/share/callrecordd/callrecordd.yaml
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/doc/callrecordd README.md SECURITY.md BENCHMARKS.md
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/doc/callrecordd/docs docs/*.md
	@# A configuration that is there already is the administrator's.
	test -e $(DESTDIR)$(SYSCONFDIR)/callrecordd/callrecordd.yaml || \
		install -D -m 0640 etc/callrecordd.yaml $(DESTDIR)$(SYSCONFDIR)/callrecordd/callrecordd.yaml
	install -d -m 2750 $(DESTDIR)$(RECORDINGS)
	@# Packages set owners themselves.
	if [ -z "$(DESTDIR)" ] && [ "$$(id -u)" = 0 ] && getent passwd asterisk >/dev/null; then \
		chown asterisk:asterisk $(RECORDINGS); chmod 2750 $(RECORDINGS); \
		chgrp asterisk $(SYSCONFDIR)/callrecordd/callrecordd.yaml; \
	fi

clean: ## remove what was built; the cache stays
	rm -rf bin
