"""Reads the `AGENTCONTAINER_*` variables into one frozen `Settings`, which is passed on as an argument.

A test compares the table in docs/reference/settings.md with this class.
"""

import os
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field, PlainValidator, SecretStr
from pydantic_settings import NoDecode, SettingsConfigDict

from agentcontainer import field_faults, price_file
from agentcontainer.api_url import local_url
from agentcontainer.errors import SettingsError
from agentcontainer.price_file import PriceFile
from agentcontainer.providers import PROVIDERS
from agentcontainer.telemetry_settings import TelemetrySettings

ENV_PREFIX = "AGENTCONTAINER_"
MAX_BYTES = 2**50
MAX_USD = 1_000_000
MAX_FILE_CHARACTERS = 65536
FROM_FILES = (
    "database_url",
    "database_direct_url",
    "secret_key",
    "otel_headers",
)  # may be in a file, which `…_FILE` names
Region = Literal["eu", "any"]


def _default_data_dir() -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/agentcontainer")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "agentcontainer"


class Settings(TelemetrySettings):
    """Every setting, its default, and what it means (the description)."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="ignore")

    data_dir: Path = Field(
        default_factory=_default_data_dir, description="Folder for all data of the installation."
    )
    storage_url: str | None = Field(
        None,
        description="Object store: `file:///folder`, or `s3://bucket/prefix?endpoint=…&region=…` (both optional) with "
        "credentials from `AWS_*`; unset: `blobs/` in the data folder.",
    )
    public_url: str | None = Field(
        None,
        description="URL of the API as clients reach it, for upload URLs and wake links; unset: that of the "
        "installation, or else `http://HOST:PORT`, and for upload URLs the address that the client used, if that is an "
        "IP address or `localhost`.",
    )
    secret_key: SecretStr | None = Field(
        None,
        description="Encrypts provider keys and signs URLs; 32 or more characters. Several keys, one a line: the first "
        "encrypts and signs, all open and verify. Unset: the file `secret_key` in the data folder.",
    )
    secret_key_file: Path | None = Field(
        None, description="File that has `AGENTCONTAINER_SECRET_KEY`, instead of the variable."
    )
    anthropic_base_url: str = Field(
        "https://api.anthropic.com", description="Base URL of Anthropic; `/v1/messages` is appended."
    )
    openai_base_url: str = Field(
        "https://api.openai.com/v1", description="Base URL of OpenAI; `/responses` is appended."
    )
    openrouter_base_url: str = Field(
        "https://openrouter.ai/api/v1",
        description="Base URL of OpenRouter; `/chat/completions` or `/messages` is appended.",
    )
    offline_model: Literal["off", "on", "all"] | None = Field(
        None,
        description="The offline script, no AI. `on`: tasks may use it as the provider `offline`. `all`: it is also "
        "the default of tasks that name no model, and answers in place of every other provider. Unset: `off`, but `on` "
        "under `up`.",
    )
    host: str = Field("127.0.0.1", description="Address the API listens on.")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(8080, description="Port the API listens on.")
    region: Region | None = Field(
        None, description="Region of this runner: `eu` takes tasks of both regions, `any` only those of `any`; "
        "unset: `any`, but `eu` for the runner that `up` starts.",
    )  # fmt: skip
    capacity: Annotated[int, Field(ge=1, le=1000)] = Field(
        4, description="How many sandboxes one runner runs at a time."
    )
    hold_usd: Annotated[Decimal, Field(ge=0, le=MAX_USD, decimal_places=6)] = Field(
        Decimal("0.50"), description="Amount held from the balance when a task is dispatched."
    )
    container_usd_per_minute: Annotated[Decimal, Field(ge=0, le=MAX_USD, decimal_places=6)] = Field(
        Decimal("0.05"), description="Price of container time, metered per second."
    )
    default_max_runtime_seconds: Annotated[int, Field(ge=1, le=86_400)] = Field(
        3600, description="Container time of a task, if neither the agent nor the task sets a limit."
    )
    max_upload_bytes: Annotated[int, Field(ge=1, le=MAX_BYTES)] = Field(
        5 * 1024**3, description="Largest upload."
    )
    max_output_bytes: Annotated[int, Field(ge=1, le=MAX_BYTES)] = Field(
        1024**3,
        description="Largest output file. All output files of a task together may be as large as a workspace.",
    )
    max_output_files: Annotated[int, Field(ge=1, le=100_000)] = Field(
        1000, description="Maximum number of output files of one task."
    )
    max_partial_files: Annotated[int, Field(ge=0, le=100_000)] = Field(
        100,
        description="Maximum number of partial outputs that are stored of a task that fails, is cancelled or expires.",
    )
    max_partial_bytes: Annotated[int, Field(ge=0, le=MAX_BYTES)] = Field(
        256 * 1024**2, description="Maximum total size of one task's partial outputs, in bytes."
    )
    max_task_events: Annotated[int, Field(ge=100, le=1_000_000_000)] = Field(
        100_000,
        description="Maximum number of events of one task; a task with more fails with `event_log_full`.",
    )
    max_task_event_bytes: Annotated[int, Field(ge=1024**2, le=MAX_BYTES)] = Field(
        128 * 1024**2,
        description="Maximum total size of one task's events, in bytes; a task with more fails with `event_log_full`.",
    )
    max_repository_bytes: Annotated[int, Field(ge=1, le=MAX_BYTES)] = Field(
        1024**3, description="Largest input repository, as cloned."
    )
    allow_private_repositories: bool = Field(
        False,
        description="Whether input repositories may be cloned from private and loopback addresses, "
        "and their tokens may be sent over http://.",
    )
    private_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="What clients may make the platform reach besides the public internet, with repositories, model "
        "endpoints of their own and webhooks, also over http://: host names, `*.name`, addresses and networks, "
        "separated by commas. "
        "Link-local and metadata addresses are never reached.",
    )
    egress_proxy_only: bool = Field(
        False,
        description="Whether a proxy is the only way out, so that destinations which clients choose are refused: input "
        "repositories, model endpoints of their own and webhooks.",
    )
    webhook_allow_http: bool = Field(
        False,
        description="Whether webhooks may be sent over http:// to any host, and not only over https://.",
    )
    webhook_allow_private: bool = Field(
        False,
        description="Whether webhooks may be sent to private and loopback addresses, and not only to those that "
        "`AGENTCONTAINER_PRIVATE_HOSTS` names. Link-local and metadata addresses are never reached.",
    )
    internet_access: bool = Field(
        True,
        description="Whether tasks may have access to the public internet; if not, `internetAccess: true` is refused.",
    )
    file_quota_bytes: Annotated[int, Field(ge=0, le=MAX_BYTES)] = Field(
        50 * 1024**3,
        description="Maximum number of bytes that one account may store; uploads beyond it are refused. 0: no limit.",
    )
    checkpoint_quota_bytes: Annotated[int, Field(ge=0, le=MAX_BYTES)] = Field(
        100 * 1024**3,
        description="Maximum bytes of checkpoints of one account's live tasks; none is saved beyond it. 0: no limit.",
    )
    upload_method: Literal["put", "post"] = Field(
        "put",
        description="HTTP method of uploads to a `file://` store; with `post` the response has a `storageId`. "
        "S3 always uses `put`.",
    )
    upload_ttl_seconds: Annotated[int, Field(ge=1, le=604_800)] = Field(
        3600, description="How long an upload URL is valid."
    )
    steering_wait_seconds: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] = Field(
        30.0,
        description="How long a steering message waits before the agent's running command is ended, and how long "
        "each command may run after the soft limit.",
    )
    disk_full_grace_seconds: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] = Field(
        300.0, description="How long a workspace may be full, with nothing freed, before its task fails."
    )
    provider_patience_seconds: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] = Field(
        120.0,
        description="How long a model request waits, with the container up, for a provider that is overloaded, fails "
        "(408, 429, 5xx) or cannot be reached. With 0 nothing waits for a provider.",
    )
    provider_outage_hours: Annotated[float, Field(ge=0, le=720, allow_inf_nan=False)] = Field(
        24.0,
        description="How long a provider may stay overloaded or unavailable before the tasks that wait for it fail.",
    )
    warm_seconds: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] = Field(
        60.0,
        description="How long an idle conversation's container waits for the next message before it is stopped.",
    )
    checkpoint_seconds: Annotated[float, Field(ge=1, le=86_400, allow_inf_nan=False)] = Field(
        300.0,
        description="How often a running task is checkpointed. A lost runner loses at most this much work.",
    )
    checkpoint_patience_seconds: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] = Field(
        300.0,
        description="How long a container is kept, unbilled, to save its workspace while the host or the object store "
        "fails. After that its turn or task runs again in another one.",
    )
    store_patience_seconds: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] = Field(
        300.0,
        description="How long `finish` and `share` wait for an object store that is away, before the agent is told.",
    )
    max_hibernation_days: Annotated[int, Field(ge=1, le=3650)] = Field(
        366, description="Longest hibernation of a task."
    )
    max_checkpoint_bytes: Annotated[int, Field(ge=1, le=MAX_BYTES)] = Field(
        20 * 1024**3, description="Largest checkpoint of a workspace, compressed."
    )
    max_workspace_bytes: Annotated[int, Field(ge=1, le=MAX_BYTES)] = Field(
        50 * 1024**3, description="Largest workspace that is checkpointed, as a tar."
    )
    sandbox_memory_bytes: Annotated[int, Field(ge=128 * 1024**2, le=MAX_BYTES)] = Field(
        2 * 1024**3, description="Memory limit of one sandbox."
    )
    sandbox_pids: Annotated[int, Field(ge=32, le=4_194_304)] = Field(
        512, description="Maximum number of processes and threads of one sandbox."
    )
    sandbox_cpus: Annotated[float, Field(ge=0.01, le=1024, allow_inf_nan=False)] = Field(
        2.0, description="Maximum number of CPUs that one sandbox uses."
    )
    sandbox_disk_bytes: Annotated[int, Field(ge=64 * 1024**2, le=16 * 1024**4)] = Field(
        10 * 1024**3, description="Maximum size of one sandbox's workspace, in bytes."
    )
    sandbox_inodes: Annotated[int, Field(ge=1000, le=100_000_000)] = Field(
        1_000_000, description="Maximum number of files, folders and links in one sandbox's workspace."
    )
    sandbox_uid_base: Annotated[int, Field(ge=10_000, le=2_000_000_000)] = Field(
        700_000, description="First of the 1000 host uids for sandboxes, if the runner runs as root."
    )
    runner_lost_after_seconds: Annotated[float, Field(ge=5, le=3600, allow_inf_nan=False)] = Field(
        10, description="A runner that sends no heartbeat for this long is lost, and its tasks are requeued."
    )
    rate_limit_per_minute: Annotated[int, Field(ge=0)] = Field(
        6000,
        description="Maximum number of requests per minute of one API key to one API process; 0: no limit.",
    )
    model_prices_file: Annotated[PriceFile | None, NoDecode, PlainValidator(price_file.read)] = Field(
        None,
        description="JSON file with token prices, used instead of Pi's: `{provider: {model: {input, output, "
        "cacheRead?, cacheWrite?}}}`, in USD per million tokens.",
    )
    image_registries: Annotated[tuple[str, ...], NoDecode] = Field(
        (
            "docker.io",
            "ghcr.io",
            "quay.io",
            "gcr.io",
            "public.ecr.aws",
            "mcr.microsoft.com",
            "registry.gitlab.com",
        ),
        description="Registries whose images agents may use, separated by commas. `host` is reached at public "
        "addresses only; `https://host:port`, or `http://host:port` without TLS, also at private ones. Empty: none.",
    )
    image_folders: Annotated[tuple[Path, ...], NoDecode] = Field(
        (), description="Folders whose `oci:` and `docker-archive:` images agents may use, separated by commas. API "
        "and runner must have the same folders, with files that everybody may read. Empty: none.",
    )  # fmt: skip
    max_image_bytes: Annotated[int, Field(ge=1, le=MAX_BYTES)] = Field(
        20 * 1024**3, description="Largest image, unpacked."
    )
    image_cache_days: Annotated[float, Field(ge=0, le=3650, allow_inf_nan=False)] = Field(
        14,
        description="An image that no sandbox has used for so many days is removed from the runner's host.",
    )
    image_cache_bytes: Annotated[int, Field(ge=0, le=MAX_BYTES)] = Field(
        50 * 1024**3,
        description="If the unpacked images have more bytes, those not in use are removed, least recently used first.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lowest level that is logged."
    )
    log_format: Literal["text", "json"] = Field(
        "text",
        description="Format of the log. `json`: an object on each line, with `time`, `level`, `logger`, `message`, and "
        "where known `runner`, `task`, `attempt`, `requestId` and `exception`.",
    )
    metrics_token: SecretStr | None = Field(
        None,
        description="Token with which `GET /metrics` on the API's port is answered, as `Authorization: Bearer …`; 16 "
        "or more characters. Unset: 404.",
    )
    metrics_address: str | None = Field(
        None,
        description="Address (`host:port`) at which an API process serves `GET /metrics` without a token, for networks "
        "that clients cannot reach; unset: none.",
    )
    runner_metrics_address: str | None = Field(
        None,
        description="Address (`host:port`) at which a runner serves `GET /metrics`, `/healthz` and `/readyz` without a "
        "token, for networks that clients cannot reach; unset: none.",
    )
    runner_name: str | None = Field(
        None,
        description="Name of the runner in metrics and in `agentcontainer status`: letters, digits, dots, dashes and "
        "underscores, 64 at most. Unset: the host's name and a number that is free on it.",
    )

    @property
    def hold_micro_usd(self) -> int:
        return int(self.hold_usd * 1_000_000)

    @property
    def container_micro_usd_per_minute(self) -> int:
        return int(self.container_usd_per_minute * 1_000_000)

    @property
    def api_url(self) -> str:
        """What links to the API begin with: `public_url`, or else the URL for clients on this machine."""
        return self.public_url or local_url(self.host, self.port)

    def task_url(self, task_id: str) -> str | None:
        """The page of a task. None: there is no dashboard."""
        return f"{self.api_url}/tasks/{task_id}" if self.dashboard else None

    @property
    def has_offline_model(self) -> bool:
        """Whether tasks may use the provider `offline`."""
        return self.offline_model in ("on", "all")

    @property
    def base_urls(self) -> dict[str, str]:
        """Where the gateway sends each provider's requests."""
        return {
            provider.name: getattr(self, provider.base_url_setting)
            for provider in PROVIDERS.values()
            if provider.base_url_setting is not None
        }


