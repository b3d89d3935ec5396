"""The requests that schemathesis makes from the OpenAPI document, and the checks of their responses."""

import itertools
import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case, CheckContext, GenerationMode, Response
from schemathesis.checks import CHECKS
from schemathesis.generation.feedback import FeedbackSources
from schemathesis.pytest._test_builder import build_operation_test
from schemathesis.schemas import APIOperation, BaseSchema

from agentcontainer_client import events, models
from agentcontainer_client._events import decode
from tests.contract.openapi_world import WEBHOOK_URL, World
from tests.openapi_document import openapi_document

SCHEMA = schemathesis.openapi.from_dict(openapi_document())
ALLOWED_ONLY = schemathesis.openapi.from_dict(openapi_document())
ALLOWED_ONLY.config.generation.update(modes=[GenerationMode.POSITIVE])
HEALTH = list(HealthCheck)
SHORT = settings(max_examples=5, deadline=None, derandomize=True, database=None, suppress_health_check=HEALTH)
LONG = settings(max_examples=500, deadline=None, database=None, suppress_health_check=HEALTH)
NUMBERS = itertools.count(1)


def operations_of(schema: BaseSchema) -> dict[str, APIOperation]:
    return {result.ok().label: result.ok() for result in schema.get_all_operations()}


ALLOWED_OPERATIONS = operations_of(ALLOWED_ONLY)
OPERATIONS = operations_of(SCHEMA)
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
            "must hold apiKey or code",
            "must say what to change", "must not give a name twice", "at most 6 decimals", "at most [0-9]+ bytes",
            "is too little for two model requests", "looks like a short commit id",
            "must be below maxRuntimeSeconds", "is needed: the model", "is a model of", "the only model of",
            "the name of an endpoint that was stored",
            "cannot be enforced",
            "cannot be model when a title is given", "cannot be given (together )?with", "not a JSON Schema",
            "is not offered by this installation", "is sent over https:// only", "must be the name of a branch",
            "must not hold control characters", "must be a file name",
            "must be a name, not a path", "must be a time such as", "is not a cursor",
            "must not hold NUL", "must be a number within 64 bits", "must not nest deeper", "more than [0-9]+ values",
            "must not be below fromTurn", "the log of this task ends at", "the feed ends at",
            "must not have more than [0-9]+ fields",
            "must be a host name", "must have a port from 1 to", "cannot have a . before an address",
            "narrows internet access",
            "must be the name of an image", "names (the registry|no folder|no file)", "has a tag that is not valid",
            "must have a letter or digit", "is required, here or in common",
            "must have (sha256:|an absolute path)",
            "must be whsec_", "is for new tasks only",
            "must have at most 2 different values", "must hold day, agent", "is not counted: add the key",
            "must not be after `to`", "days before `to`", "must be a day such as", "must not hold a key twice",
            "which is used", "must not hold a comma",
        )
    )
)  # fmt: skip


# What the pages and lists of these names contain.
RENAMED = {"Ledger": "LedgerEntry", "Feed": "FeedEntry"}


def with_real_ids(body: Any, ids: dict[str, Any]) -> Any:
    """The body with ids of existing resources, where it contains ids."""
    if not isinstance(body, dict):
        return body
    real = dict(body)
    for name, value in body.items():
        if value is None:
            continue
        if name in ("versionId", "uploadId", "deviceCode"):
            real[name] = ids[name]
        elif name == "storageId":
            real[name] = None  # this installation takes uploads with PUT
        elif name in ("inputFileIds", "referenceFileIds", "skills"):
            real[name] = [ids["input"]] * min(len(value), 1)
        elif name == "agentIds":
            real[name] = [ids["agentId"]]
        elif name == "expiresAt":  # the document cannot say that it is in the future
            real[name] = "2031-01-01T00:00:00Z"
        elif name == "inputFiles":
            real[name] = [entry | {"fileId": ids["input"]} for entry in value[:1]]
        elif name == "tasks":  # of a batch
            real[name] = [with_real_ids(task, ids) for task in value]
        elif name == "secret":
            real[name] = None  # the document cannot say which strings are secrets
        elif name in ("url", "callbackUrl"):
            real[name] = WEBHOOK_URL
        elif name in ("common", "overrides"):
            real[name] = with_real_ids(value, ids)
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
    if operation_id == "dispatchTask":
        case.headers.pop("Idempotency-Key", None)
    for name in {"taskId", "batchId"} & set(case.query or {}):
        case.query = (case.query or {}) | {name: ids[name]}
    case.query = {
        name: value for name, value in (case.query or {}).items() if name not in ("cursor", "apiKey")
    }
    if isinstance(case.body, dict):
        case.body = with_real_ids(case.body, ids)
        if operation_id == "putProviderKey":  # for a provider of the platform a key is all
            case.body = {"apiKey": case.body.get("apiKey") or "x" * 20}
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
    media_types = response.headers.get("content-type") or [""]
    if response.status_code < 300 and media_types[0].startswith("application/json"):
        check_models(case.operation, response)


def check_models(operation: APIOperation, response: Response) -> None:
    """The client's models know every field of a response, and lose none."""
    schema = operation.definition.raw["responses"][str(response.status_code)]["content"]["application/json"][
        "schema"
    ]
    name = schema.get("$ref", "").rpartition("/")[2]
    content = response.json()
    for part in content["data"] if name.endswith("Page") else [content]:
        of_part = name.removesuffix("Page")
        if of_part == "Event":
            event = decode(part)
            assert not isinstance(event, events.Unknown)
            assert event.extra == {}
        elif (kind := getattr(models, RENAMED.get(of_part, of_part), None)) is not None:
            model = kind.from_wire(part)
            assert model.extra == {}, f"make docs: {kind.__name__} lacks {model.extra}"
            assert model.to_wire() == part


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
