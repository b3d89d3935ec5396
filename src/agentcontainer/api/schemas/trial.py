"""The JSON of a dispatch that was only tried."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field
from typing_extensions import TypeAliasType

from agentcontainer.api.http.errors import ApiErrorCode
from agentcontainer.api.http.query import from_boolean
from agentcontainer.api.schemas.dispatch import InputFiles, path_as_sent
from agentcontainer.api.wire import Incoming, Outgoing, Usd, usd
from agentcontainer.domain.execution.store import execution_to_json
from agentcontainer.domain.tasks import trial

Origin = TypeAliasType("Origin", Literal["platform", "version", "task"])


class DispatchQuery(Incoming):
    """Whether the task is dispatched, or only tried."""

    dry_run: Annotated[
        bool,
        Field(
            description="Create nothing, and answer 200 with what the task would run with. Takes no Idempotency-Key."
        ),
        from_boolean,
    ] = False


class EffectiveValue(Outgoing):
    """The value of a setting, and which layer decided it."""

    value: Any
    origin: Annotated[Origin, Field(serialization_alias="from")]


class EffectiveExecution(Outgoing):
    """What the task would run with."""

    provider: EffectiveValue
    model: EffectiveValue
    weak_model: EffectiveValue
    internet_access: EffectiveValue
    egress: EffectiveValue
    max_runtime_seconds: EffectiveValue
    soft_finish_after_seconds: EffectiveValue
    output_policy: EffectiveValue
    runtime_region: EffectiveValue
    budget: EffectiveValue
    priority: EffectiveValue


class DispatchProblem(Outgoing):
    """Why the dispatch would be refused."""

    code: ApiErrorCode
    path: Annotated[str | None, Field(description="The field of the request; null: it is about none.")]
    message: str


class DispatchTrial(Outgoing):
    """What a dispatch would do."""

    agent_version_id: str | None
    execution: Annotated[
        EffectiveExecution | None, Field(description="Null: it cannot be told. `problems` says why.")
    ]
    hold_usd: Usd
    balance_after_usd: Usd
    problems: list[DispatchProblem]

    @classmethod
    def of_trial(cls, tried: trial.Trial, body: InputFiles) -> Self:
        """The trial as it is sent. `body`: the request."""
        problems = [
            DispatchProblem.of(problem, path=problem.path and path_as_sent(body, problem.path))
            for problem in tried.problems
        ]
        return cls.of(
            tried,
            problems=problems,
            execution=_effective(tried),
            hold_usd=usd(tried.hold_micro_usd),
            balance_after_usd=usd(tried.balance_after_micro_usd),
        )


def _effective(tried: trial.Trial) -> EffectiveExecution | None:
    if tried.execution is None:
        return None
    stored = {**execution_to_json(tried.execution), "priority": tried.priority}
    return EffectiveExecution(
        **{
            name: EffectiveValue(
                value=stored.get(field.serialization_alias or name), origin=tried.origins[name]
            )
            for name, field in EffectiveExecution.model_fields.items()
        }
    )
