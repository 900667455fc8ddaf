# Friends with real clients (matrix-sdk), over both syncs: their stories, and the server killed in the middle.
. "$(dirname "$0")/lib/check.sh"
. "$(dirname "$0")/lib/install.sh"
. "$(dirname "$0")/lib/postgres.sh"
. "$(dirname "$0")/lib/kith.sh"

kith_build || { fail "kith" "does not build"; exit 1; }
clients() { # VERB TEST-BINARY…  as arguments for `check`
    echo env CARGO_TARGET_DIR="$KITH_TEST_CACHE/target-clients" \
        cargo "$1" --locked --manifest-path tests/clients/Cargo.toml "${@:2}"
}
check "the test clients build" $(clients test --tests --bins --no-run) || exit 1

# start_for_friends ENGINE  starts a server that all may register on.
start_for_friends() {
    kith_start "$1" || { fail "kith on $1" "does not start"; return 1; }
    KITH_TEST_REGISTRATION_TOKEN=$(kith_registration_token) || fail "kith token new on $1" "prints no link"
    export KITH_TEST_REGISTRATION_TOKEN
}

# Access tokens live for minutes: that story waits for their end while the others are told.
if start_for_friends sqlite; then
    check "an access token comes to its end" $(clients test --test expiry) >"$KITH_RUN/expiry.log" 2>&1 &
    expiry_log=$KITH_RUN/expiry.log
fi

for engine in sqlite postgres; do
    if [ "$engine" = postgres ] && ! postgres_start; then
        skip "stories on postgres" "no PostgreSQL"
        continue
    fi
    start_for_friends "$engine" || continue
    check "stories on $engine" $(clients test --test stories)
    check "the server killed among friends on $engine" $(clients test --test crash)
    kith_stop
done

wait
[ -z "${expiry_log:-}" ] || cat "$expiry_log"
