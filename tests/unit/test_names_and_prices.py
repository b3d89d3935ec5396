"""Small pure rules: ids, prices, titles, input names."""

import time

import pytest

from agentcontainer.domain.ledger.prices import container_cost_micro_usd
from agentcontainer.domain.tasks.creation import title_of
from agentcontainer.filenames import filename_fault
from agentcontainer.ids import new_id
from agentcontainer.runner.workspace.folders import distinct_names
from agentcontainer.runner.workspace.outputs import Refused, path_inside


def test_ids_sort_by_creation() -> None:
    ids: list[str] = []
    for _ in range(5):
        ids.append(new_id("tsk"))
        time.sleep(0.002)
    assert ids == sorted(ids)
    assert all(len(id_) >= 24 and id_.startswith("tsk_") for id_ in ids)


@pytest.mark.parametrize(
    ("seconds", "micro_usd"),
    [(0, 0), (0.000001, 833), (1, 833), (59.2, 50_000), (60, 50_000), (61, 50_833), (3600, 3_000_000)],
)
def test_container_time_is_metered_per_started_second(seconds: float, micro_usd: int) -> None:
    assert container_cost_micro_usd(int(seconds * 1_000_000), 50_000) == micro_usd


@pytest.mark.parametrize(
    ("instructions", "title"),
    [
        ("Count the rows.", "Count the rows."),
        ("\n\n# Report\n\nWrite it.", "Report"),
        ("x" * 100, "x" * 79 + "…"),
        ("###\n", "Task"),
    ],
)
def test_a_title_comes_from_the_first_line(instructions: str, title: str) -> None:
    assert title_of(instructions) == title


def test_equal_input_names_are_made_distinct() -> None:
    assert distinct_names(["a.csv", "a.csv", "b", "a.csv", "b"]) == [
        "a.csv",
        "a (2).csv",
        "b",
        "a (3).csv",
        "b (2)",
    ]
    assert distinct_names(["a.csv", "a.csv", "a (2).csv"]) == ["a.csv", "a (3).csv", "a (2).csv"]


@pytest.mark.parametrize("name", ["x" * 251 + ".csv", "é" * 127, "a." + "b" * 253], ids=["x.csv", "é", "a.b"])
def test_the_longest_input_names_are_made_distinct_and_stay_valid(name: str) -> None:
    names = distinct_names([name] * 12)
    assert names[0] == name
    assert len(set(names)) == 12
    assert [filename_fault(input_name) for input_name in names] == [None] * 12


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a\\b", "a\0", "a\nb", "\x1b[2J", "x" * 256, "é" * 128, "\ud800"]
)
def test_a_filename_is_not_a_path(name: str) -> None:
    assert filename_fault(name)


@pytest.mark.parametrize("name", ["a.csv", "….md", "a b (2).tar.gz", "x" * 255, ".hidden", "-rf"])
def test_ordinary_file_names_are_accepted(name: str) -> None:
    assert filename_fault(name) is None


@pytest.mark.parametrize(
    ("path", "cwd", "inside"),
    [
        ("a.md", "/workspace/task", "task/a.md"),
        ("./x/../a.md", "/workspace/task", "task/a.md"),
        ("../a.md", "/workspace/task", "a.md"),
        ("/workspace/task/a.md", "/tmp", "task/a.md"),
    ],
)
def test_declared_paths_are_taken_relative_to_the_agents_folder(path: str, cwd: str, inside: str) -> None:
    assert path_inside(path, cwd) == inside


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../../etc/passwd", "/workspace", "/workspacex/a", "a\0b", "~/a.md"]
)
def test_paths_out_of_the_workspace_are_refused(path: str) -> None:
    with pytest.raises(Refused):
        path_inside(path, "/workspace/task" if path != "~/a.md" else "/tmp")
