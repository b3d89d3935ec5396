"""Checks events against the OpenAPI document, from which clients are generated."""

from functools import cache
from typing import Any

import jsonschema_rs

from tests.openapi_document import openapi_document


@cache
def _validator(event_type: str) -> Any:
    components = openapi_document()["components"]
    reference = components["schemas"]["Event"]["discriminator"]["mapping"][event_type]
    return jsonschema_rs.validator_for({"$ref": reference, "components": components}, validate_formats=True)


def check_event(event: dict[str, Any]) -> None:
    """Fail unless the event matches the schema of its type."""
    faults = [error.message for error in _validator(event["type"]).iter_errors(event)]
    assert not faults, (event, faults)
