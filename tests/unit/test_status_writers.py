"""`tasks.status` is written by three statements, so that every change of it passes the table of transitions."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import agentcontainer

ROOT = Path(agentcontainer.__file__).parent
UPDATE = re.compile(r"\bUPDATE\s+tasks\b(?:\s+AS)?(?:\s+\w+)?\s+SET\b(.*)", re.IGNORECASE | re.DOTALL)
INSERT = re.compile(r"\bINSERT\s+INTO\s+tasks\b", re.IGNORECASE)


def statements() -> Iterator[tuple[str, str]]:
    """(module and name of the assigned constant, text) of every string in the sources."""
    for path in ROOT.rglob("*.py"):
        tree = ast.parse(path.read_text())
        names = {
            id(node.value): node.targets[0].id
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield f"{path.relative_to(ROOT)}:{names.get(id(node), '')}", node.value


def sets_status(statement: str) -> bool:
    match = UPDATE.search(statement)
    if match is None:
        return False
    assignments = re.sub(r"'[^']*'", "''", match[1])
    depth, clause = 0, ""
    for character in assignments:
        depth += {"(": 1, ")": -1}.get(character, 0)
        clause += character if depth == 0 else " "
    clause = re.split(r"\b(?:WHERE|FROM|RETURNING)\b", clause, maxsplit=1, flags=re.IGNORECASE)[0]
    return any(re.match(r"\s*status\s*=", assignment) for assignment in clause.split(","))


def test_the_scan_finds_a_writer_and_no_reader() -> None:
    assert sets_status("UPDATE tasks SET title = $2, status = 'failed' WHERE id = $1")
    assert sets_status("WITH x AS (UPDATE tasks t SET status = $1 RETURNING 1) SELECT 1")
    assert not sets_status("UPDATE tasks SET turn_status = 'failed' WHERE status = 'running'")
    assert not sets_status("UPDATE tasks SET title = (SELECT status = 'x') WHERE id = $1")
    assert not sets_status("UPDATE messages SET status = 'queued' WHERE id = $1")


def test_status_is_written_by_insert_move_and_claim_alone() -> None:
    writers = {where for where, text in statements() if sets_status(text) or INSERT.search(text)}
    assert writers == {
        "domain/tasks/insertion.py:_INSERT",
        "domain/tasks/store.py:_MOVE",
        "domain/tasks/queue.py:_CLAIM",
    }
