"""`Idempotency-Key`: what a POST or PATCH does and the response it gave are committed together, or not at all.

docs/decisions/0020-idempotency.md says why this way.
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
from starlette.responses import Response

from agentcontainer import db
from agentcontainer.api.http.auth import authenticate, is_authenticated
from agentcontainer.api.http.body import JsonBody
from agentcontainer.api.http.services import Services, provided
from agentcontainer.db import Connection, Pool
from agentcontainer.errors import Conflict, InProgress, ValidationError
from agentcontainer.periodic import repeat

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
PATTERN = r"^[ -~]{1,255}$"
METHODS = frozenset({"POST", "PATCH"})
WAIT_SECONDS = 10  # that long a repeat waits for the first request's answer
LOOK_AGAIN_SECONDS = 0.05
SWEEP_SECONDS = 3600

# Not waited for in the database: a waiting repeat must not keep a connection that others need.
_LOCK = "SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))"
_FIND = "SELECT fingerprint, status, response FROM idempotency_keys WHERE account_id = $1 AND key = $2"
_STORE = """
INSERT INTO idempotency_keys (account_id, key, fingerprint, status, response) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (account_id, key) DO NOTHING
"""
_SWEEP = "DELETE FROM idempotency_keys WHERE created_at < now() - interval '24 hours'"

Answer = Callable[[Request], Coroutine[Any, Any, Response]]
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


def repeatable(endpoint: Endpoint) -> Endpoint:
    """A route that does nothing more and answers the same when it runs again, as often as it may.

    It runs outside of our transaction, and may take long or do what cannot be rolled back.
    """
    vars(endpoint)["is_repeatable"] = True
    return endpoint


class IdempotentRoute(APIRoute):
    """A route that honours `Idempotency-Key` where it stands behind an API key and has an effect."""

    def get_route_handler(self) -> Answer:
        answer = super().get_route_handler()
        if not is_idempotent(self):
            return answer
        calls: list[Any] = [part.call for part in self.dependant.dependencies]
        bodies: list[JsonBody[Any]] = [call for call in calls if isinstance(call, JsonBody)]

        async def answer_once(request: Request) -> Response:
            if HEADER not in request.headers:
                return await answer(request)
            services = await provided(request)
            account_id = await authenticate(request, services)
            key = _key(request)
            content = await bodies[0].read(request) if bodies else b""
            digest = hashlib.sha256(content).hexdigest()
            fingerprint = services.vault.sign(
                "idempotency", account_id, request.method, request.url.path, digest
            )
            once = _Once(services, account_id, key, fingerprint)
            if "is_repeatable" in vars(self.endpoint):
                return await once.answer_again(request, answer)
            return await once.answer(request, answer)

        return answer_once


def is_idempotent(route: APIRoute) -> bool:
    """Whether the route takes an `Idempotency-Key`."""
    return is_authenticated(route) and not METHODS.isdisjoint(route.methods or ())


@dataclass(frozen=True)
class _Once:
    """One request with a key."""

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
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
        raise InProgress("The first request with this Idempotency-Key is still at work. Repeat it later.")

    async def answer_again(self, request: Request, answer: Answer) -> Response:
        """For what is repeatable: no lock, and the response stored after its effect."""
        if replayed := await self._replayed(self.services.pool):
            return replayed
        response = await answer(request)
        await self._store(self.services.pool, response)
        return response

    @property
    def _context(self) -> str:
        return f"idempotency:{self.account_id}:{self.key}"

    async def _replayed(self, connection: Connection | Pool) -> Response | None:
        """The stored response, if there is one.

        Raises:
            Conflict: it answered another request.
        """
        row = await connection.fetchrow(_FIND, self.account_id, self.key)
        if row is None:
            return None
        if row["fingerprint"] != self.fingerprint:
            raise Conflict(
                "This Idempotency-Key was used with another request. Take a new key for a new request."
            )
        content = self.services.vault.open(row["response"], self._context)
        media_type = "application/json" if content else None
        return Response(content, row["status"], {REPLAYED: "true"}, media_type)

    async def _first(self, connection: Connection, request: Request, answer: Answer) -> Response:
        """The response, stored in the transaction of its effect. An error undoes both, and may be tried again."""
        request.state.services = replace(self.services, pool=db.enlist(connection))
        response = await answer(request)
        await self._store(connection, response)
        return response

    async def _store(self, connection: Connection | Pool, response: Response) -> None:
        if 200 <= response.status_code < 300:
            sealed = self.services.vault.seal(bytes(response.body).decode(), self._context)
            values = (self.account_id, self.key, self.fingerprint, response.status_code, sealed)
            await connection.execute(_STORE, *values)


def _key(request: Request) -> str:
    given = request.headers.getlist(HEADER)
    if len(given) != 1 or not re.fullmatch(PATTERN, given[0]):
        raise ValidationError.at(HEADER, "must be given once, as 1 to 255 printable ASCII characters")
    return given[0]


async def sweep(pool: Pool) -> int:
    """Forget responses older than a day; returns how many."""
    done: str = await pool.execute(_SWEEP)
    return int(done.split()[-1])


async def sweep_forever(pool: Pool) -> None:
    """Sweep every hour, whether the database answers or not, until cancelled."""
    expected = (asyncpg.PostgresError, *db.UNREACHABLE)
    await repeat("removing old idempotency keys", lambda: sweep(pool), SWEEP_SECONDS, expected)
