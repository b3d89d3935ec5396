"""The JSON of token prices."""

from agentcontainer.api.wire import Outgoing


class TokenPrice(Outgoing):
    """Prices in US dollars per million tokens."""

    input: float
    output: float
    cache_read: float
    cache_write: float
