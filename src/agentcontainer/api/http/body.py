"""Request bodies, read and parsed in one place: capped, strict JSON, then the wire model."""

import asyncio
from typing import Annotated, Generic, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel

from agentcontainer.api.http import strict_json
from agentcontainer.api.http.errors import validated
from agentcontainer.api.wire import Incoming
from agentcontainer.errors import PayloadTooLarge, UnsupportedMediaType

DEFAULT_MAX_BYTES = 64 * 1024
MAX_BYTES_PARSED_AT_ONCE = 64 * 1024  # above, a thread parses: other requests go on meanwhile

M = TypeVar("M", bound=BaseModel)


class JsonBody(Generic[M]):
    """A dependency that yields the request's JSON body as `model`. With `is_optional` none at all will do.

    The OpenAPI document is generated from these attributes.
    """

    def __init__(
        self, model: type[M], *, max_bytes: int = DEFAULT_MAX_BYTES, is_optional: bool = False
    ) -> None:
        self.model = model
        self.max_bytes = max_bytes
        self.is_optional = is_optional

    async def __call__(self, request: Request) -> M:
        if not self.is_optional:
            _check_content_type(request)
        data = await self.read(request)
        if self.is_optional:
            if not data:
                return validated(self.model, {})
            _check_content_type(request)
        if len(data) <= MAX_BYTES_PARSED_AT_ONCE:
            return validated(self.model, strict_json.parse(data))
        return validated(self.model, await asyncio.to_thread(strict_json.parse, data))

    async def read(self, request: Request) -> bytes:
        """The raw body, which may be asked for more than once.

        Raises:
            PayloadTooLarge: it has more than `max_bytes`.
        """
        if not hasattr(request.state, "raw_body"):
            request.state.raw_body = await _read(request, self.max_bytes)
        return request.state.raw_body


def _check_content_type(request: Request) -> None:
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = parameters.replace(" ", "").replace('"', "").lower()
    if kind.strip().lower() != "application/json" or charset not in ("", "charset=utf-8"):
        raise UnsupportedMediaType("Send the body as JSON, with `Content-Type: application/json`.")
    if request.headers.get("content-encoding", "identity") != "identity":
        raise UnsupportedMediaType("Send the body as it is, without a Content-Encoding.")


async def _read(request: Request, max_bytes: int) -> bytes:
    too_large = PayloadTooLarge(f"The body of this request may have at most {max_bytes} bytes.")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and (len(announced) > 18 or int(announced) > max_bytes):
        raise too_large
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > max_bytes:
            raise too_large
    return bytes(data)


class NoFields(Incoming):
    """Nothing, or `{}`."""


NoBody = Annotated[NoFields, Depends(JsonBody(NoFields, is_optional=True))]
