#!/bin/sh
# Gets what is missing, builds the program, and runs its demo. Arguments go to the demo (see --help).
#
# Everything stays in the project (.tools/, target/) and in the demo's folder (./demo, or --dir DIR). If something must be
# installed elsewhere, the script says so first. See setup.sh.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
. "$root/deploy/setup.sh"

# The nats-server of the demo, unless NATS_SERVER names another one.
nats_server=2.12.8

need_cc
need_rust
if [ -z "${NATS_SERVER:-}" ]; then
    # Without a nats-server, the demo shows only the HTTP steps.
    if "$root/tests/get-nats-server.sh" "$nats_server" >&2; then
        NATS_SERVER=$tools/nats-server-$nats_server/nats-server
        export NATS_SERVER
    fi
fi
say "building (some minutes the first time)"
cargo build --release --locked --manifest-path "$root/Cargo.toml" >&2
exec "${CARGO_TARGET_DIR:-$root/target}/release/nats-account-server" demo "$@"
