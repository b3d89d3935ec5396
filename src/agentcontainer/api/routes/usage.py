"""The route that sums what the account used, as JSON or CSV."""

import csv
import io
import re
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal

from fastapi import Query
from fastapi.responses import StreamingResponse
from pydantic import BeforeValidator, Field
from starlette.responses import Response

from agentcontainer.api.http import paging
from agentcontainer.api.http.access import Agents, Level, access
from agentcontainer.api.http.auth import Caller
from agentcontainer.api.http.paging import PageInfo, PageQuery
from agentcontainer.api.http.query import from_digits
from agentcontainer.api.http.routing import authenticated
from agentcontainer.api.http.services import Provided, Services
from agentcontainer.api.wire import Outgoing, Usd, usd
from agentcontainer.domain.usage import model, service, store
from agentcontainer.domain.usage.model import MAX_ROWS, UsageFilter, UsageRow

router = authenticated("Account")


def _day(text: object) -> date:
    try:
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", str(text), re.ASCII):
            raise ValueError(text)
        day = date.fromisoformat(str(text))
        if day.year < FIRST_YEAR:
            raise ValueError(text)
        return day
    except ValueError:
        raise ValueError(f"must be a day such as 2026-03-26, from the year {FIRST_YEAR} on") from None


FIRST_YEAR = 2000
Day = Annotated[date, BeforeValidator(_day)]
_DIMENSION = f"({'|'.join(model.DIMENSIONS)}|metadata\\..+)"


class UsageQuery(PageQuery):
    """Which use to sum, and by what."""

    limit: Annotated[int, Field(ge=1, le=MAX_ROWS, description="Rows of a page."), from_digits] = MAX_ROWS
    from_: Annotated[
        Day | None, Field(alias="from", description="The first day, in UTC. Default: 29 days before `to`.")
    ] = None
    to: Annotated[Day | None, Field(description="The last day, in UTC. Default: today.")] = None
    by: Annotated[
        str,
        Field(
            max_length=300,
            json_schema_extra={"pattern": f"^{_DIMENSION}(,{_DIMENSION})?$"},
            description="One or two of `day`, `agent`, `agentVersion`, `model`, `key` and `metadata.<key>`, with a "
            "comma between them. The keys of metadata are those in the account's `usageMetadataKeys`.",
        ),
    ] = "day"
    order: Annotated[paging.Order, Field(description="By the values of `by`.")] = "asc"
    format: Annotated[
        Literal["json", "csv"], Field(description="`csv`: all rows as one file, without pages.")
    ] = "json"


class TasksUsed(Outgoing):
    """Numbers of tasks."""

    finished: int
    failed: int
    cancelled: int
    expired: int
    live: Annotated[int, Field(description="Dispatched in the period, and not ended yet.")]


class TokensUsed(Outgoing):
    """Tokens of model requests."""

    input: Annotated[int, Field(description="Including those from the provider's cache.")]
    cached_input: int
    output: int


class UsageEntry(Outgoing):
    """What was used together. Fields that `by` does not name are null."""

    day: Annotated[str | None, Field(description="In UTC, as `2026-03-26`.")] = None
    agent_id: str | None = None
    agent_version_id: str | None = None
    provider: Annotated[str | None, Field(description="With `by=model`.")] = None
    model: str | None = None
    key_id: Annotated[str | None, Field(description="Null also for tasks whose API key is not known.")] = None
    metadata: Annotated[
        dict[str, str] | None, Field(description="The named keys; a task without one is summed without it.")
    ] = None
    tasks: TasksUsed
    container_minutes: float
    cost_usd: Usd
    model_cost_usd: Usd
    tokens: TokensUsed


class UsagePage(Outgoing):
    """A page of sums."""

    data: list[UsageEntry]
    page_info: PageInfo


@router.get(
    "/usage",
    response_model=UsagePage,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
@access(Level.READS, Agents.FILTERED)
async def get_usage(
    caller: Caller, services: Provided, query: Annotated[UsageQuery, Query()]
) -> UsagePage | Response:
    """Sum what the account's tasks used, by day, agent, version, model, API key or metadata.

    A task's use counts on the day it was used, and stays when the task is deleted.
    """
    last = query.to or datetime.now(UTC).date()
    usage = UsageFilter(
        caller.account_id,
        query.from_ or last - timedelta(days=29),
        last,
        query.by.split(","),
        caller.agent_ids,
    )
    await service.check(services.pool, usage)
    is_descending = query.order == "desc"
    if query.format == "csv":
        headers = {
            "content-disposition": f'attachment; filename="usage-{usage.first_day}-{usage.last_day}.csv"'
        }
        lines = _csv(services, usage, is_descending=is_descending)
        return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=headers)
    after = paging.position("usage", query)
    page = await store.list_page(
        services.pool, usage, after=after, limit=query.limit, is_descending=is_descending
    )
    data = [_entry(usage, row) for row in page.rows]
    return UsagePage(data=data, page_info=paging.page_info("usage", page, lambda row: row.digest))


def _entry(usage: UsageFilter, row: UsageRow) -> UsageEntry:
    values = dict(zip(usage.by, row.values, strict=True))
    provider, _, used_model = values.get("model", "").partition("/")
    prefix = model.METADATA_PREFIX
    metadata = {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}
    return UsageEntry(
        day=values.get("day") or None,
        agent_id=values.get("agent") or None,
        agent_version_id=values.get("agentVersion") or None,
        provider=provider or None,
        model=used_model or None,
        key_id=values.get("key") or None,
        metadata={key: value for key, value in metadata.items() if value} if metadata else None,
        tasks=TasksUsed(
            finished=row.finished,
            failed=row.failed,
            cancelled=row.cancelled,
            expired=row.expired,
            live=row.live,
        ),
        container_minutes=round(row.container_micro_seconds / 60_000_000, 4),
        cost_usd=usd(row.cost_micro_usd),
        model_cost_usd=usd(row.model_cost_micro_usd),
        tokens=TokensUsed(
            input=row.input_tokens, cached_input=row.cached_input_tokens, output=row.output_tokens
        ),
    )


_COLUMNS = ("finished", "failed", "cancelled", "expired", "live", "containerMinutes", "costUsd", "modelCostUsd",
            "inputTokens", "cachedInputTokens", "outputTokens")  # fmt: skip


async def _csv(services: Services, usage: UsageFilter, *, is_descending: bool) -> AsyncIterator[str]:
    yield _line([*usage.by, *_COLUMNS])
    after, has_more = None, True
    while has_more:
        page = await store.list_page(
            services.pool, usage, after=after, limit=MAX_ROWS, is_descending=is_descending
        )
        after, has_more = (page.rows[-1].digest if page.rows else None), page.has_more
        for row in page.rows:
            entry = _entry(usage, row)
            yield _line([
                *(_harmless(value) for value in row.values), *entry.tasks.model_dump().values(),
                entry.container_minutes, entry.cost_usd, entry.model_cost_usd, *entry.tokens.model_dump().values(),
            ])  # fmt: skip


def _harmless(value: str) -> str:
    """The value, so that no spreadsheet takes it for a formula."""
    return f"'{value}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _line(values: Sequence[object]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(values)
    return line.getvalue()
