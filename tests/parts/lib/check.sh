# Sourced by every part first: `check` and `skip` record what a part proves, `at_exit` cleans up.

[ -n "${KITH_TEST_RESULTS:-}" ] || { echo "run this part through ./test ${0##*/}" >&2; exit 2; }
set -u
cd "$KITH_TEST_ROOT" || exit 2

# No check of ours is meant to run longer; one that does hangs.
CHECK_LIMIT_S=${CHECK_LIMIT_S:-2400}

record() { # OUTCOME NAME SECONDS
    printf '%s\t%s\t%s\t%s\n' "$1" "$KITH_TEST_PART" "$2" "$3" >>"$KITH_TEST_RESULTS"
    echo "--- $1: $2 ($3 s)"
}

# check NAME COMMAND…  runs the command, within CHECK_LIMIT_S; it passes when it exits with 0.
check() {
    local name=$1 started=$SECONDS
    shift
    echo "--- $name"
    if timeout --kill-after=20 "$CHECK_LIMIT_S" "$@"; then
        record passed "$name" "$((SECONDS - started))"
    else
        local code=$?
        [ "$code" -eq 124 ] && echo "--- took more than $CHECK_LIMIT_S s"
        record failed "$name" "$((SECONDS - started))"
        return 1
    fi
}

# skip NAME REASON  says that this was not tested, and why.
skip() {
    echo "!!! skipped: $1: $2"
    record skipped "$1: $2" 0
}

# fail NAME REASON  for what fails before there is a command to check.
fail() {
    record failed "$1: $2" 0
    return 1
}

AT_EXIT=()
# at_exit COMMAND…  runs when the part ends, however it ends; the newest first.
at_exit() { AT_EXIT=("$(printf '%q ' "$@")" "${AT_EXIT[@]}"); }
run_at_exit() {
    local command
    for command in "${AT_EXIT[@]}"; do eval "$command"; done
}
trap run_at_exit EXIT
trap 'exit 130' INT TERM
