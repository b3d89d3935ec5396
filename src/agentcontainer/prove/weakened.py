"""Sandboxes that lack one protection.

Only controls use them; a task never runs in one.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from agentcontainer.sandbox.bubblewrap import Bubblewrap
from agentcontainer.sandbox.contract import Spec
from agentcontainer.sandbox.launch import Sources
from agentcontainer.sandbox.limits import Hierarchy

Edit = Callable[[Sequence[str]], list[str]]
Weaken = Callable[[Edit], Bubblewrap]


class Weakened(Bubblewrap):
    """The driver, with the options of its sandboxes changed by `edit`."""

    def __init__(self, uid_base: int, lock_dir: Path, edit: Edit, hierarchy: Hierarchy | None = None) -> None:
        super().__init__(uid_base, lock_dir, hierarchy)
        self._edit = edit

    def _options(self, spec: Spec, sources: Sources, seccomp: int, files: dict[str, int]) -> list[str]:
        return self._edit(super()._options(spec, sources, seccomp, files))


def without(*words: str) -> Edit:
    """Removes these consecutive words.

    Raises:
        ValueError: the options do not contain them, so the control would prove nothing.
    """

    def edit(options: Sequence[str]) -> list[str]:
        count = len(words)
        for start in range(len(options) - count + 1):
            if tuple(options[start : start + count]) == words:
                return [*options[:start], *options[start + count :]]
        raise ValueError(f"The options do not contain {' '.join(words)}.")

    return edit


def without_filter(options: Sequence[str]) -> list[str]:
    """Removes the system call filter."""
    start = options.index("--seccomp")
    return [*options[:start], *options[start + 2 :]]


def adding(*words: str) -> Edit:
    """Adds options directly before the system call filter."""

    def edit(options: Sequence[str]) -> list[str]:
        at = options.index("--seccomp")
        return [*options[:at], *words, *options[at:]]

    return edit
