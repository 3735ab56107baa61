# What is done often. `just` lists it.

default:
    @just --list

# Format, lints, spelling and documentation, without tests
check: lint doc

# Everything that a change must pass, as in CI
test *args:
    tests/run.sh {{args}}

# Format and lints
lint:
    cargo fmt --check
    cargo clippy --locked --all-targets -- -D warnings
    tests/typos.sh

# The dependency tree: licences, sources, banned and doubled crates
deny:
    cargo deny check bans licenses sources

# The documentation of the code
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items

# A benchmark, or all of them: just bench get
bench name='':
    cargo bench --locked {{ if name == '' { '' } else { '--bench ' + name } }}

# See what it does, with throwaway keys
demo *args:
    deploy/demo.sh {{args}}
