"""Where the model requests of one task go: its provider, models, address, key and proxy."""

from dataclasses import dataclass, field

from agentcontainer.providers import OFFLINE, PROVIDERS, Provider, WireProtocol, own


@dataclass(frozen=True)
class Route:
    """Which provider and models one task uses.

    `models` are the provider's own ids. Without an `api_key` every request is answered 401. `proxy`: through which
    the provider is reached; it may hold a password. `protocol`: of an endpoint that the account added; such an endpoint
    may need no key.
    """

    provider: str
    base_url: str
    models: frozenset[str]
    api_key: str | None = field(repr=False)
    proxy: str | None = field(default=None, repr=False)
    title: str | None = None
    """The name of the provider in messages; None: its own title."""
    protocol: WireProtocol | None = None
    is_offline: bool = False
    """Whether the offline model answers, also in place of another provider."""

    @property
    def name(self) -> str:
        return self.title or self.entry.title

    @property
    def answered_by(self) -> str:
        """The name of the provider that answers."""
        return OFFLINE.name if self.is_offline else self.provider

    @property
    def entry(self) -> Provider:
        """What the platform knows of the provider."""
        return PROVIDERS[self.provider] if self.protocol is None else own(self.provider, self.protocol)

    @property
    def has_usable_key(self) -> bool:
        """Whether requests can be sent with this key, or without one."""
        if not self.api_key:
            return self.protocol is not None
        return self.api_key.isascii() and self.api_key.isprintable()
