#!/usr/bin/env bash
# Installs the pinned linters and code generators into the folder $1, once for each content of the lock files.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
target=$1
node=$2
npm=$3

content=$(cat "$here/package-lock.json" "$here/requirements.lock" | cksum)
if [ "$(cat "$target/.installed" 2>/dev/null)" = "$content" ]; then exit; fi
rm -rf "$target"
mkdir -p "$target"
cp "$here/package.json" "$here/package-lock.json" "$target"
PATH=$(dirname "$node"):$PATH "$node" "$npm" ci --prefix "$target" --ignore-scripts --no-audit --no-fund --loglevel=error
python3 -m venv "$target/python"
"$target/python/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
    --only-binary :all: --requirement "$here/requirements.lock"
echo "$content" >"$target/.installed"
