#!/bin/sh
# One command: gets what is missing, then checks format and lints, and runs every test. Arguments go to `cargo test`.
#
# Everything stays inside the project (.tools/, target/); what would not is announced first. See deploy/setup.sh.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
. "$root/deploy/setup.sh"
cd "$root"

need_cc
need_rust rustfmt clippy
# The nats-servers that the tests speak to; Debian 12's old one and the `nats` command only where they can be had.
tests/get-nats-server.sh 2.10.26 2.11.11 2.12.8 2.14.6 2.15.1 >&2
tests/get-nats-server.sh --optional 2.9.10 >&2
tests/get-natscli.sh >&2
# The load balancer that one test stands behind.
tests/get-haproxy.sh --optional >&2
# Go is optional: some tests compare with the Go library if it is here.
if ! command -v go >/dev/null && [ -x /usr/local/go/bin/go ]; then
    PATH=$PATH:/usr/local/go/bin
    export PATH
fi

# Most tests wait for other processes most of the time: more of them than there are cores run well beside each other.
RUST_TEST_THREADS=${RUST_TEST_THREADS:-4}
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
