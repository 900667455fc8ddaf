# `cargo test` of the whole workspace; storage tests run on SQLite and on PostgreSQL.
. "$(dirname "$0")/lib/check.sh"
. "$(dirname "$0")/lib/install.sh"
. "$(dirname "$0")/lib/postgres.sh"
. "$(dirname "$0")/lib/kith.sh"

need_rust || { skip "cargo test" "no Rust"; exit; }
postgres_start || skip "storage tests on PostgreSQL" "no PostgreSQL"
check "cargo test --workspace" cargo test --locked --workspace --no-fail-fast
