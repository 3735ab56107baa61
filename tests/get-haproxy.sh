#!/bin/sh
# Puts HAProxy for the load-balancer tests into .tools/haproxy/ of this project: the system's own if there is one, else the
# package of a Debian-like system, unpacked but not installed. That needs no root, and changes nothing outside .tools/.
#
# usage: tests/get-haproxy.sh [--optional]
#
# With --optional, a missing HAProxy is reported and is no failure; tests that need it are skipped.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
tools=$root/.tools
target=$tools/haproxy
optional=
[ "${1:-}" != --optional ] || optional=yes

# Whether the HAProxy there runs.
runs() {
    "$1" -v >/dev/null 2>&1
}

if runs "$target/haproxy"; then
    echo "$target/haproxy is there"
    exit
fi
mkdir -p "$tools"
work=$(mktemp -d "$tools/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT

# Each from_* makes $work/out/haproxy, or fails; what went wrong is in $work/log.

from_system() {
    found=$(PATH=$PATH:/usr/sbin:/usr/local/sbin command -v haproxy) || {
        echo "haproxy is not installed"
        return 1
    }
    printf '#!/bin/sh\nexec "%s" "$@"\n' "$found" >"$work/out/haproxy"
}

from_apt() {
    if ! command -v apt-get || ! command -v dpkg-deb; then
        return 1
    fi
    # With the libraries that a small system lacks.
    for package in haproxy liblua5.3-0 libopentracing-c-wrapper0 libopentracing1 libpcre2-8-0; do
        # Not every release has all of them. The test run below shows whether one is missing.
        (cd "$work" && apt-get download -q "$package") || continue
        dpkg-deb --extract "$work/$package"_*.deb "$work/out/package" || return 1
    done
    [ -x "$work/out/package/usr/sbin/haproxy" ] || return 1
    cat >"$work/out/haproxy" <<'WRAPPER'
#!/bin/sh
package=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)/package
for folder in "$package"/usr/lib/*/ "$package"/lib/*/; do
    LD_LIBRARY_PATH=$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
done
export LD_LIBRARY_PATH
exec "$package/usr/sbin/haproxy" "$@"
WRAPPER
}

for way in system apt; do
    rm -rf "$work/out"
    mkdir "$work/out"
    if "from_$way" >>"$work/log" 2>&1 && chmod 755 "$work/out/haproxy" && "$work/out/haproxy" -v >>"$work/log" 2>&1; then
        rm -rf "$target"
        # Into place in one step. If two runs compete, either result is good.
        mv "$work/out" "$target" 2>/dev/null || runs "$target/haproxy"
        echo "$target/haproxy is fetched ($way)"
        exit
    fi
done
sed 's/^/    /' "$work/log" >&2
echo "get-haproxy: no HAProxy found here, and apt-get cannot fetch one; see above why" >&2
[ -n "$optional" ] || exit 1
echo "get-haproxy: tests that need it are skipped" >&2
