"""The OpenAPI document as a client reads it."""

import json
from functools import cache
from typing import Any

import yaml

from agentcontainer.api.app import ROUTES
from agentcontainer.api.http import openapi
from tests import data_folder


@cache
def openapi_document() -> dict[str, Any]:
    """The document of all routes, made when it is first needed: every test process would pay for it at import."""
    return json.loads(data_folder.made_once("openapi.json", _made))


def _made() -> bytes:
    document = yaml.load(openapi.to_yaml(openapi.document(ROUTES, None)), Loader=yaml.CSafeLoader)
    return json.dumps(document).encode()
