# Every Rust file is formatted as rustfmt would.
. "$(dirname "$0")/lib/check.sh"
. "$(dirname "$0")/lib/install.sh"

need_rust || { skip "rustfmt" "no Rust"; exit; }
check "the server's code is formatted" cargo fmt --all --check
check "the test clients' code is formatted" cargo fmt --manifest-path tests/clients/Cargo.toml --check
