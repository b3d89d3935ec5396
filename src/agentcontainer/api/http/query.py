"""The field types of query models: a query has only strings, so numbers, booleans and times are parsed here."""

import re
from datetime import UTC, datetime

from pydantic import BeforeValidator


def _integer(text: object) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", str(text)):
        raise ValueError("must be a whole number of at most 18 digits, without a sign")
    return int(str(text))


def _boolean(text: object) -> bool:
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


def _time(text: object) -> datetime:
    try:
        moment = datetime.fromisoformat(str(text))
        if moment.tzinfo is None:
            raise ValueError(text)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        hint = "; write + as %2B" if " " in str(text) else ""
        raise ValueError(f"must be a time such as 2026-03-26T14:00:00.000Z{hint}") from None


from_digits = BeforeValidator(_integer)
from_boolean = BeforeValidator(_boolean)
from_iso_time = BeforeValidator(_time)
