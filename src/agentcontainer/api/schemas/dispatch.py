"""The JSON that a client sends to create a task or a conversation, and the overrides of tasks, messages and wakes."""

from collections.abc import Generator
from contextlib import contextmanager
from decimal import Decimal
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, ConfigDict, Field, field_validator, model_validator
from pydantic_core.core_schema import ValidationInfo
from typing_extensions import TypeAliasType

from agentcontainer.api.event_data import OnReached
from agentcontainer.api.schemas.execution import AgentRuntime, ExecutionInput, json_size, policy_of
from agentcontainer.api.schemas.webhooks import WebhookUrl
from agentcontainer.api.webhook_request import webhook_url_fault
from agentcontainer.api.wire import (
    VISIBLE_PATTERN,
    Id,
    Incoming,
    Line,
    ProviderApiKey,
    from_whole_number,
)
from agentcontainer.domain.accounts.principal import Principal
from agentcontainer.domain.execution import model as execution
from agentcontainer.domain.tasks.model import Dispatch
from agentcontainer.domain.tasks.repositories import MAX_REF_CHARACTERS, MAX_URL_CHARACTERS, Repository
from agentcontainer.domain.unset import UNSET, Unset
from agentcontainer.egress import MAX_NAME_CHARACTERS, MAX_RULES, RULE_PATTERN, Rule
from agentcontainer.errors import ValidationError
from agentcontainer.filenames import MAX_FILENAME_BYTES
from agentcontainer.settings import Settings

T = TypeVar("T")
MAX_BODY_BYTES = 4 * 1024 * 1024  # 512 KiB of text can take six times that in JSON, as \u escapes
MAX_TEXT_BYTES = 512 * 1024
MAX_METADATA_BYTES = 16 * 1024
MAX_INPUT_FILES = 1000
MAX_REPOSITORIES = 10
MAX_SKILLS = 100
MAX_BUDGET_USD = 10_000
MAX_BUDGET_TOKENS = 10**12
MAX_PRIORITY = 10

TitleSource = TypeAliasType("TitleSource", Literal["instructions", "model"])


