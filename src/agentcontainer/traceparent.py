"""The W3C header `traceparent`: the trace and span of the program that sent a request."""

import re
from dataclasses import dataclass

HEADER = "traceparent"
_VERSION_0 = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_LATER = re.compile(r"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.{0,200})?")


@dataclass(frozen=True)
class TraceParent:
    """A span of another program. `flags`: bit 0 says that its trace is sampled."""

    trace_id: int
    span_id: int
    flags: int

    @classmethod
    def parse(cls, value: str) -> "TraceParent | None":
        """The span that the header names; None: the value is malformed, and W3C Trace Context has it ignored.

        Of versions later than 00, the part that version 00 has is read.
        """
        if value.startswith("00"):
            match = _VERSION_0.fullmatch(value)
            parts = match.groups() if match else None
        else:
            match = _LATER.fullmatch(value)
            parts = match.groups()[1:4] if match else None
        if parts is None:
            return None
        trace_id, span_id, flags = (int(part, 16) for part in parts)
        return cls(trace_id, span_id, flags & 1) if trace_id and span_id else None

    def __str__(self) -> str:
        """The header's value, in version 00."""
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{self.flags:02x}"
