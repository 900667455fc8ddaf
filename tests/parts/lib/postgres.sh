# A private PostgreSQL for the tests: in the scratch directory, on a loopback port, gone with the part.

postgres_bin() {
    local directory
    for directory in "$(dirname "$(readlink -f "$(command -v initdb)")" 2>/dev/null)" /usr/lib/postgresql/*/bin; do
        [ -x "$directory/initdb" ] && [ -x "$directory/psql" ] && echo "$directory" && return
    done
    return 1
}

# PostgreSQL refuses to run as root.
as_postgres() {
    if [ "$(id -u)" -ne 0 ]; then
        "$@"
    elif id postgres >/dev/null 2>&1; then
        runuser -u postgres -- "$@"
    else
        runuser -u nobody -- "$@"
    fi
}

# postgres_start  sets KITH_TEST_POSTGRES to the URL of a role that may create databases.
postgres_start() {
    [ -n "${KITH_TEST_POSTGRES:-}" ] && export KITH_TEST_POSTGRES && return
    local bin directory password port
    bin=$(postgres_bin) || { apt_install postgresql && bin=$(postgres_bin); } || return 1
    directory=$(mktemp -d "$KITH_TEST_SCRATCH/postgres.XXXXXX") || return 1
    password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    echo "$password" >"$directory/password"
    [ "$(id -u)" -ne 0 ] || chown -R "$(as_postgres id -un)" "$directory"
    (cd "$directory" && as_postgres "$bin/initdb" --pgdata="$directory/data" --username=kith --pwfile="$directory/password" \
        --auth=scram-sha-256 --encoding=UTF8 --locale=C --no-sync >"$directory/initdb.log" 2>&1) ||
        { cat "$directory/initdb.log" >&2; return 1; }
    port=$(free_port) || return 1
    # No fsync: the tests kill Kith, not the machine. The directory goes with the part.
    (cd "$directory" && as_postgres "$bin/pg_ctl" --pgdata="$directory/data" --log="$directory/postgres.log" --wait --silent \
        --options="-c listen_addresses=127.0.0.1 -c port=$port -c unix_socket_directories='' -c fsync=off -c max_connections=200" start 9>&-) ||
        { cat "$directory/postgres.log" >&2; return 1; }
    at_exit postgres_stop "$bin" "$directory"
    export KITH_TEST_POSTGRES=postgres://kith:$password@127.0.0.1:$port/postgres
}

postgres_stop() { # BIN DIRECTORY
    (cd "$2" && as_postgres "$1/pg_ctl" --pgdata="$2/data" --mode=immediate --silent stop)
    rm -rf "$2/data"
}

# postgres_database NAME  creates an empty database; prints its URL.
postgres_database() {
    local bin
    bin=$(postgres_bin) || { echo "psql is missing" >&2; return 1; }
    "$bin/psql" --quiet --no-psqlrc "$KITH_TEST_POSTGRES" --command="CREATE DATABASE $1" >&2 || return 1
    echo "${KITH_TEST_POSTGRES%/*}/$1"
}