def _check_text(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    if len(value.encode()) > MAX_TEXT_BYTES:
        raise ValueError(f"must have at most {MAX_TEXT_BYTES} bytes; send more as an input file")
    return value


def _check_metadata(value: T) -> T:
    if json_size(value) > MAX_METADATA_BYTES:
        raise ValueError(f"must have at most {MAX_METADATA_BYTES} bytes as JSON")
    return value


# Instructions and messages. The pattern says "not blank" as `str.strip` understands it.
Text = Annotated[
    str,
    Field(min_length=1, json_schema_extra={"pattern": r"[^\s\u001c-\u001f\u0085]"}),
    AfterValidator(_check_text),
]
# The keys and values are the client's own.
RepositoryToken = Annotated[
    str,
    Field(
        min_length=1, max_length=4096, pattern=VISIBLE_PATTERN,
        json_schema_extra={"writeOnly": True, "format": "password"},
        description="Never returned, not part of the clone. Sent as a password; `user:token` sets the user name too.",
    ),
]  # fmt: skip
Metadata = Annotated[dict[str, Any], AfterValidator(_check_metadata)]


def _check_usd(value: float) -> float:
    exponent = Decimal(repr(value)).as_tuple().exponent
    if isinstance(exponent, int) and exponent < -6:
        raise ValueError("must have at most 6 decimals")
    return value


class Budget(Incoming):
    """The most that the task's model requests may use. Set one limit or both."""

    model_config = ConfigDict(
        json_schema_extra={  # what `_check_one_is_set` checks
            "anyOf": [
                {"required": [name], "properties": {name: {"type": "number"}}}
                for name in ("maxCostUsd", "maxTokens")
            ]
        }
    )

    max_cost_usd: Annotated[
        Annotated[float, Field(gt=0, le=MAX_BUDGET_USD), AfterValidator(_check_usd)] | None,
        Field(description="US dollars, by the models' token prices. Container time is not included."),
    ] = None
    max_tokens: Annotated[
        Annotated[int, Field(ge=1, le=MAX_BUDGET_TOKENS), from_whole_number] | None,
        Field(description="Input and output tokens together."),
    ] = None
    on_reached: Annotated[
        OnReached | None,
        Field(
            description="What happens when the budget is used up: the task fails (`fail`, the default), or waits "
            "until the budget is raised (`pause`)."
        ),
    ] = None

    @model_validator(mode="after")
    def _check_one_is_set(self) -> Self:
        if self.max_cost_usd is None and self.max_tokens is None:
            raise ValueError("must hold maxCostUsd or maxTokens")
        return self


def _check_rule(value: str) -> str:
    Rule.of(value)
    return value


EgressRule = Annotated[
    str,
    Field(
        max_length=MAX_NAME_CHARACTERS + len("*.:65535"), json_schema_extra={"pattern": RULE_PATTERN},
        description="`host`, `host:port`, `*.domain` (all its subdomains) or an IPv4 address. No port: every port.",
    ),
    AfterValidator(_check_rule),
]  # fmt: skip


class Egress(Incoming):
    """The only hosts that the task may connect to, by TCP."""

    allow: Annotated[list[EgressRule], Field(min_length=1, max_length=MAX_RULES)]


class Overrides(ExecutionInput):
    """Settings of this task that replace its agent's defaults."""

    provider_api_key: Annotated[ProviderApiKey | None, Field(repr=False)] = None
    runtime: AgentRuntime | None = None
    budget: Budget | None = None
    egress: Annotated[
        Egress | None,
        Field(description="Restricts internet access to these hosts. Needs `internetAccess: true`."),
    ] = None
    priority: Annotated[
        Annotated[int, Field(ge=-MAX_PRIORITY, le=MAX_PRIORITY), from_whole_number] | None,
        Field(description="Which of the account's own pending tasks run first: the higher ones. Default: 0."),
    ] = None
    callback_url: Annotated[
        WebhookUrl | None,
        Field(description="Gets the events of this task, as a webhook. For new tasks only."),
    ] = None


class InputFile(Incoming):
    """A file to copy into `task_files/`."""

    file_id: Id
    snapshot: Literal["include"] | None = None


class InputRepository(Incoming):
    """A git repository to clone, one commit deep, into a folder of `task_files/`."""

    url: Annotated[
        str,
        Field(
            min_length=1, max_length=MAX_URL_CHARACTERS, description="`https://…` or `http://…`, without credentials.",
            json_schema_extra={"pattern": "^https?://[!-~]+$"},
        ),
    ]  # fmt: skip
    ref: Annotated[
        str | None,
        Field(
            max_length=MAX_REF_CHARACTERS,
            description="A branch, a tag, `refs/…` or a full commit id. Default, and `HEAD`: the default branch.",
        ),
    ] = None
    path: Annotated[
        str | None,
        Field(
            max_length=MAX_FILENAME_BYTES, description="The folder's name. Default: the last part of the URL."
        ),
    ] = None
    token: Annotated[RepositoryToken | None, Field(repr=False)] = None


class InputFiles(Incoming):
    """Input files, in one of two forms."""

    input_file_ids: Annotated[list[Id], Field(max_length=MAX_INPUT_FILES)] | None = None
    input_files: Annotated[list[InputFile], Field(max_length=MAX_INPUT_FILES)] | None = None

    @field_validator("input_files")
    @classmethod
    def _check_one_form(cls, files: list[InputFile] | None, info: ValidationInfo) -> list[InputFile] | None:
        if files is not None and info.data.get("input_file_ids") is not None:
            raise ValueError("cannot be given together with inputFileIds")
        return files

    def file_ids(self) -> list[str]:
        """The ids of the input files."""
        return self.input_file_ids or [file.file_id for file in self.input_files or ()]


class NewTask(InputFiles):
    """The fields that a new task and a new conversation share."""

    version_id: Id | None = None
    input_repositories: Annotated[list[InputRepository], Field(max_length=MAX_REPOSITORIES)] | None = None
    skills: (
        Annotated[
            list[Id],
            Field(
                max_length=MAX_SKILLS,
                description="Ids of files: zip, tar or tar.gz archives of Pi skills, added to the agent's.",
            ),
        ]
        | None
    ) = None
    title: Line | None = None
    title_source: Annotated[
        TitleSource | None,
        Field(description="Where the title comes from if none is given. `model`: the weak model writes it."),
    ] = None
    metadata: Metadata | None = None
    overrides: Overrides | None = None

    @field_validator("title_source")
    @classmethod
    def _check_one_title(cls, source: str | None, info: ValidationInfo) -> str | None:
        if source == "model" and info.data.get("title") is not None:
            raise ValueError("cannot be model when a title is given")
        return source


class _Instructions(Incoming):
    instructions: Text


class DispatchRequest(NewTask, _Instructions):  # in this order the instructions are the first field
    """A new task. Name its input files in `inputFileIds` or in `inputFiles`, not in both."""

    max_body_bytes = MAX_BODY_BYTES


def later_overrides_of(body: Overrides) -> execution.Overrides:
    """The overrides of a message or wake, as the domain holds them.

    Raises:
        ValidationError: one is for new tasks only.
    """
    if body.callback_url is not None:
        raise ValidationError.at("overrides.callbackUrl", "is for new tasks only")
    return overrides_of(body)


def check_callback(settings: Settings, overrides: Overrides | None, path: str = "overrides") -> None:
    """Check that the platform can send events to the callback URL of a new task.

    Raises:
        ValidationError: it cannot. `path`: where the overrides are in the request.
    """
    if overrides is None or overrides.callback_url is None:
        return
    if fault := webhook_url_fault(settings, overrides.callback_url):
        raise ValidationError.at(f"{path}.callbackUrl", fault)


def overrides_of(body: Overrides) -> execution.Overrides:
    """The overrides as the domain holds them. Null means not given."""
    budget = body.budget
    return execution.Overrides(
        provider=_or_unset(body.provider),
        model=_or_unset(body.model),
        weak_model=_or_unset(body.weak_model),
        internet_access=_or_unset(body.internet_access),
        max_runtime_seconds=_or_unset(body.max_runtime_seconds),
        soft_finish_after_seconds=_or_unset(body.soft_finish_after_seconds),
        output_policy=UNSET if body.output_policy is None else policy_of(body.output_policy),
        runtime_region=_or_unset(body.runtime_region),
        runtime=_or_unset(body.runtime),
        budget=UNSET if budget is None else budget_of(budget),
        egress=UNSET if body.egress is None else tuple(body.egress.allow),
        priority=_or_unset(body.priority),
        callback_url=_or_unset(body.callback_url),
    )


def budget_of(budget: Budget) -> execution.Budget:
    """The budget as the domain holds it."""
    return execution.Budget(_micro_usd(budget.max_cost_usd), budget.max_tokens, budget.on_reached or "fail")


def _or_unset(value: T | None) -> T | Unset:
    return UNSET if value is None else value


def _micro_usd(usd: float | None) -> int | None:
    return None if usd is None else int(Decimal(repr(usd)) * 1_000_000)


def dispatch_of(
    body: NewTask, instructions: str, caller: Principal, traceparent: str | None = None
) -> Dispatch:
    """The request as the domain takes it. `caller`: who sends it. `traceparent`: that header."""
    overrides = body.overrides or Overrides()
    return Dispatch(
        instructions=instructions,
        version_id=body.version_id,
        input_file_ids=body.file_ids(),
        input_repositories=[
            Repository(repository.url, repository.ref, repository.path, repository.token)
            for repository in body.input_repositories or ()
        ],
        skills=body.skills or [],
        title=body.title,
        title_source=body.title_source or "instructions",
        metadata=body.metadata or {},
        overrides=overrides_of(overrides),
        provider_api_key=overrides.provider_api_key,
        api_key_id=caller.key_id,
        traceparent=traceparent,
        caller=caller,
    )


@contextmanager
def naming_input_files_as_sent(body: InputFiles) -> Generator[None]:
    """The domain names input files `inputFileIds` in its errors. Rename the field if the client sent `inputFiles`."""
    try:
        yield
    except ValidationError as error:
        detail = error.details[0]
        path = path_as_sent(body, detail.path)
        if path == detail.path:
            raise
        raise ValidationError.at(path, detail.message) from None


def path_as_sent(body: InputFiles, path: str) -> str:
    """The field of a domain's error as the client named it: `inputFiles` if it sent that form."""
    name, _, index = path.partition(".")
    if body.input_files is None or name != "inputFileIds":
        return path
    return f"inputFiles.{index}.fileId"
