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
# The oldest, the usual and the newest nats-server that the tests speak to.
tests/get-nats-server.sh 2.10.26 2.12.8 2.15.1 >&2
# Go is optional: some tests compare with the Go library if it is here.
if ! command -v go >/dev/null && [ -x /usr/local/go/bin/go ]; then
    PATH=$PATH:/usr/local/go/bin
    export PATH
fi

say "cargo fmt --check"
cargo fmt --check
say "cargo clippy --all-targets -- -D warnings"
cargo clippy --locked --all-targets -- -D warnings
say "cargo test --no-fail-fast"
cargo test --locked --no-fail-fast "$@"
