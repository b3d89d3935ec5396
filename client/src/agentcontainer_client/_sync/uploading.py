"""Uploads in three steps: prepare, send the bytes to a signed URL, complete."""

# Written by scripts/render_sync.py from _async. Do not edit.

from collections.abc import Iterator, Sequence
from functools import partial

from agentcontainer_client import _retry, models
from agentcontainer_client._calls import Call, QuietURL, body_of, decoded, error_of, host_of, operation
from agentcontainer_client._sources import AnyFile, OnProgress, Reading, Source, source, stored_id
from agentcontainer_client._sync import concurrency
from agentcontainer_client._sync.transport import Transport, connection_errors, is_worth_retrying
from agentcontainer_client.errors import (
    AgentContainerError,
    ApiError,
    ChecksumMismatch,
    UnexpectedResponse,
)

AT_ONCE = 4


def ids_of(
    transport: Transport, files: Sequence[AnyFile], on_progress: OnProgress | None = None
) -> list[str]:
    """The ids of the files. Those that are not stored yet are uploaded, several at once.

    `on_progress` is called with the bytes of all files together.
    """
    ids = [stored_id(file) for file in files]
    sources = {
        number: source(file)  # pyright: ignore[reportArgumentType]  (stored files have an id)
        for number, file in enumerate(files)
        if ids[number] is None
    }
    total = sum(item.size for item in sources.values())
    sent = dict.fromkeys(sources, 0)

    def report(number: int, sent_of_file: int, _: int) -> None:
        sent[number] = sent_of_file
        if on_progress is not None:
            on_progress(sum(sent.values()), total)

    work = [partial(upload, transport, item, partial(report, number)) for number, item in sources.items()]
    stored = concurrency.in_parallel(work, AT_ONCE)
    for number, file in zip(sources, stored, strict=True):
        ids[number] = file.id
    return [str(id_) for id_ in ids]


@operation("prepareUpload", filename="source", contentType="source", sizeBytes="source")
def upload(transport: Transport, source: Source, on_progress: OnProgress | None = None) -> models.File:
    """Upload a file and compare its checksum. A cut sends it again from the start, an expired URL is replaced.

    Raises:
        ChecksumMismatch: the server stored other bytes.
    """
    body = body_of(filename=source.filename, content_type=source.content_type, size_bytes=source.size)
    call = Call(method="POST", path="/uploads/prepare", body=body)
    try:
        prepared, storage_id, reading = _send(transport, call, source, on_progress)
    finally:
        source.close()
    return _complete(transport, prepared.upload_id, storage_id, reading)


def _send(
    transport: Transport, call: Call, source: Source, on_progress: OnProgress | None
) -> tuple[models.PreparedUpload, str | None, Reading]:
    retry = 0
    while True:
        prepared = transport.send(call, models.PreparedUpload.from_wire)
        reading = Reading(source, on_progress)
        try:
            return prepared, send_bytes(transport, prepared, source, reading), reading
        except AgentContainerError as error:
            is_expired = isinstance(error, ApiError) and error.status in {403, 404, 409, 410}
            if retry >= transport.options.max_retries or not (is_expired or is_worth_retrying(error)):
                raise
        concurrency.sleep(_retry.pause(retry, None, transport.options.backoff))
        retry += 1


@operation("completeUpload")
def _complete(transport: Transport, upload_id: str, storage_id: str | None, reading: Reading) -> models.File:
    body = body_of(upload_id=upload_id, storage_id=storage_id)
    file = transport.send(Call(method="POST", path="/uploads/complete", body=body), models.File.from_wire)
    if file.sha256 and file.sha256 != reading.sha256:
        raise ChecksumMismatch(f"{file.filename} changed while it was uploaded, or was damaged on the way.")
    return file


@operation(
    "receiveUpload", "receivePostedUpload", uploadId="prepared", expires="prepared", signature="prepared"
)
def send_bytes(
    transport: Transport, prepared: models.PreparedUpload, source: Source, reading: Reading
) -> str | None:
    """Send the bytes to the signed URL, once. Returns the id that a store gives which takes POST.

    Raises:
        ConnectionFailed: the connection broke.
        ApiError: the store refused them.
    """
    http = transport.connections.others
    request = http.build_request(
        prepared.method,
        prepared.upload_url,
        headers={**prepared.headers, "Content-Length": str(source.size)},
        content=_chunks(reading),
        timeout=transport.timeouts(transport.options.timeout),
    )
    request.url = QuietURL(request.url)
    with connection_errors(host_of(request.url)):
        response = http.send(request)
    if not response.is_success:
        raise error_of(response)
    if prepared.method.upper() != "POST":
        return None
    try:
        return decoded(response, models.StorageReceipt.from_wire).storage_id
    except UnexpectedResponse:
        return None


def _chunks(reading: Reading) -> Iterator[bytes]:
    for chunk in reading:
        yield chunk
