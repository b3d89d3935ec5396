"""Sandboxes of which one protection was taken away, for controls alone: no task ever runs in one."""

from collections.abc import Callable, Sequence
from pathlib import Path

from agentcontainer.sandbox.bubblewrap import Bubblewrap
from agentcontainer.sandbox.contract import Spec
from agentcontainer.sandbox.launch import Sources
from agentcontainer.sandbox.limits import Hierarchy

Edit = Callable[[Sequence[str]], list[str]]
Weaken = Callable[[Edit], Bubblewrap]


class Weakened(Bubblewrap):
    """The same launch, its options changed by `edit`."""

    def __init__(self, uid_base: int, lock_dir: Path, edit: Edit, hierarchy: Hierarchy | None = None) -> None:
        super().__init__(uid_base, lock_dir, hierarchy)
        self._edit = edit

    def _options(self, spec: Spec, sources: Sources, seccomp: int, files: dict[str, int]) -> list[str]:
        return self._edit(super()._options(spec, sources, seccomp, files))


def without(*words: str) -> Edit:
    """Drops these words, which follow one another.

    Raises:
        ValueError: the launch has none such, so that its control would show nothing.
    """

    def edit(options: Sequence[str]) -> list[str]:
        count = len(words)
        for start in range(len(options) - count + 1):
            if tuple(options[start : start + count]) == words:
                return [*options[:start], *options[start + count :]]
        raise ValueError(f"The launch has no {' '.join(words)}.")

    return edit


def without_filter(options: Sequence[str]) -> list[str]:
    """Drops the system call filter."""
    start = options.index("--seccomp")
    return [*options[:start], *options[start + 2 :]]


def adding(*words: str) -> Edit:
    """Adds options, the last to be done before everything is closed."""

    def edit(options: Sequence[str]) -> list[str]:
        at = options.index("--seccomp")
        return [*options[:at], *words, *options[at:]]

    return edit
