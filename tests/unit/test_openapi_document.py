"""What code generators need of the OpenAPI document. tests/contract checks it against the API."""

from collections.abc import Iterator
from typing import Any

import pytest

from agentcontainer.domain.tasks.events import EVENT_TYPES
from agentcontainer.domain.tasks.state import MEANING, Status
from tests.openapi_document import openapi_document

pytestmark = pytest.mark.xdist_group("OpenAPI document")  # made once


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return openapi_document()


def parts(node: Any) -> Iterator[dict[str, Any]]:
    """Every object below `node`, and `node`."""
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from parts(child)


def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for item in document["paths"].values() for operation in item.values()]


def test_events_are_a_union_by_type(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    mapping = schemas["Event"]["discriminator"]["mapping"]
    assert set(mapping) == set(EVENT_TYPES)
    for type_, reference in mapping.items():
        event = schemas[reference.rpartition("/")[2]]
        assert event["properties"]["type"]["const"] == type_
        assert schemas[event["properties"]["data"]["$ref"].rpartition("/")[2]]["type"] == "object"


def test_statuses_and_error_codes_of_tasks_are_named_enums(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["TaskStatus"]["enum"] == [status.value for status in Status]
    assert set(schemas["TaskErrorCode"]["enum"]) == {end.error_code for end in MEANING.values()} - {None}


def test_every_enum_of_a_field_has_a_name(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        for field in schema.get("properties", {}).values():
            choices = [field, *field.get("anyOf", ())]
            assert not any("enum" in choice for choice in choices), (name, field)


def test_no_default_is_null_and_no_schema_is_unused(document: dict[str, Any]) -> None:
    assert not [part for part in parts(document) if "default" in part and part["default"] is None]
    used = {part["$ref"].rpartition("/")[2] for part in parts(document) if isinstance(part.get("$ref"), str)}
    assert set(document["components"]["schemas"]) <= used


def test_every_operation_has_one_described_tag_and_a_verb(document: dict[str, Any]) -> None:
    described = {tag["name"] for tag in document["tags"]}
    assert {tag for operation in operations(document) for tag in operation["tags"]} == described
    verbs = (
        "activate", "archive", "begin", "cancel", "change", "check", "complete", "create", "credit", "decide", "delete",
        "dispatch", "download", "end", "export", "get", "handOff", "interrupt", "list", "log", "poll", "prepare", "put",
        "receive", "resend", "revoke", "rotate", "send", "show", "steer", "test", "unarchive", "use", "wake",
    )  # fmt: skip
    for operation in operations(document):
        assert len(operation["tags"]) == 1
        assert operation["operationId"].startswith(verbs), operation["operationId"]


def test_bytes_are_octet_streams(document: dict[str, Any]) -> None:
    by_id = {operation["operationId"]: operation for operation in operations(document)}
    for download in ("downloadFile", "downloadOutputFile"):
        assert "application/octet-stream" in by_id[download]["responses"]["200"]["content"]
    for upload in ("receiveUpload", "receivePostedUpload"):
        assert "application/octet-stream" in by_id[upload]["requestBody"]["content"]
