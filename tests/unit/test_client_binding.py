"""The client binds every operation, parameter, body field and event type of the API, and is rendered afresh."""

import importlib
import inspect
import pkgutil
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_type_hints

import pytest

import agentcontainer_client
import agentcontainer_client._async as async_package
import agentcontainer_client._sync as sync_package
from agentcontainer import __version__
from agentcontainer.domain.tasks.events import EVENT_TYPES
from agentcontainer_client import _events, events, models
from agentcontainer_client._wire import Model
from scripts import render_client, render_sync
from tests.openapi_document import openapi_document

ROOT = Path(__file__).parents[2]
# Operations without a method, each with the reason.
LEFT_OUT: dict[str, str] = dict.fromkeys(
    ("logIn", "getSession", "logOut"), "for browsers: it is about their cookie"
) | {"showPreview": "for browsers: a client downloads the file"}
# Parameters and body fields that no argument stands for, each with the reason.
FIELDS_LEFT_OUT = {"traceparent": "the transport adds it, from the current span of the program"}

METHODS = {"get", "post", "put", "patch", "delete"}


def bound(package: Any) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The operations that the methods and functions of the package are bound to."""
    for module_info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{module_info.name}")
        owners = [module] + [value for value in vars(module).values() if inspect.isclass(value)]
        for owner in owners:
            if owner is not module and owner.__module__ != module.__name__:
                continue
            for value in vars(owner).values():
                if getattr(value, "__module__", None) == module.__name__:
                    for operation in vars(value).get("__operations__", ()) if callable(value) else ():
                        yield operation, value


def operations() -> dict[str, dict[str, Any]]:
    paths = openapi_document()["paths"].values()
    return {
        operation["operationId"]: operation
        for item in paths
        for method, operation in item.items()
        if method in METHODS
    }


@pytest.mark.parametrize("package", [async_package, sync_package])
def test_every_operation_is_bound_to_one_method(package: Any) -> None:
    names = [name for name, _ in bound(package)]
    assert sorted(names) == sorted(operations().keys() - LEFT_OUT.keys())


def arguments_of(method: Callable[..., Any]) -> set[str]:
    names: set[str] = set()
    for name, parameter in inspect.signature(method).parameters.items():
        names.add(name)
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            (options,) = parameter.annotation.__args__  # Unpack[…]
            names |= set(get_type_hints(options))
    return names | {f"{name}()" for name in siblings(method)}


def siblings(method: Callable[..., Any]) -> set[str]:
    """The names of the other methods of its class."""
    owner, _, _ = method.__qualname__.rpartition(".")
    return set(vars(vars(importlib.import_module(method.__module__))[owner])) if owner else set()


# Every operation is bound, as the test above says. To make the document here would slow down every test process.
@pytest.mark.parametrize("name", sorted(name for name, _ in bound(sync_package)))
def test_every_parameter_and_body_field_has_an_argument(name: str) -> None:
    method = dict(bound(sync_package))[name]
    operation = operations()[name]
    wanted = {
        parameter["name"]
        for parameter in operation.get("parameters", ())
        if parameter["name"] != "Idempotency-Key"
    }
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    if "$ref" in content.get("schema", {}):
        schema = openapi_document()["components"]["schemas"][content["schema"]["$ref"].split("/")[-1]]
        wanted |= set(schema["properties"])
    renamed: dict[str, str] = vars(method)["__fields__"]
    arguments = arguments_of(method)
    missing = {
        field for field in wanted if renamed.get(field, render_client.snake(field)) not in arguments
    } - FIELDS_LEFT_OUT.keys()
    assert missing == set(), f"{name} takes no argument for them"


def test_every_override_has_an_argument() -> None:
    """`overrides={…}` takes all; what people set has an argument of its own."""
    overrides = set(openapi_document()["components"]["schemas"]["Overrides"]["properties"])
    assert overrides - set(get_type_hints(agentcontainer_client.inputs.Overrides)) == set()


def test_posts_take_an_idempotency_key_of_the_caller() -> None:
    for name, operation in operations().items():
        if name in LEFT_OUT:
            continue
        keys = [parameter["name"] for parameter in operation.get("parameters", ())]
        method = dict(bound(sync_package))[name]
        if "Idempotency-Key" in keys and name not in {"prepareUpload", "completeUpload"}:
            assert "idempotency_key" in arguments_of(method), name


def test_every_event_type_has_a_class() -> None:
    assert events is not None
    assert _events.known_types() == {*EVENT_TYPES, "message.delta"}


def test_every_response_schema_has_a_model() -> None:
    kinds = {
        name for name, value in vars(models).items() if inspect.isclass(value) and issubclass(value, Model)
    }
    kinds |= {name for name, value in vars(events).items() if inspect.isclass(value)}
    wrapped = {"TaskAndMessage", "Error", "ErrorContent", "TaskSummary"}  # decoded as what they contain
    for operation in operations().values():
        for status, response in operation["responses"].items():
            schema = (
                response.get("content", {}).get("application/json", {}).get("schema", {})
                if status < "4"
                else {}
            )
            name = schema.get("$ref", "").rpartition("/")[2]
            assert not name or name in kinds | wrapped or name.endswith("Page"), name


@pytest.mark.parametrize("path", [*render_client.files(openapi_document())], ids=lambda path: path.name)
def test_models_are_those_of_the_document(path: Path) -> None:
    assert path.read_text() == render_client.files(openapi_document())[path], "run: make docs"


def test_the_sync_client_is_that_of_the_async_client() -> None:
    rendered = render_sync.files()
    assert {path: path.read_text() for path in rendered} == rendered, "run: make docs"
    unknown = (
        {path.name for path in sync_package_files()} - {path.name for path in rendered} - render_sync.OWN
    )
    assert unknown == set()


def sync_package_files() -> list[Path]:
    return list((render_sync.PACKAGE / "_sync").glob("*.py"))


def test_client_and_server_have_one_version() -> None:
    assert agentcontainer_client.__version__ == __version__
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"agentcontainer-client[cli]=={project['version']}" in project["dependencies"]


def test_all_is_the_surface() -> None:
    for name in agentcontainer_client.__all__:
        assert getattr(agentcontainer_client, name) is not None
    assert sorted(set(agentcontainer_client.__all__)) == sorted(agentcontainer_client.__all__)


def test_the_client_imports_nothing_of_the_server_and_nothing_that_only_posix_has() -> None:
    only_posix = {"agentcontainer", "fcntl", "grp", "pty", "pwd", "resource", "termios", "tty"}
    for path in render_sync.PACKAGE.rglob("*.py"):
        imported = {
            line.split()[1].split(".")[0]
            for line in path.read_text().splitlines()
            if line.strip().startswith(("import ", "from "))
        }
        assert imported.isdisjoint(only_posix), path
