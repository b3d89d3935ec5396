"""Gives each item of an OpenAI Responses answer an output index of its own, even if the provider uses one twice.

Some providers send another id for the same item in each event. So an item is new only if an event says that it begins.
Every other event with an unknown id belongs to the item that began last with its index.
"""

from dataclasses import dataclass, field

from agentcontainer.gateway.json_object import JsonObject


@dataclass
class OutputItems:
    """The items of one answer so far."""

    is_renumbering: bool = False
    """Whether an item has another index than the provider's."""
    _of_id: dict[str, int] = field(default_factory=dict[str, int])
    """An item's id or call id → its index."""
    _latest: dict[int, int] = field(default_factory=dict[int, int])
    """The provider's index → the index of the item that began last with it."""
    _used: set[int] = field(default_factory=set[int])

    def own_index(self, event: JsonObject, index: int) -> int:
        """The index of the event's item, which the provider gave `index`."""
        ids = _ids(event)
        earlier = next((self._of_id[id_] for id_ in ids if id_ in self._of_id), None)
        if earlier is not None:
            return earlier
        if event.text("type") != "response.output_item.added":
            return self._latest.get(index, index)
        own = index if index not in self._used else 1 + max(self._used)
        self._of_id |= dict.fromkeys(ids, own)
        self._latest[index] = own
        self._used.add(own)
        self.is_renumbering |= own != index
        return own


def _ids(event: JsonObject) -> list[str]:
    item = event.inner("item")
    ids = (event.text("item_id"), item and item.text("id"), item and item.text("call_id"))
    return [id_ for id_ in ids if id_]
