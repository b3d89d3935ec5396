"""The requests on a control socket, read strictly: any bytes are a request of the kind, or refused with a reason."""

from datetime import UTC, datetime
from typing import Annotated, Literal, TypeVar

import pydantic

from agentcontainer.runner.workspace.outputs import Refused

MAX_STRUCTURE = 50_000  # commas and brackets: of each value that is wrong an error would be made
MAX_MESSAGE_CHARACTERS = 20_000
MAX_PLACE_CHARACTERS = 200

Command = Literal["finish", "share", "hibernate"]
Request = TypeVar("Request", bound=pydantic.BaseModel)


class NamedPath(pydantic.BaseModel):
    """A declared file with the name of an output."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)
    name: str
    path: str


class FinishRequest(pydantic.BaseModel):
    """`finish`."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)
    completion: Literal["complete", "incomplete"]
    message: str
    files: Annotated[list[str], pydantic.FailFast()] = []
    outputs: Annotated[list[NamedPath], pydantic.FailFast()] = []
    cwd: str


class ShareRequest(pydantic.BaseModel):
    """`share`."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)
    files: Annotated[list[str], pydantic.FailFast()]
    cwd: str


class HibernateRequest(pydantic.BaseModel):
    """`hibernate`."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)
    message: str
    forSeconds: int | None = None  # noqa: N815 - as it is on the wire
    until: str | None = None


class WakeLinkRequest(pydantic.BaseModel):
    """`hibernate --wake-link`."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)


def parse(kind: type[Request], body: bytes, command: Command) -> Request:
    """The request in a body. Raises: Refused."""
    if sum(body.count(mark) for mark in (b",", b"[", b"{")) > MAX_STRUCTURE:
        raise Refused("The request holds too many values: pack the files into an archive.")
    try:
        return kind.model_validate_json(body)
    except pydantic.ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in fault["loc"])[:MAX_PLACE_CHARACTERS] or "request"
        raise Refused(f"{place}: {fault['msg']}. See {command} --help.") from None


def message_of(text: str, hint: str) -> str:
    """A `--message`, fit to be stored; `hint` says what is wanted where it is empty. Raises: Refused."""
    message = text.replace("\0", "").strip()
    if not message:
        raise Refused(f"--message is empty: {hint}")
    if len(message) > MAX_MESSAGE_CHARACTERS:
        raise Refused(f"--message has {len(message)} characters; at most {MAX_MESSAGE_CHARACTERS}.")
    return message


def moment_of(text: str) -> datetime:
    """An `--until`. Raises: Refused."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError(text)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Refused("--until must be a time with its zone, such as 2026-04-14T15:00:00Z.") from None
