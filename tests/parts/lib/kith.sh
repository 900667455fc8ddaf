# The server under test: built once, started on a free port with data of its own, killed and started again.

# kith_build  builds the binary; sets KITH_BINARY.
kith_build() {
    need_rust && need_command curl curl && need_command python3 python3 || return 1
    cargo build --locked --workspace --bin kith || return 1
    export KITH_BINARY=$CARGO_TARGET_DIR/debug/kith
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# A zombie has ended: in a container, nobody may be there to reap it.
alive() { [ -d "/proc/$1" ] && ! grep -q "^State:.Z" "/proc/$1/status" 2>/dev/null; }

# kith_start ENGINE [NAME=VALUE…]  starts an empty server on `sqlite` or `postgres`, with settings besides, and
# waits for its health. Sets what test clients read: KITH_TEST_URL, KITH_TEST_SECRET, KITH_TEST_SERVER_NAME,
# and KITH_TEST_RESTART, a command that kills the server (SIGKILL) and starts it again.
kith_start() {
    local engine=$1 port database
    shift
    KITH_RUN=$(mktemp -d "$KITH_TEST_SCRATCH/kith-$KITH_TEST_PART-$engine.XXXXXX") || return 1
    port=$(free_port) || return 1
    case $engine in
    sqlite) database=sqlite:$KITH_RUN/data/kith.db ;;
    postgres) database=$(postgres_database "kith_$port") || return 1 ;;
    *) echo "kith_start: no engine is called $engine" >&2; return 2 ;;
    esac
    export KITH_TEST_URL=http://127.0.0.1:$port
    export KITH_TEST_SERVER_NAME=kith.test
    KITH_TEST_SECRET=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    export KITH_TEST_SECRET
    mkdir "$KITH_RUN/data"
    {
        printf 'export %q\n' \
            "KITH_SERVER_NAME=$KITH_TEST_SERVER_NAME" "KITH_PUBLIC_URL=$KITH_TEST_URL" "KITH_LISTEN=$KITH_TEST_URL" \
            "KITH_DATA_DIR=$KITH_RUN/data" "KITH_DATABASE=$database" \
            "KITH_REGISTRATION__MODE=token" "KITH_REGISTRATION__SHARED_SECRET=$KITH_TEST_SECRET" \
            "KITH_LIMITS__ENABLED=false" "KITH_FEDERATION__ENABLED=false" "$@"
    } >"$KITH_RUN/settings"
    # A script of its own, so that a test client in any language can start the server again.
    {
        echo '#!/usr/bin/env bash'
        declare -f alive
        printf 'cd %q && . ./settings || exit\n' "$KITH_RUN"
        printf 'if [ -s pid ]; then kill -KILL "$(cat pid)"; while alive "$(cat pid)"; do sleep 0.02; done; fi\n'
        printf 'setsid %q serve >>log 2>&1 </dev/null &\n' "$KITH_BINARY"
        printf 'echo $! >pid\n'
        # 30 s: a loaded machine starts slowly; the time to start is a test of its own.
        printf 'for _ in $(seq 300); do\n'
        printf '    curl --noproxy "*" --silent --fail --output /dev/null %q && exit\n' "$KITH_TEST_URL/health"
        printf '    alive "$(cat pid)" || break\n'
        printf '    sleep 0.1\n'
        printf 'done\n'
        printf 'echo "kith did not become healthy; the end of its log:" >&2; tail -n 40 log >&2; exit 1\n'
    } >"$KITH_RUN/restart"
    chmod 755 "$KITH_RUN/restart"
    export KITH_TEST_RESTART=$KITH_RUN/restart
    at_exit kith_stop "$KITH_RUN"
    "$KITH_TEST_RESTART"
}

# kith ARGUMENT…  runs the binary's other verbs, with the settings of the newest server.
kith() { (cd "$KITH_RUN" && . ./settings && "$KITH_BINARY" "$@"); }

# kith_registration_token  makes a token that many may register with; prints it.
kith_registration_token() {
    local link
    link=$(kith token new --uses 100000) || return 1
    link=$(grep -o 'token=[A-Za-z0-9._~-]*' <<<"$link" | head -n 1)
    [ -n "$link" ] && echo "${link#token=}"
}

# kith_stop [RUN]  ends the newest server, or the one of that directory, with SIGTERM; its log stays.
kith_stop() {
    local run=${1:-$KITH_RUN} pid
    [ -s "$run/pid" ] || return 0
    pid=$(cat "$run/pid")
    rm "$run/pid"
    kill -TERM "$pid" 2>/dev/null || return 0
    # 10 s to drain is the server's promise; twice that, and we end it.
    for _ in $(seq 200); do
        alive "$pid" || return 0
        sleep 0.1
    done
    kill -KILL "$pid"
    echo "kith did not end within 20 s of SIGTERM" >&2
    return 1
}
