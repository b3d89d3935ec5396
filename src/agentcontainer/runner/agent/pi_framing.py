"""Splits Pi's output into frames, which are lines, and skips those that are not used."""

from agentcontainer.runner.agent.pi_events import PiProtocolError

MAX_FRAME_BYTES = 16 * 1024**2  # an image that a tool read arrives in one frame

# Frames that repeat the content of others. They are skipped unparsed, because they are large: `agent_end` contains the
# whole run.
_SKIPPED = tuple(
    f'{{"type":"{name}"'.encode()
    for name in ("agent_end", "turn_end", "message_start", "tool_execution_update", "queue_update")
)


class FrameSplitter:
    """Collects bytes and returns the complete frames, split at LF only. An incomplete one has at most
    `MAX_FRAME_BYTES`."""

    def __init__(self) -> None:
        self._frame = bytearray()
        self._is_skipped = False

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that end within `data`.

        Raises:
            PiProtocolError: the incomplete frame is too long.
        """
        frames: list[bytes] = []
        *ends, beginning = data.split(b"\n")
        for end in ends:
            self._append(end)
            if self._frame:
                frames.append(bytes(self._frame))
            self._frame.clear()
            self._is_skipped = False
        self._append(beginning)
        return frames

    def _append(self, piece: bytes) -> None:
        if self._is_skipped:
            return
        self._frame += piece
        if self._frame.startswith(_SKIPPED):
            self._is_skipped = True
            self._frame.clear()
        elif len(self._frame) > MAX_FRAME_BYTES:
            raise PiProtocolError(f"Pi sent a frame of more than {MAX_FRAME_BYTES} bytes")
