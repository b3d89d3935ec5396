"""`UNSET`: a field that a client did not send, as opposed to one that it sent as null."""

from enum import Enum, auto


class Unset(Enum):
    """The type of `UNSET`."""

    UNSET = auto()


UNSET = Unset.UNSET
