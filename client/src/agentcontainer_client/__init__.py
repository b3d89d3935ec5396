"""The Python client of AgentContainer: give an AI agent a task and files, get results and files.

    from agentcontainer_client import AgentContainer

    with AgentContainer() as client:
        task = client.tasks.run("Which region sells best?", agent="agt_standard_data", files=["sales.csv"])
        print(task.result)

`AsyncAgentContainer` is the same with `await`, `async with` and `async for`.
"""

from typing import TYPE_CHECKING

from agentcontainer_client import errors, inputs, models
from agentcontainer_client._diff import Difference
from agentcontainer_client._follow import Draft
from agentcontainer_client._version import __version__
from agentcontainer_client.errors import (
    AgentContainerError,
    ApiError,
    BadSignature,
    ChecksumMismatch,
    ConfigurationError,
    Conflict,
    ConnectionFailed,
    Forbidden,
    Gone,
    InsufficientBalance,
    NotFound,
    NotLoggedIn,
    RateLimited,
    ServerFault,
    TaskCancelled,
    TaskEnded,
    TaskExpired,
    TaskFailed,
    TimedOut,
    TooLarge,
    TurnFailed,
    Unauthorized,
    Unavailable,
    UnexpectedResponse,
    ValidationFailed,
    WaitTimedOut,
)

if TYPE_CHECKING:
    from agentcontainer_client import events
    from agentcontainer_client._async.agents import AsyncAgent
    from agentcontainer_client._async.batches import AsyncBatch
    from agentcontainer_client._async.client import AsyncAgentContainer
    from agentcontainer_client._async.conversations import AsyncConversation
    from agentcontainer_client._async.files import AsyncFile, AsyncOutputFile
    from agentcontainer_client._async.following import AsyncEventStream, AsyncStream
    from agentcontainer_client._async.paging import AsyncPager
    from agentcontainer_client._async.tasks import AsyncTask
    from agentcontainer_client._sync.agents import Agent
    from agentcontainer_client._sync.batches import Batch
    from agentcontainer_client._sync.client import AgentContainer
    from agentcontainer_client._sync.conversations import Conversation
    from agentcontainer_client._sync.files import File, OutputFile
    from agentcontainer_client._sync.following import EventStream, Stream
    from agentcontainer_client._sync.paging import Page, Pager
    from agentcontainer_client._sync.tasks import Task
    from agentcontainer_client._webhooks import WebhookEvent

__all__ = [
    "AgentContainer", "AgentContainerError", "Agent", "ApiError", "AsyncAgent", "AsyncAgentContainer", "AsyncBatch",
    "AsyncConversation", "AsyncEventStream", "AsyncFile", "AsyncOutputFile", "AsyncPager", "AsyncStream", "AsyncTask",
    "BadSignature", "Batch", "ChecksumMismatch", "ConfigurationError", "Conflict", "ConnectionFailed", "Conversation",
    "Difference", "Draft", "EventStream", "File", "Forbidden", "Gone", "InsufficientBalance", "NotFound",
    "NotLoggedIn", "OutputFile", "Page", "Pager", "RateLimited", "ServerFault", "Stream", "Task", "TaskCancelled",
    "TaskEnded", "TaskExpired", "TaskFailed", "TimedOut", "TooLarge", "TurnFailed", "Unauthorized", "Unavailable",
    "UnexpectedResponse",
    "ValidationFailed", "WaitTimedOut", "WebhookEvent", "__version__", "errors", "events", "inputs", "models",
]  # fmt: skip

# Loaded when they are first used: a program needs one half of the client, and may not need the events.
_LAZY = {
    "Agent": "_sync.agents",
    "AgentContainer": "_sync.client",
    "Batch": "_sync.batches",
    "Conversation": "_sync.conversations",
    "EventStream": "_sync.following",
    "File": "_sync.files",
    "OutputFile": "_sync.files",
    "Page": "_sync.paging",
    "Pager": "_sync.paging",
    "Stream": "_sync.following",
    "Task": "_sync.tasks",
    "AsyncAgent": "_async.agents",
    "AsyncAgentContainer": "_async.client",
    "AsyncBatch": "_async.batches",
    "AsyncConversation": "_async.conversations",
    "AsyncEventStream": "_async.following",
    "AsyncFile": "_async.files",
    "AsyncOutputFile": "_async.files",
    "AsyncPager": "_async.paging",
    "AsyncStream": "_async.following",
    "AsyncTask": "_async.tasks",
    "WebhookEvent": "_webhooks",
    "events": "events",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module = import_module(f"{__name__}.{_LAZY[name]}")
    return module if name == "events" else getattr(module, name)
