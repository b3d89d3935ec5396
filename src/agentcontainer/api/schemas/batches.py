"""The JSON that a client sends to dispatch a batch."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Annotated

from pydantic import Field

from agentcontainer.api.schemas.dispatch import (
    NewTask,
    Overrides,
    Text,
    check_callback,
    dispatch_of,
    naming_input_files_as_sent,
)
from agentcontainer.api.wire import Incoming
from agentcontainer.domain.accounts.principal import Principal
from agentcontainer.domain.batches.model import MAX_TASKS
from agentcontainer.domain.tasks.creation import InvalidTask
from agentcontainer.domain.tasks.model import Dispatch
from agentcontainer.errors import Detail, ValidationError
from agentcontainer.settings import Settings

MAX_BODY_BYTES = 16 * 1024 * 1024


class _OptionalInstructions(Incoming):
    instructions: Text | None = None


class BatchTask(NewTask, _OptionalInstructions):  # in this order the instructions are the first field
    """A task of a batch, or what all of them have in common."""


class BatchRequest(Incoming):
    """Up to 1000 tasks."""

    max_body_bytes = MAX_BODY_BYTES

    tasks: Annotated[list[BatchTask], Field(min_length=1, max_length=MAX_TASKS)]
    common: Annotated[
        BatchTask | None,
        Field(
            description="Applies to every task, except for what the task sets itself, also in `overrides`."
        ),
    ] = None


def check_callbacks(settings: Settings, body: BatchRequest) -> None:
    """Check the callback URLs of all tasks. Raises as `check_callback`."""
    check_callback(settings, body.common and body.common.overrides, "common.overrides")
    for index, task in enumerate(body.tasks):
        check_callback(settings, task.overrides, _path(index, "overrides"))


def dispatches_of(
    body: BatchRequest, caller: Principal, traceparent: str | None = None
) -> Sequence[Dispatch]:
    """The tasks as the domain takes them.

    Raises:
        ValidationError: a task has no instructions, or a field that does not fit one of `common`.
    """
    merged = _merged(body)
    for index, task in enumerate(merged):
        if task.instructions is None:
            raise ValidationError.at(_path(index, "instructions"), "is required, here or in common")
        if task.title_source == "model" and task.title is not None:
            raise ValidationError.at(_path(index, "titleSource"), "cannot be model when a title is given")
    return [dispatch_of(task, task.instructions or "", caller, traceparent) for task in merged]


@contextmanager
def naming_tasks_as_sent(body: BatchRequest) -> Generator[None]:
    """Name the task in the errors of the domain, as in `tasks[17].overrides.model`."""
    try:
        yield
    except InvalidTask as invalid:
        task = _merged(body)[invalid.index]
        try:
            with naming_input_files_as_sent(task):
                raise invalid.fault
        except ValidationError as error:
            details = [Detail(_path(invalid.index, fault.path), fault.message) for fault in error.details]
            message = f"{details[0].path}: {details[0].message}" if details else str(error)
            raise ValidationError(message, details) from None


def _merged(body: BatchRequest) -> Sequence[BatchTask]:
    common = body.common
    return body.tasks if common is None else [_over(task, common) for task in body.tasks]


def _over(task: BatchTask, common: BatchTask) -> BatchTask:
    """The task, with the fields of `common` that it does not set."""
    fields = {name: getattr(common, name) for name in _unset(task) & common.model_fields_set}
    if {"input_file_ids", "input_files"} & (task.model_fields_set - _unset(task)):  # two forms of one field
        fields.pop("input_file_ids", None)
        fields.pop("input_files", None)
    if task.overrides is not None and common.overrides is not None:
        fields["overrides"] = _overrides_over(task.overrides, common.overrides)
    return task.model_copy(update=fields)


def _overrides_over(overrides: Overrides, common: Overrides) -> Overrides:
    names = {name for name in Overrides.model_fields if getattr(overrides, name) is None}
    return overrides.model_copy(update={name: getattr(common, name) for name in names})


def _unset(task: BatchTask) -> set[str]:
    return {name for name in BatchTask.model_fields if getattr(task, name) is None}


def _path(index: int, field: str) -> str:
    return f"tasks[{index}].{field}"
