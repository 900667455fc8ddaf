# Our decisions on generated rooms agree with Synapse's own functions, for each room version.
#
# KITH_TEST_ORACLE_ROOMS is how many rooms per version are compared; 2000 unless set.
. "$(dirname "$0")/lib/check.sh"
. "$(dirname "$0")/lib/install.sh"

need_rust || { skip "oracle" "no Rust"; exit; }
venv=$(need_python oracle tests/oracle/requirements.txt) || { skip "oracle" "matrix-synapse cannot be installed"; exit; }
cargo build --quiet --locked --workspace --example oracle || { fail "oracle" "does not build"; exit 1; }
CHECK_LIMIT_S=3600 check "event ids, hashes, redaction, authorization and state resolution agree with Synapse's" \
    "$venv/bin/python" tests/oracle/compare.py --per-version "${KITH_TEST_ORACLE_ROOMS:-2000}" \
    --oracle "${CARGO_TARGET_DIR:-target}/debug/examples/oracle"
