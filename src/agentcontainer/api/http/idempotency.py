"""`Idempotency-Key`: the effect of a POST or PATCH and its response are committed in one transaction.

A repeat with the same key gets the stored response. docs/decisions/0020-idempotency.md gives the reasons.
"""

import asyncio
import hashlib
import re
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
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
from agentcontainer.api.http.request import StrictRequest, query_of
from agentcontainer.api.http.services import Services
from agentcontainer.db import Pool, Record
from agentcontainer.domain.accounts.principal import Principal
from agentcontainer.errors import Conflict, Gone, InProgress, ValidationError

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
DRY_RUN = "dryRun"
PATTERN = r"^[ -~]{1,255}$"
METHODS = frozenset({"POST", "PATCH"})
WAIT_SECONDS = 10  # how long a repeat waits for the response to the first request
POLL_SECONDS = 0.05

# A waiting repeat polls with `try`: waiting inside the database would hold a connection that others need.
# The stored response may be missing although the lock is held: a request may commit between the two. Then the first
# INSERT fails, and the search is repeated.
_LOCK_AND_FIND = """
SELECT pg_try_advisory_xact_lock(hashtextextended($3, 0)) AS is_locked, stored.fingerprint, stored.status,
    stored.response, stored.principal_id
FROM (SELECT) AS always LEFT JOIN idempotency_keys stored ON stored.account_id = $1 AND stored.key = $2
"""
_FIND = "SELECT fingerprint, status, response, principal_id FROM idempotency_keys WHERE account_id = $1 AND key = $2"
_STORE = """
INSERT INTO idempotency_keys (account_id, key, fingerprint, status, response, task_id, principal_id)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (account_id, key) DO NOTHING
"""
_STORE_FIRST = """
INSERT INTO idempotency_keys (account_id, key, fingerprint, status, response, task_id, principal_id)
VALUES ({}, {}, {}, {}, {}, {}, {})
"""

Answer = Callable[[Request], Coroutine[Any, Any, Response]]
IsGone = Callable[[Services, Pool, str, str], Awaitable[bool]]
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


def repeatable(endpoint: Endpoint) -> Endpoint:
    """Mark an endpoint that is idempotent by itself: run again, it does nothing more and answers the same.

    It runs outside the transaction of the key, so it may take long and do what cannot be rolled back.
    """
    vars(endpoint)["is_repeatable"] = True
    return endpoint


def replayed_unless(is_gone: IsGone) -> Callable[[Endpoint], Endpoint]:
    """Mark an endpoint whose response hands out a key or link. A repeat gets 410 once `is_gone(services, pool,
    account_id, response)` says that this does not work any more. Put it below the decorator that makes the route."""

    def mark(endpoint: Endpoint) -> Endpoint:
        vars(endpoint)["is_gone"] = is_gone
        return endpoint

    return mark


def is_idempotent(route: APIRoute) -> bool:
    """Whether the route takes an `Idempotency-Key`."""
    return is_authenticated(route) and not METHODS.isdisjoint(route.methods or ())


def is_trial(request: Request) -> bool:
    """Whether the request only tries what it asks for."""
    return query_of(request).get(DRY_RUN) == "true"


async def answer_once(
    route: APIRoute, request: StrictRequest, services: Services, answer: Answer
) -> Response:
    """The response of `answer`, or the stored one if the key was used before.

    Raises:
        Conflict: the key was used with another request.
        InProgress: the first request with the key has not been answered within `WAIT_SECONDS`.
        ValidationError: the key is malformed, or the request creates nothing.
    """
    if is_trial(request):  # its answer must not be stored, and no stored answer is one to it
        raise ValidationError.at(HEADER, f"cannot be sent with {DRY_RUN}, which creates nothing")
    principal: Principal = request.state.principal
    account_id, key = principal.account_id, _key(request)
    digest = hashlib.sha256(await request.body()).hexdigest()
    fingerprinted = ("idempotency", account_id, request.method, request.url.path, digest)
    is_gone = vars(route.endpoint).get("is_gone")
    once = _Once(services, account_id, key, fingerprinted, principal.id, is_gone)
    if "is_repeatable" in vars(route.endpoint):
        return await once.answer_repeatable(request, answer)
    return await once.answer(request, answer)


