#!/usr/bin/env bash
# Regenerates requirements.lock (runtime dependencies), requirements-otel.lock (these and the extra `otel`) and
# requirements-dev.lock (all of them and the tools) from pyproject.toml.
# Arguments are passed to uv, such as --upgrade or --upgrade-package NAME. Without them the versions do not change.
set -euo pipefail
cd "$(dirname "$0")/.."

uv=$(command -v uv || true)
if [ -z "$uv" ]; then
    tools=$(mktemp -d)
    trap 'rm -rf "$tools"' EXIT
    python3 -m venv "$tools"
    "$tools/bin/python" -m pip install --quiet uv
    uv=$tools/bin/uv
fi

# The client is part of this repository. hatchling and editables build the projects themselves; they are installed from the
# lock like everything else.
compile() {
    printf 'hatchling\neditables\n' | "$uv" pip compile pyproject.toml - --quiet --universal --generate-hashes \
        --python-version 3.11 --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
        --no-emit-package agentcontainer-client "$@"
}
compile --output-file requirements.lock "$@"
compile --output-file requirements-dev.lock --extra dev --extra otel --constraint requirements.lock "$@"
compile --output-file requirements-otel.lock --extra otel --constraint requirements-dev.lock "$@"
