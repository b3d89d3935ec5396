"""The settings of the connections to PostgreSQL."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from agentcontainer.browser_settings import BrowserSettings


class DatabaseSettings(BrowserSettings):
    """The part of `Settings` that says how the database is reached."""

    database_url: str | None = Field(
        None, description="PostgreSQL to use; unset: the embedded server in the data folder."
    )
    database_url_file: Path | None = Field(
        None, description="File that has `AGENTCONTAINER_DATABASE_URL`, instead of the variable."
    )
    database_direct_url: str | None = Field(
        None,
        description="URL of PostgreSQL itself, for notifications, locks and migrations, if "
        "`AGENTCONTAINER_DATABASE_URL` leads to a pooler in transaction mode such as PgBouncer.",
    )
    database_direct_url_file: Path | None = Field(
        None, description="File that has `AGENTCONTAINER_DATABASE_DIRECT_URL`, instead of the variable."
    )
    database_pool_size: Annotated[int, Field(ge=2, le=1000)] | None = Field(
        None,
        description="Maximum number of connections in the pool of an API or runner; unset: 10 for an API, and half "
        "its capacity for a runner, but at least 2. Connections are opened when they are needed.",
    )

    @property
    def session_url(self) -> str | None:
        """URL of PostgreSQL itself, not of a pooler: for what needs a session of its own."""
        return self.database_direct_url or self.database_url

    @property
    def is_database_pooled(self) -> bool:
        """Whether `database_url` leads to a pooler in transaction mode."""
        return self.database_direct_url is not None
