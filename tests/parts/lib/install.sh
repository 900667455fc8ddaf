# What a part needs from the machine, installed when it is missing: on Debian, as root or with sudo.

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

# apt_install PACKAGE…  installs Debian packages; fails, with a sentence, where it can't.
apt_install() {
    command -v apt-get >/dev/null || { echo "this is no Debian; please install: $*" >&2; return 1; }
    if [ "$(id -u)" -ne 0 ] && ! sudo -n true 2>/dev/null; then
        echo "neither root nor sudo without a password; please install: $*" >&2
        return 1
    fi
    # The lists once for a run: every part is a process of its own, so a file remembers it.
    if [ ! -e "$KITH_TEST_SCRATCH/apt-updated" ]; then
        as_root apt-get -qq update >&2 || return 1
        touch "$KITH_TEST_SCRATCH/apt-updated"
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >&2
}

# need_command COMMAND PACKAGE…  makes sure that the command is there.
need_command() {
    local command=$1
    shift
    command -v "$command" >/dev/null || apt_install "$@" && command -v "$command" >/dev/null
}

# Rust comes from rustup, which is the developer's to install; a C compiler builds SQLite and the TLS library.
need_rust() {
    command -v cargo >/dev/null || { echo "cargo is missing: install Rust from https://rustup.rs" >&2; return 1; }
    need_command cc build-essential && need_command cmake cmake
}

# need_python NAME REQUIREMENTS  a virtual environment with the pinned requirements; prints its directory.
need_python() {
    local venv=$KITH_TEST_CACHE/python-$1 requirements=$2
    python3 -c 'import ensurepip, venv' 2>/dev/null || apt_install python3 python3-venv python3-dev || return 1
    (
        flock 9
        if ! cmp -s "$requirements" "$venv/installed"; then
            rm -rf "$venv"
            python3 -m venv "$venv" && "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$requirements" &&
                cp "$requirements" "$venv/installed"
        fi
    ) 9>"$venv.lock" >&2 || return 1
    echo "$venv"
}

# The oldest Node that the tests run on; Debian 12 has an older one.
NODE_MAJOR_MIN=20

node_is_new_enough() {
    command -v node >/dev/null && command -v npm >/dev/null &&
        [ "$(node -p 'process.versions.node.split(".")[0]')" -ge "$NODE_MAJOR_MIN" ]
}

# need_node  puts a Node that is new enough on PATH: the machine's own, else one from PyPI.
need_node() {
    node_is_new_enough && return
    local venv
    venv=$(need_python node "$KITH_TEST_ROOT/tests/parts/lib/node.txt") || return 1
    PATH=$venv/bin:$PATH
    export PATH
    node_is_new_enough
}

# need_npm_packages DIRECTORY  installs what its package-lock.json names, into the cache.
need_npm_packages() {
    local source=$1 installed
    installed=$KITH_TEST_CACHE/npm-$(basename "$1")
    mkdir -p "$installed"
    (
        flock 9
        if ! cmp -s "$source/package-lock.json" "$installed/node_modules/.installed-lock"; then
            cp "$source/package.json" "$source/package-lock.json" "$source/.npmrc" "$installed/" &&
                (cd "$installed" && npm ci --no-audit --no-fund --loglevel=error) &&
                cp "$source/package-lock.json" "$installed/node_modules/.installed-lock"
        fi
    ) 9>"$installed/lock" >&2 || return 1
    # Node looks for packages beside the script; the link leads it to the cache.
    ln -sfn "$installed/node_modules" "$source/node_modules"
}
