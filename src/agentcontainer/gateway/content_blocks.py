"""Gives each content block of an answer of Anthropic's an index of its own, even if the provider uses one twice."""

from dataclasses import dataclass, field


@dataclass
class ContentBlocks:
    """The content blocks of one answer so far."""

    is_renumbering: bool = False
    """Whether a block has another index than the provider's."""
    _latest: dict[int, int] = field(default_factory=dict[int, int])
    """The provider's index → our index of the latest block that has it."""
    _used: set[int] = field(default_factory=set[int])
    _open: set[int] = field(default_factory=set[int])

    def start(self, index: int) -> int | None:
        """Record that a block begins with this index of the provider's. Returns our index of the open block that had
        it before, and must be ended first; None: there is none."""
        previous = self._latest.get(index)
        own = index if index not in self._used else 1 + max(self._used)
        self._latest[index] = own
        self._used.add(own)
        self._open.add(own)
        self.is_renumbering |= own != index
        if previous not in self._open:
            return None
        self._open.discard(previous)
        return previous

    def stop(self, index: int) -> None:
        """Record that the block with this index of the provider's has ended."""
        self._open.discard(self.own(index))

    def own(self, index: int) -> int:
        """Our index of the latest block with this index of the provider's."""
        return self._latest.get(index, index)
