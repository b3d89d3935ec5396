"""The API against its own OpenAPI document: schemathesis sends requests to a real `agentcontainer api` with data in it.

No response is a 5xx, has an undocumented status, or differs from its schema. Each route must also have succeeded once:
a route that only answers 404 would show nothing. Requests that the document forbids are sent in the long version only:
tests/integration/api/test_bad_input.py and test_bad_queries.py send wrong values in every run.
"""

import asyncio
import itertools
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import asyncpg
import httpx
import pytest
import requests
import schemathesis
import yaml
from hypothesis import HealthCheck, settings
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis import Case, CheckContext, GenerationMode, Response
from schemathesis.checks import CHECKS
from schemathesis.generation.feedback import FeedbackSources
from schemathesis.pytest._test_builder import build_operation_test
from schemathesis.schemas import APIOperation, BaseSchema

from agentcontainer import db
from agentcontainer import settings as platform_settings
from agentcontainer.api.app import ROUTES
from agentcontainer.api.http import openapi
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.tasks import runners
from agentcontainer.domain.uploads import service as uploads
from tests.api_bed import AGENT, Account, Bed, new_account
from tests.api_process import api_process
from tests.conftest import url_of_database

SECRET_KEY = "k" * 40
DOCUMENT: dict[str, Any] = yaml.safe_load(openapi.to_yaml(openapi.document(ROUTES, None)))
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
ALLOWED_ONLY = schemathesis.openapi.from_dict(DOCUMENT)
ALLOWED_ONLY.config.generation.update(modes=[GenerationMode.POSITIVE])
HEALTH = list(HealthCheck)
SHORT = settings(max_examples=8, deadline=None, derandomize=True, database=None, suppress_health_check=HEALTH)
LONG = settings(max_examples=500, deadline=None, database=None, suppress_health_check=HEALTH)
NUMBERS = itertools.count(1)


def operations_of(schema: BaseSchema) -> dict[str, APIOperation]:
    return {result.ok().label: result.ok() for result in schema.get_all_operations()}


ALLOWED_OPERATIONS = operations_of(ALLOWED_ONLY)
OPERATIONS = operations_of(SCHEMA)
LABELS = sorted(OPERATIONS)
CHECKED = CHECKS.get_by_names(
    [
        "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
        "response_schema_conformance", "negative_data_rejection", "unsupported_method",
    ]
)  # fmt: skip

NOT_SENT = CHECKS.get_by_names(["negative_data_rejection"])

# Rules between fields, on bytes instead of characters, on time, and on existing resources.
UNSAYABLE = re.compile(
    "|".join(
        (
            "must say what to change", "must not give a name twice", "at most 6 decimals", "at most [0-9]+ bytes",
            "must be below maxRuntimeSeconds", "is needed: the model", "is a model of", "cannot be enforced",
            "cannot be model when a title is given", "cannot be given (together )?with", "not a JSON Schema",
            "true is not offered by this installation", "is sent over https:// only", "must be the name of a branch",
            "must not hold control characters", "must be a file name", "must be a time such as", "is not a cursor",
            "must not hold NUL", "must be a number within 64 bits", "must not nest deeper", "more than [0-9]+ values",
            "must not be below fromTurn", "the log of this task ends at", "must not have more than [0-9]+ fields",
            "must be a host name", "must have a port from 1 to", "cannot have a . before an address",
            "narrows internet access",
            "must be the name of an image", "names (the registry|no folder|no file)", "has a tag that is not valid",
            "must have (sha256:|an absolute path)",
        )
    )
)  # fmt: skip


