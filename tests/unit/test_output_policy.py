"""Output policies: what is accepted, what is refused, and that every refusal says how to correct it."""

import pytest

from agentcontainer.domain.execution.model import NamedOutput, OutputPolicy
from agentcontainer.domain.tasks.output_policy import (
    Declared,
    content_fault,
    json_faults,
    refusals,
    schema_fault,
)

FILE = Declared("a.md")
NAMED = OutputPolicy("named", (NamedOutput("report"), NamedOutput("chart", required=False)))


@pytest.mark.parametrize(
    ("policy", "declared"),
    [
        (OutputPolicy("any"), []),
        (OutputPolicy("any"), [FILE]),
        (OutputPolicy("none"), []),
        (OutputPolicy("at_least_one"), [FILE]),
        (NAMED, [Declared("a.md", "report")]),
        (NAMED, [Declared("a.md", "report"), Declared("c.png", "chart")]),
    ],
)
def test_outputs_that_meet_the_policy_are_accepted(policy: OutputPolicy, declared: list[Declared]) -> None:
    assert refusals(policy, declared) == []


@pytest.mark.parametrize(
    ("policy", "declared", "hint"),
    [
        (OutputPolicy("none"), [FILE], "without any file"),
        (OutputPolicy("at_least_one"), [], "at least one output file"),
        (OutputPolicy("any"), [Declared("a.md", "report")], "without --output"),
        (NAMED, [], "add --output report=PATH"),
        (NAMED, [FILE], "use --output NAME=PATH"),
        (NAMED, [Declared("a.md", "report"), Declared("b.md", "summary")], "The names are: report, chart"),
        (NAMED, [Declared("a.md", "report"), Declared("b.md", "report")], "given twice"),
    ],
)
def test_other_outputs_are_refused_with_a_hint(
    policy: OutputPolicy, declared: list[Declared], hint: str
) -> None:
    assert any(hint in fault for fault in refusals(policy, declared))


def test_a_named_output_must_have_its_type_and_size() -> None:
    named_output = NamedOutput("report", content_type="text/csv", max_bytes=10)
    assert content_fault(named_output, "text/csv", 10) is None
    assert "must be text/csv" in (content_fault(named_output, "text/plain", 1) or "")
    assert "11 bytes" in (content_fault(named_output, "text/csv", 11) or "")


def test_the_json_schema_of_a_named_output_is_checked() -> None:
    schema = {"type": "object", "required": ["total"], "properties": {"total": {"type": "number"}}}
    assert json_faults(schema, {"total": 1}) == []
    assert json_faults(schema, {"total": "1"})[0].startswith("total: ")
    assert "required" in json_faults(schema, {})[0]


@pytest.mark.parametrize(
    "schema", [{"type": "nonsense"}, {"$ref": "http://127.0.0.1:9/schema"}, {"pattern": "(?<=a)b("}]
)
def test_an_invalid_schema_or_one_with_remote_references_is_refused(schema: dict[str, object]) -> None:
    assert schema_fault(schema) is not None


@pytest.mark.timeout(10)
def test_a_hostile_pattern_cannot_stall_the_runner() -> None:
    assert json_faults({"type": "string", "pattern": "^(a+)+$"}, "a" * 50_000 + "!")


@pytest.mark.parametrize("keyword", ["unevaluatedProperties", "unevaluatedItems"])
def test_a_schema_with_endlessly_branching_references_is_refused_unread(keyword: str) -> None:
    twice = {f"a{n}": {"anyOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(60)}
    schema = {keyword: False, "$ref": "#/$defs/a0", "$defs": twice | {"a60": {"properties": {"a": {}}}}}
    assert schema_fault(schema) == (
        "uses unevaluatedProperties or unevaluatedItems with 121 references; at most 20 go together"
    )
    definitions = {"a0": {"$ref": "#/$defs/a1"}, "a1": {"properties": {"a": {}}}}
    assert schema_fault(schema | {"$defs": definitions}) is None
