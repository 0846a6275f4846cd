# Gadwall's everyday commands. `make run` and `make test` need Go and the Go module proxy only.

GO        ?= go
GOFLAGS   ?=
FUZZTIME  ?= 10s
DATA_DIR  ?= ./data
VERSION   := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS   := -X main.version=$(VERSION)

PREFIX    ?= /usr/local
DESTDIR   ?=

.PHONY: build man install run test test-mongodb lint fuzz bench bench-compare clean

build:
	$(GO) build $(GOFLAGS) -ldflags '$(LDFLAGS)' -o bin/gadwall ./cmd/gadwall

# The man page, made from what --help says.
man: build
	bin/gadwall man > bin/gadwall.1

# Installs the program, its man page, completions of shells, and the unit for systemd, under
# $(DESTDIR)$(PREFIX).
install: man
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/lib/systemd/system \
	  $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions \
	  $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	install -m 755 bin/gadwall $(DESTDIR)$(PREFIX)/bin/gadwall
	install -m 644 bin/gadwall.1 $(DESTDIR)$(PREFIX)/share/man/man1/gadwall.1
	bin/gadwall completion bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/gadwall
	bin/gadwall completion zsh > $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_gadwall
	bin/gadwall completion fish > $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/gadwall.fish
	sed 's|@BINDIR@|$(PREFIX)/bin|' contrib/gadwall.service > $(DESTDIR)$(PREFIX)/lib/systemd/system/gadwall.service

# Serves on the embedded database in $(DATA_DIR); stop it with Ctrl-C.
run: build
	@printf '%s\n' \
	  'Gadwall starts on 127.0.0.1: IMAP 1143, LMTP 2424, SMTP 2525, HTTP 8080,' \
	  'and with --smarthost HOST:PORT submission 1587. Next, in another terminal:' \
	  '  curl -d '\''{"username":"ada@example.com","password":"correct horse"}'\'' http://127.0.0.1:8080/user/create' \
	  '  printf "Subject: hello\n\nA first mail.\n" | bin/gadwall deliver --to ada@example.com -' \
	  '  curl -u "ada@example.com:correct horse" "imap://127.0.0.1:1143/INBOX;UID=1"' \
	  ''
	bin/gadwall serve --data-dir $(DATA_DIR)

# The time limit is for one package on a slow machine with the race detector.
# TESTFLAGS is for extra flags, e.g. make test TESTFLAGS='-run TestKill -v'.
test:
	$(GO) test $(GOFLAGS) $(TESTFLAGS) -timeout 30m ./...

# Runs all tests against the MongoDB that GADWALL_TEST_MONGODB_URI names (a replica set or a sharded
# cluster that nothing else uses), and says in the end what that was.
test-mongodb:
	@[ -n "$$GADWALL_TEST_MONGODB_URI" ] || \
	  { echo 'GADWALL_TEST_MONGODB_URI must name a MongoDB'; exit 2; }
	@$(GO) test $(GOFLAGS) $(TESTFLAGS) -count=1 -timeout 120m ./...; status=$$?; \
	  $(GO) test -count=1 -v -run '^TestAgainst$$' ./internal/dbtest | grep 'the tests ran against'; \
	  exit $$status

lint:
	@unformatted="$$(gofmt -l $$(git ls-files '*.go'))"; \
	  if [ -n "$$unformatted" ]; then printf 'gofmt wants changes in:\n%s\n' "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) run ./internal/doccheck

# Runs every fuzz target for $(FUZZTIME), one after the other.
fuzz:
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "== $$pkg $$target"; \
	    $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$pkg; \
	  done; done

# A short version of all measurements, in less than 5 minutes: space, speed, Dovecot in turn if there
# is one, and a plan from the figures. The page is bin/bench.html.
bench: build
	@rm -f bin/bench.jsonl
	bin/gadwall bench space --log-level warn --mails 500 --out bin/bench.jsonl
	bin/gadwall bench run --users 2 --messages 100 --calls 20 --repeats 2 --settle 3s --out bin/bench.jsonl
	bin/gadwall bench plan bin/bench.jsonl --users 1000
	bin/gadwall bench peers --optional --users 2 --messages 50 --calls 10 --repeats 1 --settle 3s --out bin/bench.jsonl
	bin/gadwall bench report bin/bench.jsonl --out bin/bench.html

# Measures the revision REV and the working tree in turn, and fails if the tree is slower by more
# than the noise. BENCHFLAGS is for flags and names of workloads.
bench-compare:
	@test -n "$(REV)" || { echo 'say which revision: make bench-compare REV=...'; exit 2; }
	contrib/bench-compare.sh "$(REV)" $(BENCHFLAGS)

clean:
	rm -rf bin
