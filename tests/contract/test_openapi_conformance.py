"""The API against its own OpenAPI document: schemathesis sends requests to a real `agentcontainer api` with data in it.

No response is a 5xx, has an undocumented status, or differs from its schema. Each route must also have succeeded once:
a route that only answers 404 would show nothing. Requests that the document forbids are sent in the long version only:
tests/integration/api/test_bad_input.py and test_bad_queries.py send wrong values in every run.
"""

from collections.abc import Iterator
from types import ModuleType

import httpx2
import pytest
import yaml
from openapi_spec_validator import OpenAPIV31SpecValidator

from agentcontainer.api.app import ROUTES
from tests.contract.openapi_world import World, running_world
from tests.openapi_document import openapi_document

SHOWN = [route for route in ROUTES if route.include_in_schema]  # all but HEAD
LABELS = sorted(f"{method} {route.path}" for route in SHOWN for method in route.methods or ())
pytestmark = pytest.mark.xdist_group("OpenAPI conformance")  # one API process for all


@pytest.fixture(scope="module")
def cases() -> ModuleType:
    """Imported when a test runs: schemathesis takes a second, and every worker of pytest-xdist collects all tests."""
    from tests.contract import openapi_cases

    return openapi_cases


@pytest.fixture(scope="module")
def world(postgres_url: str, migrated_template: str) -> Iterator[World]:
    with running_world(postgres_url, migrated_template) as world:
        yield world
        # Metrics have a token of their own, and a session is for what browsers send.
        unreachable = {"getMetrics", "logIn", "getSession", "logOut"}
        assert world.tried - world.succeeded <= unreachable


@pytest.mark.parametrize("label", LABELS)
def test_each_route_answers_an_allowed_request_as_documented(
    label: str, world: World, cases: ModuleType
) -> None:
    cases.check_operation(cases.ALLOWED_OPERATIONS[label], world, cases.SHORT)


@pytest.mark.long
@pytest.mark.parametrize("label", LABELS)
def test_each_route_answers_any_request_as_documented(label: str, world: World, cases: ModuleType) -> None:
    cases.check_operation(cases.OPERATIONS[label], world, cases.LONG)


def test_the_document_is_valid_openapi(world: World, cases: ModuleType) -> None:
    assert sorted(cases.OPERATIONS) == LABELS
    answer = httpx2.get(f"{world.base_url}/api/v1/openapi.yaml", trust_env=False, verify=False)
    served = yaml.safe_load(answer.text)
    assert served | {"servers": []} == openapi_document() | {"servers": []}
    OpenAPIV31SpecValidator(served).validate()
