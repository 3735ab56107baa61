#!/bin/sh
# Checks the spelling of code and pages, with `typos` from the PATH or from PyPI (into .tools/). _typos.toml has the exceptions.
# If `typos` is not available, it says so and succeeds.
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
            echo "typos.sh: typos $version is not available here; spelling is not checked" >&2
            exit
        fi
    fi
fi
"$typos" --force-exclude
