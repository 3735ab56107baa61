#!/bin/sh
# Puts schemathesis, which tests the API by its OpenAPI document, into .tools/schemathesis/ of this project: a Python environment of its
# own. That needs no root, and changes nothing outside .tools/.
#
# usage: tests/get-schemathesis.sh [--optional]
#
# With --optional, a missing Python or pip is reported and is no failure; tests that need it are skipped.
set -eu

version=4.32.5

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
target=$root/.tools/schemathesis
optional=
[ "${1:-}" != --optional ] || optional=yes

# Whether that version runs there.
runs() {
    "$1/bin/schemathesis" --version 2>/dev/null | grep -qF "$version"
}

missing() {
    echo "get-schemathesis: $1" >&2
    [ -n "$optional" ] || exit 1
    echo "get-schemathesis: tests that need it are skipped" >&2
    exit
}

if runs "$target"; then
    echo "$target has schemathesis $version"
    exit
fi
command -v python3 >/dev/null || missing "python3 is not installed"
mkdir -p "$root/.tools"
log=$(mktemp "$root/.tools/fetch.XXXXXX")
trap 'rm -f "$log"' EXIT
# An environment cannot be moved, so it is made in its place.
rm -rf "$target"
if python3 -m venv "$target" >"$log" 2>&1 &&
    "$target/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$version" >>"$log" 2>&1 && runs "$target"; then
    echo "$target has schemathesis $version"
    exit
fi
rm -rf "$target"
sed 's/^/    /' "$log" >&2
missing "schemathesis $version cannot be installed with python3 -m venv and pip; see above why"
