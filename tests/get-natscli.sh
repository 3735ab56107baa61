#!/bin/sh
# Builds `nats`, the command line of NATS, for the tests that push and query accounts with it: .tools/natscli/nats. That needs
# Go. Without Go it says so, and those tests are skipped. It changes nothing outside .tools/.
#
# usage: tests/get-natscli.sh
set -eu

version=0.5.1
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
target=$root/.tools/natscli

# A build of ours contains Go's name of the version.
if [ -x "$target/nats" ] && [ "$("$target/nats" --version 2>&1)" = "v$version" ]; then
    echo "$target/nats is there"
    exit
fi
PATH=$PATH:/usr/local/go/bin
if ! command -v go >/dev/null; then
    echo "get-natscli: Go is not here, so there is no nats command; tests that need it are skipped" >&2
    exit
fi
mkdir -p "$root/.tools"
work=$(mktemp -d "$root/.tools/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
echo "get-natscli: building nats $version with Go, which takes a few minutes" >&2
if ! GOBIN=$work GOPATH=$work/go GOCACHE=$work/go/cache GOFLAGS=-modcacherw CGO_ENABLED=0 \
    go install "github.com/nats-io/natscli/nats@v$version" >"$work/log" 2>&1; then
    sed 's/^/    /' "$work/log" >&2
    echo "get-natscli: nats $version could not be built, see above why; tests that need it are skipped" >&2
    exit
fi
mkdir -p "$target"
# Into place in one step, so that two competing runs do no harm.
mv -f "$work/nats" "$target/nats"
echo "$target/nats is built"
