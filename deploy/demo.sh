#!/bin/sh
# One command: gets what is missing, builds the program, and runs its demo. Arguments go to the demo (see --help).
#
# Everything stays inside the project (.tools/, target/) and in the demo's folder (./demo, or --dir DIR); what would not
# is announced first. See setup.sh.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
. "$root/deploy/setup.sh"

# The nats-server that the demo runs unless another one is named.
nats_server=2.12.8

need_cc
need_rust
if [ -z "${NATS_SERVER:-}" ]; then
    # Without one, the demo does what HTTP shows.
    if "$root/tests/get-nats-server.sh" "$nats_server" >&2; then
        NATS_SERVER=$tools/nats-server-$nats_server/nats-server
        export NATS_SERVER
    fi
fi
say "building (some minutes the first time)"
cargo build --release --locked --manifest-path "$root/Cargo.toml" >&2
exec "${CARGO_TARGET_DIR:-$root/target}/release/nats-account-server" demo "$@"
