# The pages for people in headless Chromium: registration with each kind of invitation, without JavaScript, on a small
# phone, with a keyboard, and by axe's rules for accessibility.
. "$(dirname "$0")/lib/check.sh"
. "$(dirname "$0")/lib/install.sh"
. "$(dirname "$0")/lib/postgres.sh"
. "$(dirname "$0")/lib/kith.sh"

need_node || { skip "pages in Chromium" "no Node"; exit; }
need_command chromium chromium || { skip "pages in Chromium" "no Chromium"; exit; }
need_npm_packages tests/browser || { skip "pages in Chromium" "the npm packages cannot be had"; exit; }
kith_build || { fail "kith" "does not build"; exit 1; }
kith_start sqlite || { fail "kith" "does not start"; exit 1; }

# The command line reads the same settings as the server.
kith_verb() { (eval "$(grep '^export KITH_' "$KITH_RUN/settings")" && cd "$KITH_RUN" && "$KITH_BINARY" "$@"); }
invitation() { kith_verb token new "$@" | sed 's/.*token=//'; }

used=$(invitation --uses 1)
revoked=$(invitation)
kith_verb token revoke "$revoked" >/dev/null || fail "kith token revoke" "failed"
reset_for=$(invitation --uses 1)
KITH_TEST_INVITATIONS=$(printf '{"friend":"%s","admin":"%s","grace":"%s","many":"%s","admin2":"%s","used":"%s","expired":"%s","revoked":"%s","wrong":"wrong","malformed":"not a token!","forgetful":"%s"}' \
    "$(invitation --uses 1)" "$(invitation --admin)" "$(invitation --username grace)" "$(invitation)" "$(invitation --admin)" \
    "$used" "$(invitation --expires 1s)" "$revoked" "$reset_for")
export KITH_TEST_INVITATIONS
export KITH_TEST_CHROMIUM=${KITH_TEST_CHROMIUM:-$(command -v chromium)}
# `kith user reset-link`, for the test that forgets its password.
kith_verb_script=$KITH_RUN/verb
{
    echo '#!/usr/bin/env bash'
    grep '^export KITH_' "$KITH_RUN/settings"
    printf 'cd %q && exec %q "$@"\n' "$KITH_RUN" "$KITH_BINARY"
} >"$kith_verb_script"
chmod 755 "$kith_verb_script"
export KITH_TEST_VERB=$kith_verb_script

check "the pages work for people, in Chromium" node --test --test-reporter=spec tests/browser/pages.test.mjs
