# Sourced by deploy/demo.sh and tests/run.sh, which set `root` to the project's folder.
#
# Missing tools go into .tools/ in the project; delete that folder to undo it. Only system packages (a C compiler, curl,
# python3) go elsewhere: the script installs them with apt-get, only as root, and says so first.
# shellcheck shell=sh

tools=$root/.tools

say() {
    printf '==> %s\n' "$*" >&2
}

fail() {
    printf '==> %s\n' "$*" >&2
    exit 1
}

# need_package REASON PACKAGE...: installs packages with apt-get, or says what to install.
need_package() {
    reason=$1
    shift
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "$reason: installing $* on this system with apt-get"
        { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends "$@"; } >&2 ||
            fail "apt-get could not install $*"
    else
        fail "$reason. On Debian, as root: apt-get install $*"
    fi
}

# The SQLite and TLS libraries are C and need only a compiler.
need_cc() {
    command -v cc >/dev/null || need_package "a C compiler is needed and missing" gcc libc6-dev
}

# need_rust [COMPONENT...]: puts a recent enough cargo on the PATH, with rustfmt or clippy if they are named.
need_rust() {
    wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$root/Cargo.toml")
    # HOME may be empty or wrong, as in cron jobs and containers. Then look at the user's own home, too.
    home=$(getent passwd "$(id -u)" 2>/dev/null | cut -d: -f6)
    usable_rust "$@" && return
    for place in "${HOME:-/nonexistent}" "${home:-/nonexistent}"; do
        try_rust "$place/.cargo" "$place/.rustup" "$@" && return
    done
    try_rust /usr/local/cargo /usr/local/rustup "$@" && return
    try_rust "$tools/cargo" "$tools/rustup" "$@" && return
    say "no Rust $wanted or newer${*:+ with $*} was found: installing one with rustup into $tools, and nothing elsewhere"
    command -v curl >/dev/null || need_package "curl is needed to get rustup" curl ca-certificates
    mkdir -p "$tools"
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs -o "$tools/rustup-init.sh" ||
        fail "rustup could not be downloaded. Install Rust $wanted or newer in any other way, and run this again"
    CARGO_HOME=$tools/cargo RUSTUP_HOME=$tools/rustup sh "$tools/rustup-init.sh" -y -q --no-modify-path \
        --profile minimal --default-toolchain stable --component rustfmt --component clippy >&2 ||
        fail "rustup could not install Rust"
    try_rust "$tools/cargo" "$tools/rustup" "$@" || fail "the Rust that rustup installed does not run"
}

# try_rust CARGO_HOME RUSTUP_HOME [COMPONENT...]: uses the Rust in these folders.
try_rust() {
    [ -x "$1/bin/cargo" ] || return 1
    old_path=$PATH
    PATH=$1/bin:$PATH CARGO_HOME=$1
    export PATH CARGO_HOME
    if [ -d "$2" ]; then
        RUSTUP_HOME=$2
        export RUSTUP_HOME
    fi
    shift 2
    usable_rust "$@" && return
    PATH=$old_path
    unset CARGO_HOME RUSTUP_HOME
    return 1
}

# Whether the cargo on the PATH runs, is new enough, and has the components.
usable_rust() {
    # Looking for one must download none: if the channel of rust-toolchain.toml is missing, the machine's default is used.
    RUSTUP_AUTO_INSTALL=0
    export RUSTUP_AUTO_INSTALL
    [ -z "${fallback-}" ] || unset RUSTUP_TOOLCHAIN fallback
    if ! cargo --version >/dev/null 2>&1 && fallback=$(rustup default 2>/dev/null); then
        RUSTUP_TOOLCHAIN=${fallback%% *}
        export RUSTUP_TOOLCHAIN
    fi
    version=$(cargo --version 2>/dev/null | sed -n 's/^cargo \([0-9.]*\).*/\1/p')
    [ -n "$version" ] || return 1
    oldest=$(printf '%s\n%s\n' "$wanted" "$version" | sort -V | head -n 1)
    [ "$oldest" = "$wanted" ] || return 1
    for component in "$@"; do
        case $component in
        rustfmt) cargo fmt --version >/dev/null 2>&1 || return 1 ;;
        clippy) cargo clippy --version >/dev/null 2>&1 || return 1 ;;
        esac
    done
}