@dataclass(frozen=True)
class _Once:
    """A request with a key."""

    services: Services
    account_id: str
    key: str
    fingerprinted: Sequence[str]
    """What distinguishes the request from others. Its signature is stored, not the parts."""
    principal_id: str
    is_gone: IsGone | None

    async def answer(self, request: Request, answer: Answer) -> Response:
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            try:
                async with db.larger_transaction(self.services.pool) as transaction:
                    row = await transaction.connection.fetchrow(
                        _LOCK_AND_FIND, self.account_id, self.key, self._context
                    )
                    if row and row["fingerprint"] is not None:
                        return await self._replayed(row, transaction.pool)
                    if row and row["is_locked"]:
                        return await self._first(transaction, request, answer)
            except asyncpg.UniqueViolationError as error:
                if error.table_name != "idempotency_keys":
                    raise
            await asyncio.sleep(POLL_SECONDS)
        raise InProgress(
            "The first request with this Idempotency-Key is still being processed. Repeat it later."
        )

    async def answer_repeatable(self, request: Request, answer: Answer) -> Response:
        """Answer without holding a lock, and store the response after the effect."""
        row = await self.services.pool.fetchrow(_FIND, self.account_id, self.key)
        if row is not None:
            return await self._replayed(row, self.services.pool)
        response = await answer(request)
        if (values := self._stored(request, response)) is not None:
            await self.services.pool.execute(_STORE, *values)
        return response

    @property
    def _context(self) -> str:
        return f"idempotency:{self.account_id}:{self.key}"

    async def _replayed(self, row: Record, pool: Pool) -> Response:
        """The stored response.

        Raises:
            Conflict: it belongs to another request, or to another key or session.
            Gone: what it hands out does not work any more.
        """
        if row["principal_id"] not in (None, self.principal_id):
            raise Conflict(
                "This Idempotency-Key was used with another API key. Use a new one for each new request."
            )
        if not self.services.vault.is_signed(row["fingerprint"], *self.fingerprinted):
            raise Conflict(
                "This Idempotency-Key was used with another request. Use a new key for each new request."
            )
        content = self.services.vault.open(row["response"], self._context)
        if self.is_gone is not None and await self.is_gone(self.services, pool, self.account_id, content):
            raise Gone("What the first request made was revoked, used or has expired. Make a new one.")
        media_type = "application/json" if content else None
        return Response(content, row["status"], {REPLAYED: "true"}, media_type)

    async def _first(self, transaction: db.LargerTransaction, request: Request, answer: Answer) -> Response:
        """Store the response in the transaction of its effect. An error rolls both back, so the client may retry."""
        request.state.services = replace(self.services, pool=transaction.pool)
        response = await answer(request)
        if (values := self._stored(request, response)) is not None:
            account_id, key, fingerprint, status, sealed, task_id, principal_id = values
            texts = [db.literal(value) for value in (account_id, key, fingerprint)]
            transaction.last_statement = _STORE_FIRST.format(
                *texts, int(status), db.literal(sealed), db.literal(task_id), db.literal(principal_id)
            )
        return response

    def _stored(
        self, request: Request, response: Response
    ) -> tuple[str, str, str, int, bytes, str | None, str] | None:
        """The columns of a response's row; None: an error is not stored."""
        if not 200 <= response.status_code < 300:
            return None
        body = bytes(response.body)
        sealed = self.services.vault.seal(body.decode(), self._context)
        task_id = request.path_params.get("taskId") or _task_id(body)
        fingerprint = self.services.vault.sign(*self.fingerprinted)
        return (
            self.account_id, self.key, fingerprint, response.status_code, sealed, task_id, self.principal_id
        )  # fmt: skip


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
