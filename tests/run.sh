#!/bin/sh
# Gets what is missing, checks format and lints, and runs every test. Arguments go to `cargo test`.
#
# Everything stays in the project (.tools/, target/). If something must be installed elsewhere, the script says so first. See
# deploy/setup.sh.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
. "$root/deploy/setup.sh"
cd "$root"

need_cc
need_rust rustfmt clippy
# The nats-servers of the tests. Debian 12's old one and the `nats` command are optional.
tests/get-nats-server.sh 2.10.26 2.11.11 2.12.8 2.14.6 2.15.1 >&2
tests/get-nats-server.sh --optional 2.9.10 >&2
tests/get-natscli.sh >&2
# The load balancer, and what evaluates the alerts.
tests/get-haproxy.sh --optional >&2
tests/get-prometheus.sh --optional >&2
# What tests the API by its document.
tests/get-schemathesis.sh --optional >&2
# Go is optional: some tests compare with the Go library if it is here.
if ! command -v go >/dev/null && [ -x /usr/local/go/bin/go ]; then
    PATH=$PATH:/usr/local/go/bin
    export PATH
fi

# Most tests mostly wait for other processes, so more of them than cores run well at the same time.
RUST_TEST_THREADS=${RUST_TEST_THREADS:-6}
export RUST_TEST_THREADS

say "cargo fmt --check"
cargo fmt --check
say "cargo clippy --all-targets -- -D warnings"
cargo clippy --locked --all-targets -- -D warnings
say "spelling"
tests/typos.sh
say "cargo doc -D warnings"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items
say "cargo test --no-fail-fast"
cargo test --locked --no-fail-fast "$@"
