"""Text from agents and servers, made fit for a terminal."""

import unicodedata
from datetime import datetime, timedelta

from agentcontainer_client.errors import ConfigurationError

_SPECIAL = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
_JOINERS = "\u200d\ufe0f"  # within emoji


def harmless(text: str, keep: str = "\n\t") -> str:
    """The text with a blank for each character that could steer a terminal or reverse the direction of writing."""
    return "".join(
        character
        if character in keep or character in _JOINERS or unicodedata.category(character) not in _SPECIAL
        else " "
        for character in text
    )


def one_line(text: str, limit: int | None = None) -> str:
    """The text on one line, cut to `limit` characters."""
    line = " ".join(harmless(text[: 4 * limit] if limit else text, keep="").split())
    return line if limit is None or len(line) <= limit else line[: limit - 1] + "…"


def bytes_text(size: int) -> str:
    """A size for people."""
    amount = float(size)
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1000
    raise AssertionError


def seconds_text(seconds: float) -> str:
    """A duration for people."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def age_text(moment: datetime | None, now: datetime) -> str:
    """How long ago it was."""
    if moment is None:
        return ""
    seconds = max(0.0, (now - moment).total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{int(seconds // size)}{unit} ago"
    return f"{int(seconds)}s ago"


def duration(text: str) -> timedelta:
    """A duration such as 90, 90s, 15m, 2h or 1d.

    Raises:
        ConfigurationError: it is none.
    """
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    number, unit = (text[:-1], text[-1]) if text[-1:] in units else (text, "s")
    try:
        seconds = float(number) * units[unit]
    except ValueError:
        seconds = -1
    if not 0 < seconds < 10**9:
        raise ConfigurationError(f"{text!r} is not a duration such as 90s, 15m or 2h.")
    return timedelta(seconds=seconds)


def pairs(values: list[str]) -> dict[str, str]:
    """`key=value` texts as a mapping.

    Raises:
        ConfigurationError: one has no `=`.
    """
    result: dict[str, str] = {}
    for value in values:
        key, sign, rest = value.partition("=")
        if not sign or not key:
            raise ConfigurationError(f"{value!r} is not key=value.")
        result[key] = rest
    return result
