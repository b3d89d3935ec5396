"""The JSON of browser sessions."""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypeAliasType

from agentcontainer.api.wire import Outgoing, Timestamp

SessionRole = TypeAliasType("SessionRole", Literal["viewer", "member"])


class Session(Outgoing):
    """A browser that is logged in."""

    id: str
    key_id: Annotated[
        str | None, Field(description="The API key whose rights it has; null: the operator made its link.")
    ]
    role: SessionRole
    is_current: Annotated[bool, Field(description="Whether it sends this request.")]
    user_agent: Annotated[str, Field(description="What the browser says it is.")]
    created_at: Timestamp
    last_seen_at: Annotated[Timestamp, Field(description="To the minute.")]
    expires_at: Timestamp
