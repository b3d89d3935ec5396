"""Checks the values of settings: paths, URLs, lists of hosts and the secret key."""

import ipaddress
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from pydantic import SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings

from agentcontainer import database_url, store_url
from agentcontainer.private_hosts import PrivateHosts

MAX_DATA_DIR_BYTES = 60  # a Unix socket path holds 107 bytes; ours stand up to 45 below the data folder


class SettingRules(BaseSettings):
    """The validators of `Settings`, whose fields they name."""

    @field_validator("data_dir", mode="before", check_fields=False)
    @classmethod
    def _not_empty(cls, value: Any) -> Any:
        if isinstance(value, str) and not value.strip():
            raise ValueError("must name a folder")
        return value

    @field_validator("data_dir", check_fields=False)
    @classmethod
    def _absolute_and_short(cls, value: Path) -> Path:
        value = value.expanduser().absolute()
        if len(os.fsencode(value)) > MAX_DATA_DIR_BYTES:
            raise ValueError(
                f"the path is longer than {MAX_DATA_DIR_BYTES} bytes; Unix sockets need a shorter one"
            )
        return value

    @field_validator(
        "anthropic_base_url",
        "openai_base_url",
        "openrouter_base_url",
        "public_url",
        "preview_url",
        check_fields=False,
    )
    @classmethod
    def _http_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        is_right = parts.scheme in ("http", "https") and parts.hostname and _has_sound_port(parts)
        if not is_right or parts.query or parts.fragment or "@" in parts.netloc or re.search(r"\s", value):
            raise ValueError(
                "must be an http:// or https:// URL: a host, a port from 1 to 65535, a path, and no more"
            )
        return value.rstrip("/")

    @field_validator("preview_url", check_fields=False)
    @classmethod
    def _origin(cls, value: str | None) -> str | None:
        if value is not None and urlsplit(value).path:
            raise ValueError("must have no path, such as https://previews.example.com")
        return value

    @field_validator("public_url", check_fields=False)
    @classmethod
    def _another_host_than_previews(cls, value: str | None, info: ValidationInfo) -> str | None:
        previews = urlsplit(info.data.get("preview_url") or "").hostname
        if value is not None and previews is not None and urlsplit(value).hostname == previews:
            raise ValueError(
                "must have another host than AGENTCONTAINER_PREVIEW_URL, because cookies ignore ports"
            )
        return value

    @field_validator(
        "image_registries",
        "image_folders",
        "private_hosts",
        "trusted_proxies",
        "allowed_hosts",
        mode="before",
        check_fields=False,
    )
    @classmethod
    def _separated(cls, value: Any) -> Any:
        return (
            tuple(part.strip() for part in value.split(",") if part.strip())
            if isinstance(value, str)
            else value
        )

    @field_validator("image_registries", check_fields=False)
    @classmethod
    def _registry_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for entry in value:
            if not re.fullmatch(r"(http://|https://)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?", entry):
                raise ValueError("must list hosts in lower case, such as ghcr.io,http://127.0.0.1:5000")
        return value

    @field_validator("private_hosts", check_fields=False)
    @classmethod
    def _hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        PrivateHosts.of(value)
        return value

    @field_validator("allowed_hosts", check_fields=False)
    @classmethod
    def _host_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", entry) for entry in value):
            raise ValueError("must list host names without ports, such as agents.corp,box.local")
        return tuple(entry.lower() for entry in value)

    @field_validator("trusted_proxies", check_fields=False)
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for entry in value:
            try:
                ipaddress.ip_network(entry.strip("[]"))
            except ValueError:
                raise ValueError("must list addresses and networks, such as 10.0.0.5,192.0.2.0/24") from None
        return value

    @field_validator("image_folders", check_fields=False)
    @classmethod
    def _absolute_folders(cls, value: tuple[Path, ...]) -> tuple[Path, ...]:
        if not all(folder.is_absolute() for folder in value):
            raise ValueError("must list absolute paths")
        return value

    @field_validator("database_url", "database_direct_url", check_fields=False)
    @classmethod
    def _postgres_url(cls, value: str | None) -> str | None:
        if value is not None and (fault := database_url.fault(value)):
            raise ValueError(fault)
        return value

    @field_validator("storage_url", check_fields=False)
    @classmethod
    def _store_url(cls, value: str | None) -> str | None:
        if value is not None and (fault := store_url.fault(value)):
            raise ValueError(fault)
        return value

    @field_validator("upload_method", check_fields=False)
    @classmethod
    def _method_of_store(cls, value: str, info: ValidationInfo) -> str:
        if value == "post" and (info.data.get("storage_url") or "").startswith("s3:"):
            raise ValueError("S3 takes uploads by PUT only")
        return value

    @field_validator("metrics_address", "runner_metrics_address", check_fields=False)
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        host, _, port = (value or "").rpartition(":")
        is_right = re.fullmatch(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]", host) and re.fullmatch(
            r"[0-9]{1,5}", port
        )
        if value is not None and not (is_right and int(port) <= 65535):
            raise ValueError("must be host:port, such as 127.0.0.1:9100 or [::1]:9100")
        return value

    @field_validator("runner_name", check_fields=False)
    @classmethod
    def _name(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", value):
            raise ValueError("must be 1 to 64 letters, digits, dots, dashes and underscores")
        return value

    @field_validator("metrics_token", check_fields=False)
    @classmethod
    def _token(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.fullmatch(r"[!-~]{16,}", value.get_secret_value()):
            raise ValueError("must have at least 16 characters, all printable ASCII without spaces")
        return value

    @field_validator("otel_headers", check_fields=False)
    @classmethod
    def _headers(cls, value: SecretStr | None) -> SecretStr | None:
        parts = [] if value is None else value.get_secret_value().split(",")
        if not all(re.fullmatch(r" *[!#$%&'*+.^_`|~0-9A-Za-z-]+ *=[ -~]*", part) for part in parts):
            raise ValueError("must be name=value, or several of these, separated by commas")
        return value

    @field_validator("secret_key", check_fields=False)
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        keys = [line.strip() for line in value.get_secret_value().splitlines() if line.strip()]
        if not keys or any(len(key) < 32 for key in keys):
            raise ValueError("must have at least 32 characters")
        return value


def _has_sound_port(parts: SplitResult) -> bool:
    try:
        return parts.port != 0
    except ValueError:
        return False
