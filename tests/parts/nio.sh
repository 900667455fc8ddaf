# Two friends with matrix-nio (bots and small clients in Python) chat encrypted.
. "$(dirname "$0")/lib/check.sh"
. "$(dirname "$0")/lib/install.sh"
. "$(dirname "$0")/lib/kith.sh"

venv=$(need_python nio "$KITH_TEST_ROOT/tests/nio/requirements.txt") ||
    { skip "matrix-nio" "its packages could not be installed"; exit; }
kith_build || { fail "kith" "does not build"; exit 1; }
kith_start sqlite || { fail "kith" "does not start"; exit 1; }
KITH_TEST_REGISTRATION_TOKEN=$(kith_registration_token) || fail "kith token new" "prints no link"
export KITH_TEST_REGISTRATION_TOKEN
check "an encrypted chat with matrix-nio" "$venv/bin/python" -B -m unittest discover --start-directory tests/nio --verbose
