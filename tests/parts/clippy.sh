# The server's code has no warnings, neither the compiler's nor clippy's.
. "$(dirname "$0")/lib/check.sh"
. "$(dirname "$0")/lib/install.sh"

need_rust || { skip "clippy" "no Rust"; exit; }
check "no warnings in the workspace" cargo clippy --locked --workspace --all-targets -- -D warnings
