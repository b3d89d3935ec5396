"""Parses the body and query of a request strictly, before FastAPI validates them with the models of the route."""

import asyncio
from collections.abc import Collection
from typing import Any
from urllib.parse import parse_qsl

from fastapi import Request

from agentcontainer.api.http import strict_json
from agentcontainer.api.http.strict_json import printable_key, text_fault
from agentcontainer.api.wire import Incoming
from agentcontainer.api_url import url_of_request
from agentcontainer.errors import PayloadTooLarge, UnsupportedMediaType, ValidationError
from agentcontainer.settings import Settings

MAX_QUERY_BYTES = 8192
MAX_BYTES_PARSED_IN_LOOP = 64 * 1024  # a thread parses larger bodies, so that other requests are not delayed


def base_url(request: Request, settings: Settings) -> str:
    """What links begin with that the client of this request follows: `public_url`, else where it reached the API."""
    return settings.public_url or url_of_request(request.headers.get("host", "")) or settings.api_url


class StrictRequest(Request):
    """FastAPI takes the body from `body` and `json`, which return what `read_json` has accepted."""

    _content = b""
    _document: Any = None

    async def read(self, max_bytes: int) -> bytes:
        """Read the body.

        Raises:
            PayloadTooLarge: it has more than `max_bytes`.
        """
        too_large = PayloadTooLarge(f"The body of this request may have at most {max_bytes} bytes.")
        announced = self.headers.get("content-length", "")
        if announced.isdecimal() and (len(announced) > 18 or int(announced) > max_bytes):
            raise too_large
        content = bytearray()
        async for chunk in self.stream():
            content += chunk
            if len(content) > max_bytes:
                raise too_large
        self._content = bytes(content)
        return self._content

    async def read_json(self, max_bytes: int, *, is_required: bool = True) -> None:
        """Read the body as a JSON object.

        Raises:
            PayloadTooLarge: it has more than `max_bytes`.
            UnsupportedMediaType: it is not declared as JSON, or is compressed.
            ValidationError: it is not a JSON object, or holds what `strict_json` refuses.
        """
        if is_required:
            self._check_content_type()
        content = await self.read(max_bytes)
        if not content and not is_required:
            return
        self._check_content_type()
        if len(content) <= MAX_BYTES_PARSED_IN_LOOP:
            self._document = strict_json.parse(content)
        else:
            self._document = await asyncio.to_thread(strict_json.parse, content)
        if not isinstance(self._document, dict):
            raise ValidationError.at("body", "must be an object")

    async def body(self) -> bytes:
        return self._content

    async def json(self) -> Any:
        return self._document

    def _check_content_type(self) -> None:
        kind, _, parameters = self.headers.get("content-type", "").partition(";")
        charset = parameters.replace(" ", "").replace('"', "").lower()
        if kind.strip().lower() != "application/json" or charset not in ("", "charset=utf-8"):
            raise UnsupportedMediaType("Send the body as JSON, with `Content-Type: application/json`.")
        if self.headers.get("content-encoding", "identity") != "identity":
            raise UnsupportedMediaType("Send the body uncompressed, without a Content-Encoding.")


def query_of(request: Request, repeatable: Collection[str] = ()) -> dict[str, str]:
    """The query parameters by name; of a `repeatable` one that occurs several times, the last.

    Raises:
        ValidationError: they cannot be decoded, or another name occurs twice.
    """
    query_string: bytes = request.scope["query_string"]
    if len(query_string) > MAX_QUERY_BYTES:
        raise ValidationError.at("query", f"must have at most {MAX_QUERY_BYTES} bytes")
    return parse_form(query_string, "query", repeatable)


def parse_form(encoded: bytes, field: str, repeatable: Collection[str] = ()) -> dict[str, str]:
    """`name=value&…` by name. `field` is named in the error when nothing can be decoded.

    Raises:
        ValidationError: it cannot be decoded, or a name occurs twice.
    """
    try:
        pairs = parse_qsl(encoded.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise ValidationError.at(field, "must be percent-encoded UTF-8") from None
    values: dict[str, str] = {}
    for name, value in pairs:
        if fault := text_fault(name) or text_fault(value):
            raise ValidationError.at(printable_key(name), fault)
        if name in values and name not in repeatable:
            raise ValidationError.at(printable_key(name), "is given twice")
        values[name] = value
    return values


class NoFields(Incoming):
    """An empty object. The body may also be left out."""


NO_FIELDS = NoFields()
