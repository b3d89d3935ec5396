"""Gives each content block of an answer of Anthropic's an index of its own, also where the provider repeats one."""

from dataclasses import dataclass, field


@dataclass
class ContentBlocks:
    """The content blocks of one answer so far."""

    is_renumbering: bool = False
    """Whether a block has another index than the provider's."""
    _latest: dict[int, int] = field(default_factory=dict[int, int])
    """The provider's index → the index of the latest block that the provider gave it."""
    _taken: set[int] = field(default_factory=set[int])
    _open: set[int] = field(default_factory=set[int])

    def start(self, index: int) -> int | None:
        """A block begins with this index of the provider's. The index of a block to end before: an open one that has
        the same, to which nothing more can belong."""
        previous = self._latest.get(index)
        own = index if index not in self._taken else 1 + max(self._taken)
        self._latest[index] = own
        self._taken.add(own)
        self._open.add(own)
        self.is_renumbering |= own != index
        if previous not in self._open:
            return None
        self._open.discard(previous)
        return previous

    def stop(self, index: int) -> None:
        """The block ends that has this index of the provider's."""
        self._open.discard(self.own(index))

    def own(self, index: int) -> int:
        """The index of the latest block that the provider gave this one."""
        return self._latest.get(index, index)
