"""The agents that ship with the platform.

Every account can use them, none can change them.
"""

import hashlib
import json
from dataclasses import dataclass

from agentcontainer import db
from agentcontainer.db import Pool
from agentcontainer.domain.agents import store
from agentcontainer.domain.execution.model import AgentDefaults, OutputPolicy
from agentcontainer.domain.execution.store import defaults_to_json

_DEFAULTS = AgentDefaults(
    provider="anthropic",
    model="claude-sonnet-4-6",
    weak_model="claude-haiku-4-5",
    internet_access=False,
    max_runtime_seconds=3600,
    soft_finish_after_seconds=3300,
    session_ttl_seconds=3600,
    output_policy=OutputPolicy("any"),
    runtime_region="any",
)
_LOCK_ID = 0x6167656E7473  # of the advisory lock that lets one process at a time install


@dataclass(frozen=True)
class StandardAgent:
    """A standard agent as this release ships it."""

    id: str
    name: str
    description: str
    base_prompt: str

    @property
    def version_id(self) -> str:
        """An id with a hash of the content, so that a new version is installed exactly when the content has changed."""
        digest = hashlib.sha256(
            json.dumps([self.base_prompt, defaults_to_json(_DEFAULTS)], sort_keys=True).encode()
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
    """Install the standard agents of this release. Idempotent, and safe in several processes at once."""
    defaults = defaults_to_json(_DEFAULTS)
    async with db.transaction(pool) as connection:
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK_ID)
        for agent in STANDARD_AGENTS:
            await store.upsert_standard(
                connection,
                agent.id,
                agent.name,
                agent.description,
                agent.version_id,
                agent.base_prompt,
                defaults,
            )
