"""Wrong bodies: the right code, a message that names the field, and nothing is created.

`FIELDS` names every field of every body; a test compares it with the OpenAPI document.
"""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
import yaml

from agentcontainer.ids import new_id

from .conftest import Account, Bed, error_of, new_account
from .refusals import as_json, at, refused
from .wrong_values import ANSWERS, BODIES, DISPATCH, FIELDS, cases

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def alice(bed: Bed) -> Account:
    """An account that may send every body."""
    return await new_account(bed, is_operator=True)


@pytest.mark.parametrize(("model", "field"), sorted({(case.model, case.path) for case in cases()}), ids=str)
async def test_a_wrong_value_is_refused_by_its_path(bed: Bed, alice: Account, model: str, field: str) -> None:
    method, path, _ = BODIES[model]
    path = await at(alice, path)
    before = await bed.rows()
    for case in cases():
        if (case.model, case.path) != (model, field):
            continue
        answer = await alice.send(method, path, **as_json(json.dumps(case.body())))
        assert answer.status_code == 400, (str(case), answer.text)
        error = error_of(answer)
        assert error["code"] == "validation_error", str(case)
        assert [detail["path"] for detail in error["details"]] == [case.reported_path], str(case)
        assert case.reported_path in error["message"], str(case)
    assert await bed.rows() == before


async def test_the_bodies_are_right_but_for_the_wrong_value(bed: Bed, alice: Account) -> None:
    for model, (method, path, body) in BODIES.items():
        answer = await alice.send(
            method, await at(alice, path), json=body | {"name": new_id("Agent")} if "name" in body else body
        )
        expected = ANSWERS.get(model, 201 if method == "POST" else 200)
        assert answer.status_code == expected, (model, answer.text)


async def test_the_table_names_every_field_of_every_body(bed: Bed) -> None:
    document = yaml.safe_load((await bed.http.get("/api/v1/openapi.yaml")).text)
    schemas = document["components"]["schemas"]

    def fields(schema: dict[str, Any], path: str) -> Iterator[str]:
        for choice in schema.get("anyOf", [schema]):
            if "$ref" in choice:
                yield from fields(schemas[choice["$ref"].rpartition("/")[2]], path)
            elif "items" in choice:
                yield f"{path}.0"
                yield from fields(choice["items"], f"{path}.0")
            for name, child in choice.get("properties", {}).items():
                yield f"{path}.{name}"
                yield from fields(child, f"{path}.{name}")

    bodies = {
        operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        for path in document["paths"].values()
        for operation in path.values()
        if "application/json" in operation.get("requestBody", {}).get("content", {})
    }
    assert bodies - {"NoFields"} == set(FIELDS)
    for model, table in FIELDS.items():
        assert {path.lstrip(".") for path in fields(schemas[model], "")} <= set(table)


@pytest.mark.parametrize(
    "null", ["versionId", "inputFileIds", "inputFiles", "title", "metadata", "overrides"]
)
async def test_null_in_an_optional_field_counts_as_absent(alice: Account, null: str) -> None:
    await alice.dispatch(**{null: None})


async def test_null_overrides_count_as_not_set(alice: Account) -> None:
    overrides = dict.fromkeys(BODIES["DispatchRequest"][2]["overrides"])
    assert (await alice.dispatch(overrides=overrides))["overrides"] == {}


@pytest.mark.parametrize("mode", ["any", "none", "at_least_one"])
async def test_named_outputs_go_with_the_named_policy_only(bed: Bed, alice: Account, mode: str) -> None:
    body = {"instructions": "x", "overrides": {"outputPolicy": {"mode": mode, "files": [{"name": "a"}]}}}
    error = await refused(bed, alice, "POST", DISPATCH, 400, "validation_error", json=body)
    assert error["details"][0]["path"] == "overrides.outputPolicy.files"


@pytest.mark.parametrize(
    ("overrides", "path"),
    [
        ({"provider": "openai"}, "overrides.model"),
        ({"model": "gpt-5"}, "overrides.model"),
        ({"weakModel": "gpt-5"}, "overrides.weakModel"),
        ({"provider": "openai", "model": "claude-sonnet-4-6"}, "overrides.model"),
        ({"softFinishAfterSeconds": 3600}, "overrides.softFinishAfterSeconds"),
    ],
)
async def test_overrides_that_do_not_fit_together(
    bed: Bed, alice: Account, overrides: dict[str, Any], path: str
) -> None:
    body = {"instructions": "x", "overrides": overrides}
    error = await refused(bed, alice, "POST", DISPATCH, 400, "validation_error", json=body)
    assert error["details"][0]["path"] == path


async def test_missing_files_and_versions_are_refused(bed: Bed, alice: Account, bob: Account) -> None:
    own, foreign, nowhere = await alice.upload(), await bob.upload(), new_id("file")
    for file_id in (foreign, nowhere):
        for body, path in (
            ({"inputFileIds": [own, file_id]}, "inputFileIds.1"),
            (
                {"inputFiles": [{"fileId": own}, {"fileId": file_id, "snapshot": "include"}]},
                "inputFiles.1.fileId",
            ),
        ):
            body = {"instructions": "x"} | body
            error = await refused(bed, alice, "POST", DISPATCH, 400, "validation_error", json=body)
            assert error["details"] == [{"path": path, "message": f"file {file_id} does not exist"}]
    for body, path in (
        ({"inputFileIds": [own, own]}, "inputFileIds.1"),
        ({"inputFileIds": [own], "inputFiles": [{"fileId": own}]}, "inputFiles"),
        ({"versionId": "agv_standard_coding_0"}, "versionId"),
    ):
        body = {"instructions": "x"} | body
        error = await refused(bed, alice, "POST", DISPATCH, 400, "validation_error", json=body)
        assert [detail["path"] for detail in error["details"]] == [path]