@dataclass
class World:
    """A running API, an account, and one of everything that has an id."""

    base_url: str
    key: str
    ids: dict[str, Any]
    posted_upload_url: str
    runner: asyncio.Runner
    account: Account
    session: requests.Session = field(default_factory=requests.Session)
    tried: set[str] = field(default_factory=set)
    succeeded: set[str] = field(default_factory=set)

    def post(self, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self.key}"}
        answer = self.session.post(f"{self.base_url}/api/v1{path}", json=body or {}, headers=headers)
        assert answer.ok, answer.text
        return answer.json()

    def prepared(self) -> dict[str, Any]:
        return self.post("/uploads/prepare", {"filename": "a.txt", "contentType": "text/plain"})

    def sent(self) -> str:
        """Create an upload whose bytes have arrived; returns its id."""
        prepared = self.prepared()
        answer = self.session.put(prepared["uploadUrl"], data=b"hello", headers=prepared["headers"])
        assert answer.ok, answer.text
        return prepared["uploadId"]

    def fresh(self, operation_id: str) -> dict[str, Any]:
        """Create anew what the operation uses up."""
        match operation_id:
            case "deleteFile":
                return {"fileId": self.post("/uploads/complete", {"uploadId": self.sent()})["id"]}
            case "revokeApiKey":
                return {"keyId": self.post("/api-keys", {"name": "spare"})["id"]}
            case "completeUpload":
                return {"uploadId": self.sent()}
            case "dispatchTask" | "createConversation":
                self.post(
                    f"/agents/{self.ids['agentId']}/unarchive"
                )  # another route's test may have archived it
                return {}
            case "sendMessage" | "handOffConversation":
                return {"taskId": self.post(f"/agents/{AGENT}/conversations", {"message": "x"})["task"]["id"]}
            case "listMessages" | "listActivities" | "listConversationEvents" | "endConversation":
                return {"taskId": self.ids["conversation"]}
            case "cancelTask" | "steerTask":
                return {"taskId": self.post(f"/agents/{AGENT}/tasks", {"instructions": "x"})["id"]}
            case "wakeTask" | "showWakeLink" | "useWakeLink":
                task_id = self.post(f"/agents/{AGENT}/tasks", {"instructions": "x"})["id"]
                [token] = self.runner.run(self.account.hibernate(task_id, link_count=1))
                return {"taskId": task_id, "token": token}
            case "deleteProviderKey":
                headers = {"Authorization": f"Bearer {self.key}"}
                url = f"{self.base_url}/api/v1/provider-keys/openai"
                assert self.session.put(url, json={"apiKey": "x" * 20}, headers=headers).ok
                return {"provider": "openai"}
            case _:
                return {}


@pytest.fixture(scope="module")
def world(postgres_url: str, migrated_template: str) -> Iterator[World]:
    name = f"openapi_{secrets.token_hex(6)}"
    folder = Path(tempfile.mkdtemp(prefix="ac-oas-", dir="/tmp"))
    asyncio.run(
        execute(postgres_url, f"CREATE DATABASE {name} TEMPLATE {migrated_template} STRATEGY FILE_COPY")
    )
    url = url_of_database(postgres_url, name)
    try:
        with api_process(url, folder, secret_key=SECRET_KEY) as (base_url, _), asyncio.Runner() as runner:
            opening = db.pool(url)
            pool = runner.run(opening.__aenter__())
            new_world = runner.run(furnished(runner, pool, url, folder, base_url))
            yield new_world
            new_world.session.close()
            runner.run(opening.__aexit__(None, None, None))
            assert new_world.tried - new_world.succeeded == set()
    finally:
        asyncio.run(execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)"))
        shutil.rmtree(folder)


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def furnished(runner: asyncio.Runner, pool: db.Pool, url: str, folder: Path, base_url: str) -> World:
    configured = platform_settings.load(
        data_dir=folder, database_url=url, storage_url=f"file://{folder}/blobs", secret_key=SECRET_KEY,
        public_url=base_url, upload_method="post",
    )  # fmt: skip
    vault, blobs = Vault(SECRET_KEY), Blobs(f"file://{folder}/blobs")
    async with httpx.AsyncClient(base_url=base_url, trust_env=False) as http:
        # Otherwise the API would requeue the tasks whose runner the tests imitate.
        await runners.register(pool, "run_test", "eu", "nowhere", 1)
        await pool.execute("UPDATE runners SET heartbeat_at = now() + interval '1 day'")
        bed = Bed(configured, pool, vault, blobs, folder / "blobs", http)
        account: Account = await new_account(bed, credit_micro_usd=10**12)
        agent = (await account.post("/api/v1/agents", {"name": "Own", "basePrompt": "Be kind."})).json()
        task = await account.dispatch()
        file_id = await account.upload(filename="input.csv")
        [output_id] = await account.finish(task["id"], {"report.txt": b"ten bytes."})
        conversation = await account.awaiting_input(tools=[{"command": "ls"}])
        ended = await account.post(f"/api/v1/conversations/{conversation}/end")  # so that its stream ends too
        assert ended.status_code == 200, ended.text
        posted = await uploads.prepare(pool, configured, vault, blobs, account.id, "a", "text/plain", None)
        other = (
            await account.post("/api/v1/uploads/prepare", {"filename": "a", "contentType": "text/plain"})
        ).json()
    ids = {
        "agentId": agent["id"], "versionId": agent["currentVersion"]["id"], "taskId": task["id"], "fileId": output_id,
        "keyId": "key_00000000000000000000", "uploadId": other["uploadId"], "provider": "openai", "input": file_id,
        "uploadUrl": other["uploadUrl"], "conversation": conversation,
    }  # fmt: skip
    return World(base_url, account.key, ids, posted.url, runner, account)


