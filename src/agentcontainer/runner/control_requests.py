"""Parses and checks the requests on a control socket.

A wrong one is refused with a reason for the agent.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, TypeVar

import pydantic

from agentcontainer import field_faults
from agentcontainer.domain.tasks.output_policy import Declared
from agentcontainer.runner.workspace.outputs import Refused

MAX_STRUCTURE = 50_000  # commas and brackets: bounds the error objects that pydantic makes for wrong values
MAX_MESSAGE_CHARACTERS = 20_000
MAX_LOCATION_CHARACTERS = 200
MIN_HIBERNATION = timedelta(seconds=1)

Command = Literal["finish", "share", "hibernate"]
Request = TypeVar("Request", bound=pydantic.BaseModel)


class NamedPath(pydantic.BaseModel):
    """A declared file, and the name of the output that it is."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)
    name: str
    path: str


class FinishRequest(pydantic.BaseModel):
    """The body of POST /finish."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)
    completion: Literal["complete", "incomplete"]
    message: str
    files: Annotated[list[str], pydantic.FailFast()] = []
    outputs: Annotated[list[NamedPath], pydantic.FailFast()] = []
    cwd: str


class ShareRequest(pydantic.BaseModel):
    """The body of POST /share."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)
    files: Annotated[list[str], pydantic.FailFast()]
    cwd: str


class HibernateRequest(pydantic.BaseModel):
    """The body of POST /hibernate."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)
    message: str
    forSeconds: int | None = None  # noqa: N815 - as it is on the wire
    until: str | None = None


class WakeLinkRequest(pydantic.BaseModel):
    """The body of POST /wake-link."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True)
class Finish:
    """The agent ends its task as done or not done. `cwd`: the folder to which declared paths are relative."""

    completion: Literal["complete", "incomplete"]
    message: str
    declared: list[Declared]
    cwd: str


@dataclass(frozen=True)
class Share:
    """The agent gives files to its user. `cwd`: the folder to which declared paths are relative."""

    declared: list[Declared]
    cwd: str


@dataclass(frozen=True)
class Hibernate:
    """The agent lets its task hibernate. `until`: when the task wakes at the latest."""

    message: str
    until: datetime


def parse(kind: type[Request], body: bytes, command: Command) -> Request:
    """The request in a body. Raises: Refused."""
    if sum(body.count(mark) for mark in (b",", b"[", b"{")) > MAX_STRUCTURE:
        raise Refused("The request has too many values. Pack the files into an archive.")
    try:
        return kind.model_validate_json(body)
    except pydantic.ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        location = ".".join(str(part) for part in fault["loc"])[:MAX_LOCATION_CHARACTERS] or "request"
        raise Refused(f"{location}: {field_faults.sentence(fault)}. See {command} --help.") from None


def finish_of(body: bytes, max_files: int) -> Finish:
    """Parse the body of a `finish`. Raises: Refused."""
    request = parse(FinishRequest, body, "finish")
    message = message_of(
        request.message, 'say in a few sentences what was done, e.g. --message "Report written."'
    )
    declared = [
        *(Declared(path) for path in request.files),
        *(Declared(output.path, output.name) for output in request.outputs),
    ]
    _check_count(len(declared), max_files)
    return Finish(request.completion, message, declared, request.cwd)


def share_of(body: bytes, max_files: int) -> Share:
    """Parse the body of a `share`. Raises: Refused."""
    request = parse(ShareRequest, body, "share")
    if not request.files:
        raise Refused("files: name at least one file.")
    _check_count(len(request.files), max_files)
    return Share([Declared(path) for path in request.files], request.cwd)


def hibernate_of(body: bytes, max_hibernation: timedelta, now: datetime) -> Hibernate:
    """Parse the body of a `hibernate` that was received `now`, by the clock that wakes the task. Raises: Refused."""
    request = parse(HibernateRequest, body, "hibernate")
    message = message_of(request.message, 'say what you wait for, e.g. --message "Waiting for the review."')
    if (request.forSeconds is None) == (request.until is None):
        raise Refused("Set either --for or --until.")
    until = time_of(request.until) if request.until is not None else None
    seconds = (request.forSeconds or 0) if until is None else (until - now).total_seconds()
    if seconds < MIN_HIBERNATION.total_seconds():
        raise Refused("The deadline must be at least 1 second ahead.")
    if seconds > max_hibernation.total_seconds():
        raise Refused(f"The deadline can be at most {max_hibernation.days} days ahead.")
    return Hibernate(message, until or now + timedelta(seconds=seconds))


def message_of(text: str, hint: str) -> str:
    """A `--message` that can be stored; `hint` says what an empty one should contain. Raises: Refused."""
    message = text.replace("\0", "").strip()
    if not message:
        raise Refused(f"--message is empty: {hint}")
    if len(message) > MAX_MESSAGE_CHARACTERS:
        raise Refused(f"--message has {len(message)} characters; at most {MAX_MESSAGE_CHARACTERS}.")
    return message


def time_of(text: str) -> datetime:
    """The time in an `--until`. Raises: Refused."""
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is None:
            raise ValueError(text)
        return time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Refused("--until must be a time with its zone, such as 2026-04-14T15:00:00Z.") from None


def _check_count(files: int, max_files: int) -> None:
    if files > max_files:
        raise Refused(f"{files} files are declared; at most {max_files} may be. Pack them into an archive.")
