"""Checks a `finish` against the task's output policy.

The runner reads the files; this module does no I/O.
"""

from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import jsonschema_rs

from agentcontainer.domain.execution.model import NamedOutput, OutputPolicy

MAX_SCHEMA_FAULTS = 5
# With these keywords the validator follows every path through the references before it validates. 60 references can
# make 2**30 paths.
_UNEVALUATED = ("unevaluatedProperties", "unevaluatedItems")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
MAX_REFERENCES_UNEVALUATED = 20


@dataclass(frozen=True)
class Declared:
    """A file as the agent declared it: `name` is set by `--output name=path`."""

    path: str
    name: str | None = None


def refusals(policy: OutputPolicy, declared: Sequence[Declared]) -> list[str]:
    """What is wrong with the declared files, in sentences that say how to correct it. Empty: the policy allows them."""
    if policy.mode == "named":
        return _named_refusals(policy, declared)
    faults = [
        f"--output {entry.name}={entry.path}: this task's output policy has no names; list the file without --output."
        for entry in declared
        if entry.name is not None
    ]
    if policy.mode == "none" and declared:
        faults.append("This task's output policy is none: call finish without any file.")
    if policy.mode == "at_least_one" and not declared:
        faults.append("This task's output policy asks for at least one output file: add its path to finish.")
    return faults


def _named_refusals(policy: OutputPolicy, declared: Sequence[Declared]) -> list[str]:
    outputs = {output.name: output for output in policy.files}
    names = [entry.name for entry in declared]
    listed = ", ".join(outputs)
    faults = [
        f"{entry.path}: this task takes named outputs only; use --output NAME=PATH with one of: {listed}."
        for entry in declared
        if entry.name is None
    ]
    faults += [
        f"--output {name}: there is no such output. The names are: {listed}."
        for name in dict.fromkeys(names)
        if name is not None and name not in outputs
    ]
    faults += [f"--output {name}: given twice." for name in outputs if names.count(name) > 1]
    faults += [
        f"The output {output.name} is missing: add --output {output.name}=PATH."
        for output in policy.files
        if output.is_required and output.name not in names
    ]
    return faults


def content_fault(output: NamedOutput, content_type: str, size_bytes: int) -> str | None:
    """What is wrong with a named output's type or size; None: nothing."""
    if output.content_type is not None and content_type != output.content_type:
        return f"is {content_type} by its name, but the output {output.name} must be {output.content_type}"
    if output.max_bytes is not None and size_bytes > output.max_bytes:
        return f"has {size_bytes} bytes, but the output {output.name} may have {output.max_bytes} at most"
    return None


def schema_fault(schema: dict[str, Any] | bool) -> str | None:
    """What is wrong with a JSON Schema itself; None: nothing."""
    keywords = Counter(_keywords(schema))
    references = sum(keywords[name] for name in _REFERENCES)
    if references > MAX_REFERENCES_UNEVALUATED and any(keywords[name] for name in _UNEVALUATED):
        return (
            f"uses {' or '.join(_UNEVALUATED)} with {references} references; "
            f"at most {MAX_REFERENCES_UNEVALUATED} go together"
        )
    try:
        _validator(schema)
    except ValueError as error:
        return f"is not a JSON Schema: {str(error).splitlines()[0][:300]}"
    return None


def _keywords(schema: object) -> Generator[str]:
    if isinstance(schema, dict):
        for name, value in cast("dict[str, object]", schema).items():
            yield name
            yield from _keywords(value)
    elif isinstance(schema, list):
        for value in cast("list[object]", schema):
            yield from _keywords(value)


def json_faults(schema: dict[str, Any] | bool, document: Any) -> list[str]:
    """Where a JSON document does not match its schema: the first `MAX_SCHEMA_FAULTS` places."""
    faults: list[str] = []
    validator = _validator(schema)
    try:
        for error in validator.iter_errors(document):
            location = "/".join(str(part) for part in error.instance_path) or "the document"
            faults.append(f"{location[:300]}: {error.message[:300]}")
            if len(faults) == MAX_SCHEMA_FAULTS:
                break
    except ValueError:
        return ["the document nests too deep, or holds half a surrogate pair"]
    return faults


def _validator(schema: dict[str, Any] | bool) -> jsonschema_rs.Validator:
    # Regular expressions match in linear time, and no $ref is fetched: the schema comes from a client.
    return jsonschema_rs.validator_for(
        schema, pattern_options=jsonschema_rs.RegexOptions(), retriever=_refuse_retrieval
    )


def _refuse_retrieval(uri: str) -> Any:
    raise ValueError(f"$ref to {uri} is not followed")