def with_real_ids(body: Any, ids: dict[str, Any]) -> Any:
    """The body with ids of existing resources, where it contains ids."""
    if not isinstance(body, dict):
        return body
    real = dict(body)
    for name, value in body.items():
        if value is None:
            continue
        if name in ("versionId", "uploadId"):
            real[name] = ids[name]
        elif name == "storageId":
            real[name] = None  # this installation takes uploads with PUT
        elif name in ("inputFileIds", "referenceFileIds", "skills"):
            real[name] = [ids["input"]] * min(len(value), 1)
        elif name == "inputFiles":
            real[name] = [entry | {"fileId": ids["input"]} for entry in value[:1]]
        elif name == "inputRepositories":
            real[name] = [entry | {"url": "https://example.org/a.git"} for entry in value]
    return real


def furnish(case: Case, world: World) -> None:
    """Replace the ids in a case that the document allows by those of existing resources."""
    operation_id = case.operation.definition.raw["operationId"]
    ids = world.ids | world.fresh(operation_id)
    case.path_parameters = {name: ids[name] for name in case.path_parameters or {}}
    if operation_id in ("receiveUpload", "receivePostedUpload"):
        url = urlsplit(ids["uploadUrl"] if operation_id == "receiveUpload" else world.posted_upload_url)
        case.path_parameters = {"uploadId": url.path.rpartition("/")[2]}
        case.query = dict(parse_qsl(url.query))
        case.headers = {"Content-Type": "text/plain"}
        case.media_type = "text/plain"
        case.body = b"hello"
        return
    if "taskId" in (case.query or {}):
        case.query = (case.query or {}) | {"taskId": ids["taskId"]}
    case.query = {
        name: value for name, value in (case.query or {}).items() if name not in ("cursor", "apiKey")
    }
    if isinstance(case.body, dict):
        case.body = with_real_ids(case.body, ids)
        if operation_id in ("createAgent", "changeAgent") and case.body.get("name"):
            case.body["name"] = f"Agent {next(NUMBERS)}"
    for name in ("Idempotency-Key", "If-None-Match", "Range", "Last-Event-ID"):
        if name in (case.headers or {}) and operation_id != "downloadFile":
            case.headers.pop(name)


def is_positive_accepted(context: CheckContext, response: Response, case: Case) -> None:
    """What the document allows is accepted, except for rules that JSON Schema cannot express."""
    if response.status_code == 400:
        faults = response.json()["error"].get("details", [])
        unknown = [fault for fault in faults if not UNSAYABLE.search(fault["message"])]
        assert faults, "refused without a reason"
        assert not unknown, f"the document allows this: {unknown}"


def answered(case: Case, world: World) -> None:
    is_allowed = case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE
    if is_allowed:
        furnish(case, world)
    headers = {"Authorization": f"Bearer {world.key}"}
    operation_id = case.operation.definition.raw["operationId"]
    if operation_id == "useWakeLink":
        headers["Accept"] = "application/json"  # otherwise a form gets an HTML page
    response = case.call(base_url=world.base_url, session=world.session, headers=headers)
    world.tried.add(operation_id)
    if response.status_code < 300:
        world.succeeded.add(operation_id)
    rules = [is_positive_accepted] if is_allowed else []
    sent = {name for name, _ in parse_qsl(urlsplit(response.request.url).query, keep_blank_values=True)}
    # Encoding the request may have removed what was wrong with it.
    excluded = [] if sent >= set(case.query or {}) else NOT_SENT
    case.validate_response(response, checks=[*CHECKED, *rules], excluded_checks=excluded)


def check_operation(operation: APIOperation, world: World, hypothesis_settings: settings) -> None:
    """Generate the requests of one operation, send them and check the responses.

    They are generated here, not by `SCHEMA.parametrize`, which does it when tests are collected: that takes many
    seconds, and every worker of pytest-xdist collects all tests.
    """
    send = build_operation_test(
        config=operation.schema.config,
        operation=operation,
        test_func=answered,
        given_kwargs={},
        feedback=FeedbackSources(),
        explicit_settings=hypothesis_settings,
    )
    send(world=world)


@pytest.mark.parametrize("label", LABELS)
def test_each_route_answers_an_allowed_request_as_documented(label: str, world: World) -> None:
    check_operation(ALLOWED_OPERATIONS[label], world, SHORT)


@pytest.mark.long
@pytest.mark.parametrize("label", LABELS)
def test_each_route_answers_any_request_as_documented(label: str, world: World) -> None:
    check_operation(OPERATIONS[label], world, LONG)


def test_the_document_is_valid_openapi(world: World) -> None:
    answer = httpx.get(f"{world.base_url}/api/v1/openapi.yaml", trust_env=False)
    served = yaml.safe_load(answer.text)
    assert served | {"servers": []} == DOCUMENT | {"servers": []}
    OpenAPIV31SpecValidator(served).validate()
