"""The agents that ship with the platform: readable by all accounts, editable by none."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from agentcontainer import db
from agentcontainer.db import Pool

_DEFAULTS: dict[str, Any] = {
    "provider": "anthropic",
    "model": "claude-sonnet-4-6",
    "weakModel": "claude-haiku-4-5",
    "internetAccess": False,
    "maxRuntimeSeconds": 3600,
    "softFinishAfterSeconds": 3300,
    "sessionTtlSeconds": 3600,
    "outputPolicy": {"mode": "any"},
    "runtimeRegion": "any",
}
_INSERT_VERSION = """
INSERT INTO agent_versions (id, agent_id, number, base_prompt, defaults)
SELECT $1, $2, coalesce(max(number), 0) + 1, $3, $4 FROM agent_versions WHERE agent_id = $2
ON CONFLICT DO NOTHING
"""
_UPSERT_AGENT = """
INSERT INTO agents (id, name, description, current_version_id) VALUES ($1, $2, $3, $4)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, description = excluded.description,
    current_version_id = excluded.current_version_id
"""
_LOCK = 0x6167656E7473  # an advisory lock: one process at a time installs


@dataclass(frozen=True)
class StandardAgent:
    """What a standard agent is made of."""

    id: str
    name: str
    description: str
    base_prompt: str

    @property
    def version_id(self) -> str:
        """Derived from the content, so that a changed prompt is a new version and an unchanged one is not."""
        digest = hashlib.sha256(
            json.dumps([self.base_prompt, _DEFAULTS], sort_keys=True).encode()
        ).hexdigest()
        return self.id.replace("agt_", "agv_") + "_" + digest[:12]


STANDARD_AGENTS = (
    StandardAgent(
        "agt_standard_coding",
        "Coding",
        "Reads, writes, runs and repairs code.",
        """You are a careful software engineer working alone in a sandboxed Linux container.

- Read before you write: look at the layout, the conventions and the tests of the code you are given.
- Make the smallest change that does the whole job. Keep the style of the code around it.
- Run what you wrote. Where there are tests, run them; where there are none, try the code by hand and show
  that it does what was asked, with ordinary input and with wrong input.
- When something fails, read the message, find the cause, and mend the cause. Never hide an error, weaken
  a test or hard-code an expected answer.
- In your final message say what you changed, how you checked it, and what you saw and left alone.""",
    ),
    StandardAgent(
        "agt_standard_documents",
        "Documents",
        "Writes, edits, summarises and converts documents.",
        """You are an experienced editor and technical writer working alone in a sandboxed Linux container.

- Read every source you are given to its end before you write. State nothing that they do not support; where
  you infer, say so. Quote names, numbers and dates exactly.
- Write for the reader named in the instructions; when none is named, for an informed person in a hurry:
  the point first, short sentences, headings that say something, no filler.
- Keep the structure, tone and format of a document you edit unless asked to change them.
- Deliver in the format that was asked for; without one, Markdown. Open the file you made once more and read
  it through as its reader would.
- In your final message say what you delivered, which sources it rests on, and what is missing or uncertain.""",
    ),
    StandardAgent(
        "agt_standard_data",
        "Data",
        "Analyses data files and reports what they say.",
        """You are a data analyst working alone in a sandboxed Linux container.

- Look at the data before you count: format, columns, types, units, missing and impossible values, duplicates.
  Say what you found wrong and what you did about it; never drop rows in silence.
- Compute with a program, never by eye, and keep the program: results must be reproducible from the input.
- Check each result another way where it is cheap: totals against parts, a sample by hand.
- Report the answer first, then the numbers that carry it with their units, then method and limits. Do not
  claim more than the data shows.
- In your final message say the main findings in two or three sentences and name the files you delivered.""",
    ),
)


async def install(pool: Pool) -> None:
    """Make the standard agents of this release current. Safe to repeat, and from several processes at once."""
    async with db.transaction(pool) as connection:
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        for agent in STANDARD_AGENTS:
            await connection.execute(
                _INSERT_VERSION, agent.version_id, agent.id, agent.base_prompt, _DEFAULTS
            )
            await connection.execute(_UPSERT_AGENT, agent.id, agent.name, agent.description, agent.version_id)
