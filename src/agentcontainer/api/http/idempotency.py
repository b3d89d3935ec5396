"""`Idempotency-Key`: the effect of a POST or PATCH and its response are committed in one transaction.

A repeat with the same key gets the stored response. docs/decisions/0020-idempotency.md gives the reasons.
"""

import asyncio
import hashlib
import re
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import asyncpg
from fastapi import Request
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic import ValidationError as PydanticError
from starlette.responses import Response

from agentcontainer import db
from agentcontainer.api.http.auth import is_authenticated
from agentcontainer.api.http.request import StrictRequest
from agentcontainer.api.http.services import Services
from agentcontainer.db import Connection, Pool
from agentcontainer.errors import Conflict, InProgress, ValidationError
from agentcontainer.periodic import repeat

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
PATTERN = r"^[ -~]{1,255}$"
METHODS = frozenset({"POST", "PATCH"})
WAIT_SECONDS = 10  # how long a repeat waits for the response to the first request
POLL_SECONDS = 0.05
CLEAN_UP_SECONDS = 3600

# A waiting repeat polls with `try`: waiting inside the database would hold a connection that others need.
_LOCK = "SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))"
_FIND = "SELECT fingerprint, status, response FROM idempotency_keys WHERE account_id = $1 AND key = $2"
_STORE = """
INSERT INTO idempotency_keys (account_id, key, fingerprint, status, response, task_id)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (account_id, key) DO NOTHING
"""
_DELETE_OLD = "DELETE FROM idempotency_keys WHERE created_at < now() - interval '24 hours'"

Answer = Callable[[Request], Coroutine[Any, Any, Response]]
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


def repeatable(endpoint: Endpoint) -> Endpoint:
    """Mark an endpoint that is idempotent by itself: run again, it does nothing more and answers the same.

    It runs outside the transaction of the key, so it may take long and do what cannot be rolled back.
    """
    vars(endpoint)["is_repeatable"] = True
    return endpoint


def is_idempotent(route: APIRoute) -> bool:
    """Whether the route takes an `Idempotency-Key`."""
    return is_authenticated(route) and not METHODS.isdisjoint(route.methods or ())


async def answer_once(
    route: APIRoute, request: StrictRequest, services: Services, answer: Answer
) -> Response:
    """The response of `answer`, or the stored one if the key was used before.

    Raises:
        Conflict: the key was used with another request.
        InProgress: the first request with the key has not been answered within `WAIT_SECONDS`.
        ValidationError: the key is malformed.
    """
    account_id, key = request.state.account_id, _key(request)
    digest = hashlib.sha256(await request.body()).hexdigest()
    fingerprint = services.vault.sign("idempotency", account_id, request.method, request.url.path, digest)
    once = _Once(services, account_id, key, fingerprint)
    if "is_repeatable" in vars(route.endpoint):
        return await once.answer_repeatable(request, answer)
    return await once.answer(request, answer)


@dataclass(frozen=True)
class _Once:
    """A request with a key."""

    services: Services
    account_id: str
    key: str
    fingerprint: str

    async def answer(self, request: Request, answer: Answer) -> Response:
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            async with db.transaction(self.services.pool) as connection:
                if await connection.fetchval(_LOCK, self._context):
                    return await self._replayed(connection) or await self._first(connection, request, answer)
            await asyncio.sleep(POLL_SECONDS)
        raise InProgress(
            "The first request with this Idempotency-Key is still being processed. Repeat it later."
        )

    async def answer_repeatable(self, request: Request, answer: Answer) -> Response:
        """Answer without holding a lock, and store the response after the effect."""
        if replayed := await self._replayed(self.services.pool):
            return replayed
        response = await answer(request)
        await self._store(self.services.pool, request, response)
        return response

    @property
    def _context(self) -> str:
        return f"idempotency:{self.account_id}:{self.key}"

    async def _replayed(self, connection: Connection | Pool) -> Response | None:
        """The stored response, if there is one.

        Raises:
            Conflict: it belongs to another request.
        """
        row = await connection.fetchrow(_FIND, self.account_id, self.key)
        if row is None:
            return None
        if row["fingerprint"] != self.fingerprint:
            raise Conflict(
                "This Idempotency-Key was used with another request. Use a new key for each new request."
            )
        content = self.services.vault.open(row["response"], self._context)
        media_type = "application/json" if content else None
        return Response(content, row["status"], {REPLAYED: "true"}, media_type)

    async def _first(self, connection: Connection, request: Request, answer: Answer) -> Response:
        """Store the response in the transaction of its effect. An error rolls both back, so the client may retry."""
        request.state.services = replace(self.services, pool=db.enlist(connection))
        response = await answer(request)
        await self._store(connection, request, response)
        return response

    async def _store(self, connection: Connection | Pool, request: Request, response: Response) -> None:
        if 200 <= response.status_code < 300:
            body = bytes(response.body)
            sealed = self.services.vault.seal(body.decode(), self._context)
            task_id = request.path_params.get("taskId") or _task_id(body)
            values = (self.account_id, self.key, self.fingerprint, response.status_code, sealed, task_id)
            await connection.execute(_STORE, *values)


class _Described(BaseModel):
    """What a response describes: an object with an id, or a task beside a message."""

    id: str = ""
    task: "_Described | None" = None


def _task_id(body: bytes) -> str | None:
    """The id of the task that a response describes, with which the response is deleted."""
    try:
        described = _Described.model_validate_json(body)
    except PydanticError:
        return None
    task_id = described.task.id if described.task else described.id
    return task_id if task_id.startswith("tsk_") else None


def _key(request: Request) -> str:
    values = request.headers.getlist(HEADER)
    if len(values) != 1 or not re.fullmatch(PATTERN, values[0]):
        raise ValidationError.at(HEADER, "must be given once, as 1 to 255 printable ASCII characters")
    return values[0]


async def delete_old(pool: Pool) -> int:
    """Delete responses older than a day; returns how many."""
    command_tag: str = await pool.execute(_DELETE_OLD)
    return int(command_tag.split()[-1])


async def delete_old_forever(pool: Pool) -> None:
    """Run `delete_old` every hour until cancelled."""
    expected = (asyncpg.PostgresError, *db.UNREACHABLE)
    await repeat("removing old idempotency keys", lambda: delete_old(pool), CLEAN_UP_SECONDS, expected)
