"""`chat`: a conversation in the terminal."""

import contextlib
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from agentcontainer_client import Conversation, errors, models
from agentcontainer_client.cli import exits, failures, prompting, text
from agentcontainer_client.cli.following import Follower, finish
from agentcontainer_client.cli.run import IsQuiet, Model, chosen_agent
from agentcontainer_client.cli.state import State, leave, state_of
from agentcontainer_client.cli.view import View

HELP = """/file PATH  sends a file with the next message
/model NAME  changes the model
/handoff [TEXT]  lets the agent go on alone
/end  closes the conversation
/quit  leaves it open
A line that ends with \\ goes on in the next one. Text of several lines can be pasted."""


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
    if names and (names[0].startswith("tsk_") or names[0] == "@last"):
        resumed = names.pop(0)
    agent = names.pop(0) if names and not Path(names[0]).expanduser().exists() else None
    files = [_existing(name) for name in names]
    conversation = None
    if is_last or resumed == "@last":
        newest = state.client.tasks.list(mode="conversation", limit=1, fields="summary").first()
        if newest is None:
            raise errors.ConfigurationError("There is no conversation yet.")
        resumed = newest.id
    if resumed is not None:
        conversation = state.client.conversations.get(state.task_id(resumed))
    _Chat(state, _agent(state, agent), files, model, conversation).run()


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
            try:
                self._answer(prompting.read_message())
            except (KeyboardInterrupt, EOFError):
                self._leave()

    def _answer(self, content: str) -> None:
        """Do what the user wrote."""
        if not content.strip():
            return
        try:
            if content.startswith("/") and "\n" not in content:
                name, _, argument = content[1:].strip().partition(" ")
                self._command(name, argument)
            else:
                self._send(content)
        except errors.TurnFailed as failure:
            self._state.err.print(text.harmless(f"The turn failed: {failure}"), style="red")
        except errors.TaskEnded as ended:
            self._state.err.print(text.harmless(str(ended)))
            leave(exits.of_task(ended.task))
        except errors.AgentContainerError as error:
            self._report(error)

    def _send(self, content: str) -> None:
        try:
            self._begin_turn(content)
            reply = self._reply()
        except KeyboardInterrupt:
            self._state.err.print("Interrupted.")
            self._leave()
        self._state.result(reply.content if reply.content.endswith("\n") else f"{reply.content}\n")
        for file in reply.files:
            self._state.say(f"shared {file.filename}: agentcontainer download {file.id}", "green")

    def _begin_turn(self, content: str) -> None:
        if self._conversation is None:
            self._conversation = self._state.client.conversations.create(
                content, agent=self._agent, files=self._files, model=self._model
            )
        else:
            self._conversation = self._conversation.send(content, files=self._files, model=self._model)
        self._files = []
        self._model = None

    def _reply(self) -> models.Message:
        assert self._conversation is not None
        view = View(self._state, self._conversation.id, task_id=self._conversation.id, is_turn=True)
        try:
            with view.shown():
                return self._conversation.reply(on_event=view.show)
        except KeyboardInterrupt:
            with contextlib.suppress(errors.Conflict):  # the turn has just ended
                self._conversation.interrupt()
            return self._conversation.reply(timeout=60)

    def _command(self, name: str, argument: str) -> None:
        argument = argument.strip()
        if name == "quit":
            self._leave()
        elif name == "file" and argument:
            self._files.append(_existing(argument))
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

    def _report(self, error: errors.AgentContainerError) -> None:
        """Say what failed, and go on where somebody can correct it.

        Raises:
            AgentContainerError: nobody can.
        """
        if not prompting.is_interactive():
            raise error
        self._state.err.print(f"error: {failures.sentence(error)}", style="red")
        if isinstance(error, errors.Conflict) and self._conversation is not None:
            task = self._conversation.refresh().task
            if task.has_ended:
                leave(exits.of_task(task))

    def _leave(self) -> NoReturn:
        if self._conversation is not None:
            ttl = self._conversation.task.session_ttl_seconds
            waiting = f" for {text.seconds_text(ttl)}" if ttl else ""
            self._state.err.print(
                f"The conversation waits{waiting}: agentcontainer chat --resume {self._conversation.id}"
            )
        leave(exits.OK)


def _agent(state: State, name: str | None) -> str:
    _ = state.client  # a fault of the connection is none of the name
    if name is None:
        return chosen_agent(state, None)
    try:
        return state.agent_id(name)
    except errors.ConfigurationError as error:
        raise errors.ConfigurationError(f"{error} There is no such file either.") from None


def _existing(name: str) -> Path:
    """A file to send.

    Raises:
        ConfigurationError: there is none of this name.
    """
    path = Path(name).expanduser()
    if not path.is_file():
        raise errors.ConfigurationError(f"{name} is not a file.")
    return path
