#!/usr/bin/env bash
# From Python and make to a .venv that runs AgentContainer: `scripts/setup.sh`, or `scripts/setup.sh dev` for the
# test tools too. Safe to run at any time; what is already there costs nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
umask 022 # sandboxes run as other users and read what is installed here

venv=.venv
kind=${1:-run} # or dev
lock=requirements.lock
if [ "$kind" = dev ]; then lock=requirements-dev.lock; fi

say() { printf 'setup: %s\n' "$*"; }
fail() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

# What needs the network is tried three times: a mirror may fail once, and another apt hold its lock for a while.
patiently() {
    local seconds
    for seconds in 10 30; do
        if "$@"; then return; fi
        say "that failed; trying again in $seconds s" >&2
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
    fail "Python 3.11 or newer is needed, and none is on the PATH."
}

has_seccomp() {
    local library
    for library in /lib/*/libseccomp.so.2 /usr/lib/*/libseccomp.so.2 /usr/lib*/libseccomp.so.2; do
        if [ -e "$library" ]; then return 0; fi
    done
    return 1
}

# The Debian packages that are missing, one a line.
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
    # For the tests in a real browser. Ubuntu has it as a snap only: there, install it or Chrome yourself.
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
        fail "these Debian packages, under your system's names for them, must be installed first: $packages"
    fi
    if [ "$(id -u)" != 0 ]; then
        if ! sudo -n true 2>/dev/null; then fail "run this, then start again: sudo sh -c '$command'"; fi
        root=(sudo -n)
    fi
    say "installing system packages: $packages"
    if ! patiently "${root[@]}" env DEBIAN_FRONTEND=noninteractive sh -c "exec >/dev/null && $command"; then
        fail "apt could not install them. This is the command: $command"
    fi
}

fingerprint() {
    cat requirements.lock requirements-dev.lock pyproject.toml scripts/setup.sh | cksum
}

is_installed() {
    is_usable && [ -x $venv/bin/agentcontainer ] && fingerprint | cmp -s - "$venv/.installed-$1"
}

# A moved or copied .venv is not: its commands name the folder it was made in.
is_usable() {
    [ -x $venv/bin/python ] && [ "$(cat $venv/.made-in 2>/dev/null || pwd)" = "$(pwd)" ]
}

install_python_packages() {
    local pip="$venv/bin/python -m pip --quiet --disable-pip-version-check"
    if ! is_usable || ! $venv/bin/python -m pip --version >/dev/null 2>&1; then
        say "making $venv with $("$python" --version)"
        rm -rf $venv
        "$python" -m venv $venv
        pwd >$venv/.made-in
    fi
    rm -f $venv/.installed-*
    say "installing $lock"
    patiently $pip install --require-hashes --no-deps --only-binary :all: --requirement $lock
    $pip install --no-deps --no-build-isolation --no-index --editable .
    # lock-overrides.txt says why this one complaint is none.
    local misfits
    misfits=$($venv/bin/python -m pip check 2>/dev/null | grep -v -e "^botocore .* python-dateutil" -e "^No broken" || true)
    if [ -n "$misfits" ]; then fail "$lock does not fit pyproject.toml ($misfits): run make lock"; fi
    fingerprint >"$venv/.installed-$kind"
}

# Sandboxes are made by ordinary users, also when we are root.
can_make_sandboxes() {
    local drop=()
    if [ "$(id -u)" = 0 ]; then drop=(setpriv --reuid 65534 --regid 65534 --clear-groups); fi
    "${drop[@]}" bwrap --unshare-user --ro-bind / / --chdir / true 2>/dev/null
}

exec 9<scripts/setup.sh
flock 9 # a second setup in this folder waits for the first
python=$(find_python)
packages=$(missing_packages | paste -sd ' ')
if [ -n "$packages" ]; then install_packages "$packages"; fi
if ! is_installed dev && ! is_installed "$kind"; then install_python_packages; fi
$venv/bin/python -m agentcontainer.runtime.install >/dev/null
if ! can_make_sandboxes; then
    say "this system keeps ordinary users from making sandboxes, so tasks will fail here. On Ubuntu, allow it by:"
    say "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
fi
