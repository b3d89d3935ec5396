#!/usr/bin/env bash
# Builds the sdists and, from them, the wheels of server and client into dist/. The same sources give the same bytes.
set -euo pipefail
cd "$(dirname "$0")/.."

python=.venv/bin/python
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 1767225600)}
export SOURCE_DATE_EPOCH
umask 022
$python scripts/build_ui.py
for folder in . client; do
    $python -m build --no-isolation --outdir dist "$folder" >/dev/null
done
ls -l dist
