"""The settings that all processes of an installation must have in common, and their form in the database."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from agentcontainer import price_file
from agentcontainer.price_file import PriceFile
from agentcontainer.settings import ENV_PREFIX, Settings

# Field of `Settings` → how its stored value is read.
SHARED: Mapping[str, Callable[[str], object]] = {
    "runner_lost_after_seconds": float,
    "hold_usd": Decimal,
    "container_usd_per_minute": Decimal,
    "model_prices_file": price_file.from_text,
    "public_url": str,
}
MAX_SHOWN = 200  # characters of a value in a message


@dataclass(frozen=True)
class Change:
    """A shared setting that was stored with another value. `before`: None if it was not stored."""

    name: str
    before: str | None
    after: str

    @property
    def sentence(self) -> str:
        """The change, for an operator."""
        before = "unset" if self.before is None else shown(self.name, self.before)
        return f"{variable(self.name)} of this installation: {before} → {shown(self.name, self.after) or 'unset'}"


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return ENV_PREFIX + name.upper()


def texts(settings: Settings) -> dict[str, str]:
    """The shared settings of this process as they are stored. `public_url` is absent if it is not set."""
    values = {name: _text(getattr(settings, name)) for name in SHARED}
    return {name: value for name, value in values.items() if value or name != "public_url"}


def explicit(settings: Settings) -> dict[str, str]:
    """Those of `texts` that were set for this process, and are not defaults."""
    return {name: text for name, text in texts(settings).items() if name in settings.model_fields_set}


def completed(settings: Settings, stored: Mapping[str, str]) -> Settings:
    """A copy in which shared settings that were not set have the installation's values."""
    update = {
        name: read(stored[name])
        for name, read in SHARED.items()
        if name in stored and name not in settings.model_fields_set
    }
    return settings.model_copy(update=update)


def mismatches(settings: Settings, stored: Mapping[str, str]) -> list[str]:
    """A sentence for each shared setting that was set here to another value than the installation has."""
    return [
        f"{variable(name)} is {shown(name, text)} here, but {shown(name, stored[name])} in this installation. Set the "
        "installation's value here, or change it for all with `agentcontainer admin adopt-settings`."
        for name, text in explicit(settings).items()
        if name in stored and stored[name] != text
    ]


def shown(name: str, text: str) -> str:
    """A stored value as messages show it."""
    if name == "model_prices_file":
        return f"a file with the digest {price_file.digest(text)}" if text else "unset"
    return text[:MAX_SHOWN]


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, PriceFile):
        return price_file.to_text(value)
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return f"{value:g}" if isinstance(value, float) else str(value)
