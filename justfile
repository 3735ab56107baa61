# Frequent tasks. `just` lists them.

default:
    @just --list

# Format, lints, spelling and documentation, without tests
check: lint doc

# All checks and tests, as in CI
test *args:
    tests/run.sh {{args}}

# Format and lints
lint:
    cargo fmt --check
    cargo clippy --locked --all-targets -- -D warnings
    tests/typos.sh

# Dependencies: licences, sources, banned and duplicate crates
deny:
    cargo deny check bans licenses sources

# The documentation of the code
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items

# A benchmark, or all of them: just bench get
bench name='':
    cargo bench --locked {{ if name == '' { '' } else { '--bench ' + name } }}

# A demo with throwaway keys
demo *args:
    deploy/demo.sh {{args}}
