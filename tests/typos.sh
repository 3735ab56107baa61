#!/bin/sh
# Looks for slips of the pen in code and pages, with `typos` from the PATH or from PyPI (into .tools/). _typos.toml says what is none.
# Where it cannot be had, it says so and ends well.
set -eu

version=1.52.0
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
typos=$root/.tools/typos/bin/typos
cd "$root"
if ! [ -x "$typos" ]; then
    if command -v typos >/dev/null; then
        typos=typos
    else
        for python in python3 "$root/.tools/python/bin/python3"; do
            "$python" -m pip install --quiet --disable-pip-version-check --no-deps --target "$root/.tools/typos" \
                "typos==$version" >/dev/null 2>&1 && break
        done
        if ! [ -x "$typos" ]; then
            echo "typos.sh: typos $version cannot be had here; spelling is not looked at" >&2
            exit
        fi
    fi
fi
"$typos" --force-exclude
