"""The settings of OpenTelemetry, beside the `OTEL_*` variables that its SDK reads."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from agentcontainer.retention_settings import RetentionSettings


class TelemetrySettings(RetentionSettings):
    """What is sent to an OpenTelemetry collector, and with which headers."""

    otel_genai: Literal["v0.1", "legacy", "both"] = Field(
        "v0.1",
        description="Names of OpenTelemetry spans and metrics: release v0.1 of its GenAI conventions, those before it, "
        "which most tools read, or both.",
    )
    otel_headers: SecretStr | None = Field(
        None,
        description="Headers of requests to the OpenTelemetry collector, `name=value`, separated by commas; over those "
        "of `OTEL_EXPORTER_OTLP_HEADERS`.",
    )
    otel_headers_file: Path | None = Field(
        None, description="File that has `AGENTCONTAINER_OTEL_HEADERS`, instead of the variable."
    )
