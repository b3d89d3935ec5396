"""What messages must not say, because not every user has a copy of the repository."""

import re
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"


def test_no_message_tells_a_user_of_the_wheel_to_run_make() -> None:
    advice = re.compile(r"\bmake (?:setup|demo|test|check|docs|lock|clean)\b")
    found = {
        f"{path.relative_to(SOURCE)}: {line.strip()}"
        for path in SOURCE.rglob("*")
        if path.suffix in {".py", ".js", ".mjs", ".cjs", ".md"}
        for line in path.read_text().splitlines()
        if advice.search(line)
    }
    assert {line for line in found if "is generated from" not in line} == set()
