# Friends with real clients (matrix-sdk), over both syncs: their stories, and the server killed in the middle.
. "$(dirname "$0")/lib/check.sh"
. "$(dirname "$0")/lib/install.sh"
. "$(dirname "$0")/lib/postgres.sh"
. "$(dirname "$0")/lib/kith.sh"

kith_build || { fail "kith" "does not build"; exit 1; }
stories() { # TEST-BINARY  as arguments for `check`
    echo env CARGO_TARGET_DIR="$KITH_TEST_CACHE/target-clients" \
        cargo test --locked --manifest-path tests/clients/Cargo.toml --test "$1"
}
check "the test clients build" $(stories stories) --test crash --no-run || exit 1

for engine in sqlite postgres; do
    if [ "$engine" = postgres ] && ! postgres_start; then
        skip "stories on postgres" "no PostgreSQL"
        continue
    fi
    kith_start "$engine" || { fail "kith on $engine" "does not start"; continue; }
    KITH_TEST_REGISTRATION_TOKEN=$(kith_registration_token) || fail "kith token new on $engine" "prints no link"
    export KITH_TEST_REGISTRATION_TOKEN
    check "stories on $engine" $(stories stories)
    check "the server killed among friends on $engine" $(stories crash)
    kith_stop
done
