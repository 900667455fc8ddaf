# Friends with matrix-js-sdk (what Element Web is made of), among themselves and with one on matrix-sdk.
. "$(dirname "$0")/lib/check.sh"
. "$(dirname "$0")/lib/install.sh"
. "$(dirname "$0")/lib/kith.sh"

need_node || { skip "matrix-js-sdk" "no Node.js"; exit; }
need_npm_packages "$KITH_TEST_ROOT/tests/js" || { skip "matrix-js-sdk" "its packages could not be installed"; exit; }
kith_build || { fail "kith" "does not build"; exit 1; }
check "the other friend's client builds" env CARGO_TARGET_DIR="$KITH_TEST_CACHE/target-clients" \
    cargo test --locked --manifest-path tests/clients/Cargo.toml --tests --bins --no-run || exit 1
export KITH_TEST_PEER=$KITH_TEST_CACHE/target-clients/debug/peer

kith_start sqlite || { fail "kith" "does not start"; exit 1; }
KITH_TEST_REGISTRATION_TOKEN=$(kith_registration_token) || fail "kith token new" "prints no link"
export KITH_TEST_REGISTRATION_TOKEN
js() { echo node --test --test-force-exit --test-reporter=spec "tests/js/$1.test.mjs"; }
check "an encrypted chat, key backup and emoji with matrix-js-sdk" $(js stories)
check "emoji between matrix-js-sdk and matrix-sdk" $(js across)
