#!/bin/sh
# Measures a revision and the working tree in turn: contrib/bench-compare.sh REV [flags and workloads
# of `gadwall bench compare`]. The exit status is not 0 if the working tree is slower by more than
# the noise. Nothing stays behind: the revision's sources and both programs are in a temporary
# directory.
set -eu
cd "$(dirname "$0")/.."
rev=$1
shift
go=${GO:-go}
dir=$(mktemp -d)
clean() {
  git worktree remove --force "$dir/tree" 2>/dev/null || true
  rm -rf "$dir"
  git worktree prune
}
trap clean EXIT
trap 'exit 1' INT TERM
commit=$(git rev-parse --verify --quiet "$rev^{commit}") || { echo "there is no revision $rev" >&2; exit 2; }
git worktree add --quiet --detach "$dir/tree" "$commit"
# version names what is built there, changes that are not committed included.
version() { git -C "$1" describe --tags --always --dirty; }
(cd "$dir/tree" && "$go" build -ldflags "-X main.version=$(version .)" -o "$dir/before" ./cmd/gadwall)
"$go" build -ldflags "-X main.version=$(version .)" -o "$dir/after" ./cmd/gadwall
git worktree remove --force "$dir/tree"
# Not exec: the programs are removed afterwards.
"$dir/after" bench compare "$dir/before" "$dir/after" "$@"
