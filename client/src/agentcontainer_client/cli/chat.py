"""`chat`: a conversation in the terminal."""

import contextlib
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from agentcontainer_client import Conversation, errors
from agentcontainer_client.cli import exits, text
from agentcontainer_client.cli.following import Follower, finish
from agentcontainer_client.cli.run import IsQuiet, Model, chosen_agent
from agentcontainer_client.cli.state import State, leave, state_of
from agentcontainer_client.cli.view import View

HELP = """/file PATH  sends a file with the next message
/model NAME  changes the model
/handoff [TEXT]  lets the agent go on alone
/end  closes the conversation
/quit  leaves it open"""


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("chat")(chat)


def chat(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[AGENT|ID] [FILE…]", help="Agent, or a conversation.")
    ] = None,
    resumed: Annotated[
        str | None, typer.Option("--resume", metavar="ID", help="Go on with this one.")
    ] = None,
    is_last: Annotated[bool, typer.Option("--continue", "-c", help="Go on with the last one.")] = False,
    model: Model = None,
    is_quiet: IsQuiet = False,
) -> None:
    """Talk with an agent, turn by turn.

    Ctrl-C stops the agent's turn; at the prompt it leaves the conversation, which waits for you. /help lists commands.
    """
    state = state_of(ctx)
    state.is_quiet = is_quiet
    names = list(words or ())
    if names and names[0].startswith("tsk_"):
        resumed = names.pop(0)
    agent = names.pop(0) if names and names[0].startswith("agt_") else None
    conversation = None
    if is_last:
        newest = state.client.tasks.list(mode="conversation", limit=1, fields="summary").first()
        if newest is None:
            raise errors.ConfigurationError("There is no conversation yet.")
        resumed = newest.id
    if resumed is not None:
        conversation = state.client.conversations.get(state.task_id(resumed))
    _Chat(state, chosen_agent(state, agent), [Path(name) for name in names], model, conversation).run()


class _Chat:
    """The loop of one conversation."""

    def __init__(
        self,
        state: State,
        agent: str,
        files: list[Path],
        model: str | None,
        conversation: Conversation | None,
    ) -> None:
        self._state = state
        self._agent = agent
        self._files = files
        self._model = model
        self._conversation = conversation

    def run(self) -> None:
        while True:
            line = ""
            try:
                line = self._read()
            except (KeyboardInterrupt, EOFError):
                self._leave()
            if not line.strip():
                continue
            if line.startswith("/"):
                name, _, argument = line[1:].strip().partition(" ")
                self._command(name, argument)
                continue
            try:
                self._send(line)
            except errors.TurnFailed as failure:
                self._state.err.print(text.harmless(f"The turn failed: {failure}"), style="red")
            except errors.TaskEnded as ended:
                self._state.err.print(text.harmless(str(ended)))
                leave(exits.of_task(ended.task))

    def _read(self) -> str:
        if not sys.stdin.isatty():
            line = sys.stdin.readline()
            if not line:
                raise EOFError
            return line.rstrip("\n")
        sys.stderr.write("> ")
        sys.stderr.flush()
        return input()

    def _send(self, content: str) -> None:
        files, self._files = self._files, []
        model, self._model = self._model, None
        if self._conversation is None:
            self._conversation = self._state.client.conversations.create(
                content, agent=self._agent, files=files, model=model
            )
        else:
            self._conversation = self._conversation.send(content, files=files, model=model)
        view = View(self._state, self._conversation.id)
        try:
            with view.shown():
                reply = self._conversation.reply(on_event=view.show)
        except KeyboardInterrupt:
            with contextlib.suppress(errors.Conflict):  # the turn has just ended
                self._conversation.interrupt()
            reply = self._conversation.reply(timeout=60)
        self._state.result(reply.content if reply.content.endswith("\n") else f"{reply.content}\n")
        for file in reply.files:
            self._state.say(f"shared {file.filename}: agentcontainer download {file.id}")

    def _command(self, name: str, argument: str) -> None:
        argument = argument.strip()
        if name == "quit":
            self._leave()
        elif name == "file" and argument:
            self._files.append(Path(argument).expanduser())
            self._state.err.print(f"{text.one_line(argument)} goes with the next message")
        elif name == "model" and argument:
            self._model = argument
        elif name == "end" and self._conversation is not None:
            self._conversation.end()
            leave(exits.OK)
        elif name == "handoff" and self._conversation is not None:
            handed = self._conversation.handoff(argument or None)
            ended = Follower(
                self._state, handed.task, after=handed.message.sequence if handed.message else 0
            ).run()
            finish(self._state, ended, folder=None, is_json=False)
        else:
            self._state.err.print(HELP)

    def _leave(self) -> NoReturn:
        if self._conversation is not None:
            ttl = self._conversation.task.session_ttl_seconds
            waiting = f" for {text.seconds_text(ttl)}" if ttl else ""
            self._state.err.print(
                f"The conversation waits{waiting}: agentcontainer chat --resume {self._conversation.id}"
            )
        leave(exits.OK)
