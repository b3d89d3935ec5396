"""Every failure of a command is one line on stderr and exit code 1, never a stack."""

import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from agentcontainer.errors import AgentContainerError
from agentcontainer.settings import ENV_PREFIX


class Sentences(TyperGroup):
    """A command group whose commands fail with a sentence."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except AgentContainerError as error:
            raise _exit(str(error)) from None
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except OSError as error:
            raise _exit(_of_os_error(error)) from None
        except Exception as error:
            if os.environ.get(f"{ENV_PREFIX}LOG_LEVEL") == "debug" or type(error).__module__.startswith(
                "typer."
            ):
                raise
            hint = f"set {ENV_PREFIX}LOG_LEVEL=debug to see where"
            raise _exit(f"unexpected {type(error).__name__}: {error} ({hint})") from None


def fail(sentence: str) -> None:
    """Say on stderr what went wrong."""
    sys.stderr.write(f"error: {' '.join(sentence.split())}\n")
    sys.stderr.flush()


def _exit(sentence: str) -> typer.Exit:
    fail(sentence)
    return typer.Exit(1)


def _of_os_error(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"
