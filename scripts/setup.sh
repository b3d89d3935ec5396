#!/usr/bin/env bash
# Creates a .venv that runs AgentContainer: `scripts/setup.sh`, or `scripts/setup.sh dev` to include the test tools.
# Idempotent; what is already installed is skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
umask 022 # sandboxes run as other users, who must be able to read the installation

venv=.venv
kind=${1:-run} # or dev
lock=requirements.lock
if [ "$kind" = dev ]; then lock=requirements-dev.lock; fi

say() { printf 'setup: %s\n' "$*"; }
fail() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

# Tries a command up to three times: a mirror may fail once, and another apt process may hold the lock.
with_retries() {
    local seconds
    for seconds in 10 30; do
        if "$@"; then return; fi
        say "the command failed; trying again in $seconds s" >&2
        sleep $seconds
    done
    "$@"
}

find_python() {
    local name
    for name in python3 python3.13 python3.12 python3.11 python3.14; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    fail "Python 3.11 or newer is required. Install it, or add it to the PATH."
}

has_seccomp() {
    local library
    for library in /lib/*/libseccomp.so.2 /usr/lib/*/libseccomp.so.2 /usr/lib*/libseccomp.so.2; do
        if [ -e "$library" ]; then return 0; fi
    done
    return 1
}

# Prints the missing Debian packages, one per line.
missing_packages() {
    local command
    if ! is_usable && ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        "$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'
    fi
    if ! command -v bwrap >/dev/null; then echo bubblewrap; fi
    for command in git skopeo umoci; do
        if ! command -v $command >/dev/null; then echo $command; fi
    done
    if ! has_seccomp; then echo libseccomp2; fi
    if [ "$kind" = dev ] && ! command -v docker-registry >/dev/null; then echo docker-registry; fi
    if [ "$kind" = dev ]; then # tests/lab: several hosts
        if ! compgen -G "/usr/lib/postgresql/*/bin/postgres" >/dev/null; then echo postgresql; fi # the wheel's has no TLS
        if ! PATH=$PATH:/usr/sbin command -v haproxy >/dev/null; then echo haproxy; fi
        if [ ! -x /usr/sbin/pgbouncer ]; then echo pgbouncer; fi
        if ! command -v faketime >/dev/null; then echo faketime; fi
    fi
    if [ "$kind" = dev ]; then # deploy/
        if ! command -v systemd-analyze >/dev/null; then echo systemd; fi
        if [ ! -x /usr/sbin/nginx ]; then echo nginx-light; fi
        if ! command -v caddy >/dev/null; then echo caddy; fi
    fi
    # For the browser tests. On Ubuntu, where it is a snap only, install it or Chrome yourself.
    if [ "$kind" = dev ] && ! command -v chromium chromium-browser google-chrome >/dev/null; then echo chromium; fi
    if ! command -v perl >/dev/null; then echo perl-base; fi # doctor --prove
    # Internet access for agents.
    if ! command -v slirp4netns >/dev/null; then echo slirp4netns; fi
    if ! PATH=$PATH:/usr/sbin command -v nft >/dev/null; then echo nftables; fi
    if ! PATH=$PATH:/usr/sbin command -v ip >/dev/null; then echo iproute2; fi
    if [ "$(id -u)" = 0 ]; then # volumes for workspaces
        if ! command -v mke2fs >/dev/null && [ ! -x /sbin/mke2fs ]; then echo e2fsprogs; fi
        if ! command -v mount >/dev/null; then echo mount; fi
    fi
    for command in setpriv unshare nsenter prlimit; do
        if ! command -v $command >/dev/null; then
            echo util-linux
            break
        fi
    done
}

install_packages() {
    local packages=$1 root=()
    local command="apt-get update && apt-get install -y --no-install-recommends $packages"
    if ! command -v apt-get >/dev/null; then
        fail "install these Debian packages first, under your system's names for them: $packages"
    fi
    if [ "$(id -u)" != 0 ]; then
        if ! sudo -n true 2>/dev/null; then fail "run this command, then start again: sudo sh -c '$command'"; fi
        root=(sudo -n --preserve-env=http_proxy,https_proxy,no_proxy)
    fi
    say "installing system packages: $packages"
    if ! with_retries "${root[@]}" env DEBIAN_FRONTEND=noninteractive sh -c "exec >/dev/null && $command"; then
        fail "apt could not install the packages. Run the command yourself: $command"
    fi
}

fingerprint() {
    cat requirements.lock requirements-dev.lock pyproject.toml client/pyproject.toml scripts/setup.sh | cksum
}

is_installed() {
    is_usable && [ -x $venv/bin/agentcontainer ] && fingerprint | cmp -s - "$venv/.installed-$1"
}

# A moved or copied .venv is not usable: its commands contain the path of the folder it was created in.
is_usable() {
    [ -x $venv/bin/python ] && [ "$(cat $venv/.made-in 2>/dev/null || pwd)" = "$(pwd)" ]
}

install_python_packages() {
    local pip="$venv/bin/python -m pip --quiet --disable-pip-version-check"
    if ! is_usable || ! $venv/bin/python -m pip --version >/dev/null 2>&1; then
        say "creating $venv with $("$python" --version)"
        rm -rf $venv
        "$python" -m venv $venv
        pwd >$venv/.made-in
    fi
    rm -f $venv/.installed-*
    say "installing $lock"
    with_retries $pip install --require-hashes --no-deps --only-binary :all: --requirement $lock
    $pip install --no-deps --no-build-isolation --no-index --editable client --editable .
    local conflicts
    conflicts=$($venv/bin/python -m pip check 2>/dev/null | grep -v "^No broken" || true)
    if [ -n "$conflicts" ]; then fail "$lock does not match pyproject.toml ($conflicts): run make lock"; fi
    fingerprint >"$venv/.installed-$kind"
}

# Sandboxes are created by ordinary users, also when this script runs as root.
can_create_sandboxes() {
    local drop=()
    if [ "$(id -u)" = 0 ]; then drop=(setpriv --reuid 65534 --regid 65534 --clear-groups); fi
    "${drop[@]}" bwrap --unshare-user --ro-bind / / --chdir / true 2>/dev/null
}

# apt knows only lower-case names, and pip a name of its own for the CA bundle.
use_proxies_and_ca_bundle() {
    local name upper lower
    for name in HTTP HTTPS NO; do
        upper=${name}_PROXY lower=${name,,}_proxy
        if [ -n "${!upper:-}" ] && [ -z "${!lower:-}" ]; then export "$lower=${!upper}"; fi
    done
    if [ -n "${SSL_CERT_FILE:-}" ]; then export PIP_CERT=${PIP_CERT:-$SSL_CERT_FILE}; fi
}

use_proxies_and_ca_bundle
exec 9<scripts/setup.sh
flock 9 # a second setup in this folder waits for the first
python=$(find_python)
packages=$(missing_packages | paste -sd ' ')
if [ -n "$packages" ]; then install_packages "$packages"; fi
if ! is_installed dev && ! is_installed "$kind"; then install_python_packages; fi
$venv/bin/python -m agentcontainer.runtime.install --progress
if ! $venv/bin/python scripts/build_ui.py; then say "the dashboard was not built; try again with: make ui"; fi
if ! can_create_sandboxes; then
    say "this system does not allow ordinary users to create sandboxes, so tasks will fail. On Ubuntu, allow it with:"
    say "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
fi