async def test_all_faults_of_a_body_are_reported_at_once(bed: Bed, alice: Account) -> None:
    body = {"instructions": 1, "title": "", "overrides": {"runtime": "x"}, "skils": []}
    error = await refused(bed, alice, "POST", DISPATCH, 400, "validation_error", json=body)
    assert {detail["path"] for detail in error["details"]} == {
        "instructions",
        "title",
        "overrides.runtime",
        "skils",
    }
    assert error["message"].startswith("instructions: must be a string")


@pytest.mark.parametrize(
    ("content", "path"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b"{'a': 1}", "body"),
        (b'{"instructions": "x",}', "body"),
        (b'{"instructions": "x"} x', "body"),
        (b'{"instructions": "x\xff"}', "body"),
        (b'\xef\xbb\xbf{"instructions": "x"}', "body"),
        (b'{"instructions": "a\x00b"}', "body"),
        (b"null", "body"),
        (b"[]", "body"),
        (b'"x"', "body"),
        (b"1", "body"),
        (b"NaN", "body"),
        (b'{"instructions": "x", "instructions": "y"}', "instructions"),
        (b'{"instructions": "x", "metadata": {"a": [{"b": 1, "b": 1}]}}', "metadata.a.0.b"),
        (b'{"instructions": "x", "metadata": {"a\\u0000": 1}}', "metadata.a?"),
        (b'{"instructions": "x", "metadata": {"a": -Infinity}}', "metadata.a"),
        (b'{"instructions": "x", "metadata": {"a": ' + b"9" * 100_000 + b"}}", "metadata.a"),
        (b'{"instructions": "x", "metadata": {"a": 1e999}}', "metadata.a"),
        (b'{"instructions": "x", "metadata": ' + b'{"a":' * 70 + b"1" + b"}" * 71, "metadata" + ".a" * 63),
        (b"[" * 100_000, "body"),
        (b"[" * 100_000 + b"]" * 100_000, "body"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "body"),
        (b'{"metadata": [' + b"0," * 200_000 + b"0]}", "body"),
    ],
    ids=lambda value: ascii(value)[:50],
)
async def test_malformed_json_is_refused(bed: Bed, alice: Account, content: bytes, path: str) -> None:
    error = await refused(bed, alice, "POST", DISPATCH, 400, "validation_error", **as_json(content))
    assert error["details"][0]["path"] == path
    assert path in error["message"]


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "",
        "application/x-www-form-urlencoded",
        "application/jsonx",
        "application/json; charset=latin-1",
    ],
)
async def test_other_content_types_are_refused(bed: Bed, alice: Account, content_type: str) -> None:
    for model, (method, path, body) in BODIES.items():
        if model == "LinkRequest" and content_type == "application/x-www-form-urlencoded":
            continue  # the only route that accepts forms
        await refused(
            bed, alice, method, await at(alice, path), 415, "unsupported_media_type", content=json.dumps(body),
            headers={"Content-Type": content_type, "Accept": "application/json"},
        )  # fmt: skip


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"']
)
async def test_spellings_of_the_json_content_type_are_accepted(alice: Account, content_type: str) -> None:
    answer = await alice.send(
        "POST", DISPATCH, content=b'{"instructions":"x"}', headers={"Content-Type": content_type}
    )
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize(("model", "limit"), [("DispatchRequest", 4 * 1024**2), ("UploadRequest", 64 * 1024)])
async def test_bodies_above_the_limit_are_refused(bed: Bed, alice: Account, model: str, limit: int) -> None:
    method, path, _ = BODIES[model]
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 3 * limit:
            sent += 65536
            yield b" " * 65536

    await refused(bed, alice, method, path, 413, "payload_too_large", **as_json(b" " * (limit + 1)))
    await refused(
        bed, alice, method, path, 413, "payload_too_large", **as_json(endless())
    )  # no Content-Length


async def test_the_largest_instructions_fit_however_they_are_spelt(alice: Account) -> None:
    instructions = "\x01" * 512 * 1024  # six bytes each in JSON
    assert (await alice.dispatch(instructions=instructions))["instructions"] == instructions


async def test_upload_larger_than_allowed_is_refused_when_prepared(bed: Bed, alice: Account) -> None:
    body = {"filename": "a", "contentType": "text/csv", "sizeBytes": bed.settings.max_upload_bytes + 1}
    error = await refused(bed, alice, "POST", "/api/v1/uploads/prepare", 413, "payload_too_large", json=body)
    assert "sizeBytes" in error["message"]


async def test_cancel_takes_no_fields(bed: Bed, alice: Account) -> None:
    path = f"/api/v1/tasks/{(await alice.dispatch())['id']}/cancel"
    error = await refused(bed, alice, "POST", path, 400, "validation_error", json={"force": True})
    assert error["details"] == [{"path": "force", "message": "unknown field"}]
    assert (await alice.post(path, {})).status_code == 200
