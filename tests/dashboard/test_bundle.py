"""What a browser has to load before the first screen, and in all."""

import gzip
import re
from pathlib import Path

from agentcontainer.api.dashboard import built_files

ROOT = Path(__file__).parents[2]
MAX_ENTRY_BYTES = 300_000
MAX_BYTES = 600_000


def test_the_bundle_is_small() -> None:
    files = {name: content for name, content in built_files().items() if name.endswith((".js", ".css"))}
    assert files, "run: make ui"
    page = built_files()["index.html"].decode()
    entry = set(re.findall(r'(?:src|href)="/(assets/[^"]+\.(?:js|css))"', page))
    sizes = {name: len(gzip.compress(content, 9)) for name, content in files.items()}
    assert sum(sizes[name] for name in entry) <= MAX_ENTRY_BYTES
    assert sum(sizes.values()) <= MAX_BYTES


def test_the_licences_of_what_is_in_it_are_with_it() -> None:
    text = built_files()["THIRD-PARTY-LICENSES.txt"].decode()
    for package in ("react ", "react-dom ", "@base-ui/react ", "@tanstack/react-virtual ", "react-markdown "):
        assert f"{package}" in text
    assert text.count("MIT License") > 10
