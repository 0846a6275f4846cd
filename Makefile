# Gadwall's everyday commands. `make run` and `make test` need Go and the Go module proxy only.

GO        ?= go
GOFLAGS   ?=
FUZZTIME  ?= 10s
DATA_DIR  ?= ./data
VERSION   := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS   := -X main.version=$(VERSION)

.PHONY: build run test lint fuzz clean

build:
	$(GO) build $(GOFLAGS) -ldflags '$(LDFLAGS)' -o bin/gadwall ./cmd/gadwall

# Serves on the embedded database in $(DATA_DIR); stop it with Ctrl-C.
run: build
	@printf '%s\n' \
	  'Gadwall starts on 127.0.0.1: IMAP 1143, LMTP 2424, SMTP 2525, HTTP 8080. Next, in another terminal:' \
	  '  curl -d '\''{"username":"ada@example.com","password":"correct horse"}'\'' http://127.0.0.1:8080/user/create' \
	  '  printf "Subject: hello\n\nA first mail.\n" | bin/gadwall deliver --to ada@example.com -' \
	  '  curl -u "ada@example.com:correct horse" "imap://127.0.0.1:1143/INBOX;UID=1"' \
	  ''
	bin/gadwall serve --data-dir $(DATA_DIR)

# The time limit is for one package on a slow machine with the race detector.
# TESTFLAGS is for extra flags, e.g. make test TESTFLAGS='-run TestKill -v'.
test:
	$(GO) test $(GOFLAGS) $(TESTFLAGS) -timeout 60m ./...

lint:
	@unformatted="$$(gofmt -l $$(git ls-files '*.go'))"; \
	  if [ -n "$$unformatted" ]; then printf 'gofmt wants changes in:\n%s\n' "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

# Runs every fuzz target for $(FUZZTIME), one after the other.
fuzz:
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "== $$pkg $$target"; \
	    $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$pkg; \
	  done; done

clean:
	rm -rf bin
