# Sourced by tests/get-haproxy.sh and tests/get-prometheus.sh, which set:
#
#   name       the folder in .tools/, and what messages call it
#   programs   what it must have
#   version    the option with which each of them prints its version
#   packages   Debian's packages, the first with the programs, the others with libraries that a small system lacks
#
# It puts the programs into .tools/<name>/: the system's own if they are there, else those of a Debian-like system's packages,
# unpacked but not installed. That needs no root, and changes nothing outside .tools/.
# shellcheck shell=sh disable=SC2154

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
tools=$root/.tools
target=$tools/$name
optional=
[ "${1:-}" != --optional ] || optional=yes

# Whether all programs in this folder run.
run_in() {
    for program in $programs; do
        "$1/$program" "$version" >/dev/null 2>&1 || return 1
    done
}

if run_in "$target"; then
    echo "$target is there"
    exit
fi
mkdir -p "$tools"
work=$(mktemp -d "$tools/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT

# Each from_* makes the programs in $work/out, or fails; what went wrong is in $work/log.

from_system() {
    for program in $programs; do
        found=$(PATH=$PATH:/usr/sbin:/usr/local/sbin command -v "$program") || {
            echo "$program is not installed"
            return 1
        }
        printf '#!/bin/sh\nexec "%s" "$@"\n' "$found" >"$work/out/$program"
    done
}

from_apt() {
    if ! command -v apt-get || ! command -v dpkg-deb; then
        return 1
    fi
    lists=
    # A new machine has no lists of packages. Lists of our own need no root.
    if ! (cd "$work" && apt-get download -q "${packages%% *}"); then
        mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
        lists="-o Dir::State::lists=$work/lists -o Dir::Cache=$work/cache"
        # shellcheck disable=SC2086
        apt-get $lists -q update
    fi
    for package in $packages; do
        # Not every release has all of them. The test run below shows whether one is missing.
        # shellcheck disable=SC2086
        (cd "$work" && apt-get $lists download -q "$package") || continue
        dpkg-deb --extract "$work/$package"_*.deb "$work/out/package" || return 1
    done
    for program in $programs; do
        inside=$(cd "$work/out/package" 2>/dev/null && find usr -path "usr/*bin/$program" | head -n 1)
        [ -n "$inside" ] || return 1
        cat >"$work/out/$program" <<WRAPPER
#!/bin/sh
package=\$(CDPATH='' cd -- "\$(dirname -- "\$0")" && pwd)/package
for folder in "\$package"/usr/lib/*/ "\$package"/lib/*/; do
    LD_LIBRARY_PATH=\$folder\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}
done
export LD_LIBRARY_PATH
exec "\$package/$inside" "\$@"
WRAPPER
    done
}

for way in system apt; do
    rm -rf "$work/out"
    mkdir "$work/out"
    if "from_$way" >>"$work/log" 2>&1 && chmod -R u+x "$work/out" && run_in "$work/out"; then
        rm -rf "$target"
        # Into place in one step. If two runs compete, either result is good.
        mv "$work/out" "$target" 2>/dev/null || run_in "$target"
        echo "$target is fetched ($way)"
        exit
    fi
done
sed 's/^/    /' "$work/log" >&2
echo "$name is not installed here, and apt-get cannot fetch it; see above why" >&2
[ -n "$optional" ] || exit 1
echo "tests that need $name are skipped" >&2
