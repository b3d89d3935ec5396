"""One frozen `Settings`, read once from `AGENTCONTAINER_*` and handed on as an argument.

The table in docs/operations.md is held against this class by a test.
"""

import os
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import pydantic
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from agentcontainer.errors import SettingsError

ENV_PREFIX = "AGENTCONTAINER_"
MAX_DATA_DIR_BYTES = 60  # a Unix socket path holds 107 bytes; ours stand up to 45 below the data folder
Region = Literal["eu", "any"]
Provider = Literal["anthropic", "openrouter", "openai"]


def _default_data_dir() -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/agentcontainer")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "agentcontainer"


class Settings(BaseSettings):
    """Every setting, its default, and what it means (the description)."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="ignore")

    data_dir: Path = Field(default_factory=_default_data_dir, description="Folder that holds everything.")
    database_url: str | None = Field(
        None, description="PostgreSQL to use; unset: the embedded server in the data folder."
    )
    storage_url: str | None = Field(
        None, description="Object store, `file:///…`; unset: `blobs/` in the data folder."
    )
    public_url: str | None = Field(
        None, description="Where clients reach the API (in upload URLs); unset: `http://HOST:PORT`."
    )
    secret_key: SecretStr | None = Field(
        None,
        description="Encrypts provider keys, signs URLs (32+ characters); unset: `secret_key` in the data folder.",
    )
    anthropic_base_url: str = Field("https://api.anthropic.com", description="`/v1/messages` is appended.")
    openai_base_url: str = Field("https://api.openai.com/v1", description="`/responses` is appended.")
    openrouter_base_url: str = Field(
        "https://openrouter.ai/api/v1", description="`/chat/completions` or `/messages` is appended."
    )
    host: str = Field("127.0.0.1", description="Address the API listens on.")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(8080, description="Port the API listens on.")
    region: Region | None = Field(
        None, description="Where this runner stands: `eu` takes tasks of both regions, `any` no eu ones; "
        "unset: `any`, but `eu` for `up`, whose machine is the operator's own.",
    )  # fmt: skip
    capacity: Annotated[int, Field(ge=1, le=1000)] = Field(
        4, description="Sandboxes at a time on one runner."
    )
    hold_usd: Annotated[Decimal, Field(ge=0, decimal_places=6)] = Field(
        Decimal("0.50"), description="Held from the balance at dispatch."
    )
    container_usd_per_minute: Annotated[Decimal, Field(ge=0, decimal_places=6)] = Field(
        Decimal("0.05"), description="Price of container time, metered per second."
    )
    default_max_runtime_seconds: Annotated[int, Field(ge=1, le=86_400)] = Field(
        3600, description="Container time a task may use when neither agent nor task says."
    )
    max_upload_bytes: Annotated[int, Field(ge=1)] = Field(5 * 1024**3, description="Largest upload.")
    max_output_bytes: Annotated[int, Field(ge=1)] = Field(1024**3, description="Largest output file.")
    max_output_files: Annotated[int, Field(ge=1)] = Field(1000, description="Output files of one task.")
    file_quota_bytes: Annotated[int, Field(ge=0)] = Field(
        50 * 1024**3, description="Stored bytes per account, as `GET /account` shows them; not enforced yet."
    )
    upload_ttl_seconds: Annotated[int, Field(ge=1)] = Field(3600, description="Life of an upload URL.")
    sandbox_memory_bytes: Annotated[int, Field(ge=128 * 1024**2)] = Field(
        2 * 1024**3, description="Memory of one sandbox."
    )
    sandbox_pids: Annotated[int, Field(ge=32)] = Field(
        512, description="Processes and threads of one sandbox."
    )
    sandbox_cpus: Annotated[float, Field(gt=0)] = Field(2.0, description="CPUs of one sandbox.")
    sandbox_uid_base: Annotated[int, Field(ge=10_000, le=2_000_000_000)] = Field(
        700_000, description="First host uid for sandboxes when run as root; 1000 uids from here are ours."
    )
    runner_lost_after_seconds: Annotated[float, Field(ge=5)] = Field(
        10, description="A runner silent this long has lost its tasks."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level logged.")

    @field_validator("data_dir")
    @classmethod
    def _absolute_and_short(cls, value: Path) -> Path:
        value = value.expanduser().absolute()
        if len(os.fsencode(value)) > MAX_DATA_DIR_BYTES:
            raise ValueError(
                f"the path is longer than {MAX_DATA_DIR_BYTES} bytes; Unix sockets need a shorter one"
            )
        return value

    @field_validator("anthropic_base_url", "openai_base_url", "openrouter_base_url", "public_url")
    @classmethod
    def _http_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("must be an http:// or https:// URL without query")
        return value.rstrip("/")

    @field_validator("database_url")
    @classmethod
    def _postgres_url(cls, value: str | None) -> str | None:
        if value is not None and urlsplit(value).scheme not in ("postgres", "postgresql"):
            raise ValueError("must be a postgresql:// URL")
        return value

    @field_validator("storage_url")
    @classmethod
    def _store_url(cls, value: str | None) -> str | None:
        if value is not None and (
            urlsplit(value).scheme != "file" or not urlsplit(value).path.startswith("/")
        ):
            raise ValueError("must be file:///absolute/path")
        return value

    @field_validator("secret_key")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 32:
            raise ValueError("must have at least 32 characters")
        return value

    @property
    def hold_micro_usd(self) -> int:
        return int(self.hold_usd * 1_000_000)

    @property
    def container_micro_usd_per_minute(self) -> int:
        return int(self.container_usd_per_minute * 1_000_000)

    @property
    def base_urls(self) -> dict[Provider, str]:
        """Where the gateway sends each provider's requests."""
        return {
            "anthropic": self.anthropic_base_url,
            "openai": self.openai_base_url,
            "openrouter": self.openrouter_base_url,
        }


def load(**overrides: Any) -> Settings:
    """The settings of this process: `overrides` (from the command line) win over the environment.

    Raises:
        SettingsError: a value is wrong; the message names its variable.
    """
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except pydantic.ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        name = ENV_PREFIX + str(fault["loc"][0]).upper()
        raise SettingsError(f"{name} is wrong: {fault['msg'].removeprefix('Value error, ')}.") from None