def load(**overrides: Any) -> Settings:
    """The settings of this process: `overrides` (from the command line) win over the environment.

    Raises:
        SettingsError: a value is wrong; the message names its variable.
    """
    values = {name: value for name, value in overrides.items() if value is not None}
    settings = _parsed(values, {})
    files = {name: path for name in FROM_FILES if (path := getattr(settings, f"{name}_file")) is not None}
    for name in files:
        if getattr(settings, name) is not None:
            raise SettingsError(
                f"{_variable(name)} and {_variable(name)}_FILE are both set. Set one of them."
            )
    settings = _parsed(values | {name: _content(name, path) for name, path in files.items()}, files)
    if settings.database_direct_url is not None and settings.database_url is None:
        raise SettingsError(
            "AGENTCONTAINER_DATABASE_DIRECT_URL is set, but AGENTCONTAINER_DATABASE_URL, which is to lead to a pooler, "
            "is not. Without a pooler, set AGENTCONTAINER_DATABASE_URL only."
        )
    return settings


def _parsed(values: dict[str, Any], files: Mapping[str, Path]) -> Settings:
    try:
        return Settings(**values)
    except pydantic.ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        name = str(fault["loc"][0])
        source = f"_FILE {files[name]}" if name in files else ""
        raise SettingsError(f"{_variable(name)}{source} is wrong: {field_faults.sentence(fault)}.") from None


def _content(name: str, path: Path) -> str:
    try:
        with path.expanduser().open(encoding="utf-8") as file:
            content = file.read(MAX_FILE_CHARACTERS + 1)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "it is not text"
        raise SettingsError(f"{_variable(name)}_FILE {path} cannot be read: {reason}.") from None
    if len(content) > MAX_FILE_CHARACTERS:
        raise SettingsError(f"{_variable(name)}_FILE {path} has more than {MAX_FILE_CHARACTERS} characters.")
    if not (value := content.strip()):
        raise SettingsError(f"{_variable(name)}_FILE {path} is empty.")
    return value


def _variable(name: str) -> str:
    return ENV_PREFIX + name.upper()
