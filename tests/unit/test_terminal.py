"""Output of the command line to streams with few characters, and to a reader that has gone."""

import os
import subprocess
import sys

import typer
from pydantic import BaseModel
from typer.testing import CliRunner

import agentcontainer
from agentcontainer.cli.error_lines import CommandGroup
from agentcontainer.cli.main import app

PROGRAM = """
import sys
from agentcontainer.cli.terminal import Terminal, allow_any_text
allow_any_text()
console = Terminal()
for number in range(2000):
    console.print(f"line {number} … 日本語 " + "x" * 100)
print("and plain", flush=True)
sys.stderr.write("done …\\n")
"""


def run(**environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_what_the_encoding_lacks_is_replaced() -> None:
    stdout, stderr = run(PYTHONIOENCODING="ascii").communicate(timeout=30)
    assert stdout.startswith(b"line 0 ? ??? xxx")
    assert stdout.endswith(b"and plain\n")
    assert stderr == b"done \\u2026\n"


def test_a_command_goes_on_when_the_reader_of_its_output_has_gone() -> None:
    process = run()
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read().decode() == "done …\n"
    process.stderr.close()
    assert process.wait(30) == 0


def test_a_list_that_is_not_read_to_its_end_ends_without_a_message() -> None:
    command = f"{sys.executable} -m agentcontainer.cli.main config --data-dir /tmp/ac-none | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=30)
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_the_version_is_printed() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.output) == (0, f"agentcontainer {agentcontainer.__version__}\n")


class Answer(BaseModel):
    """What a command might read from another program."""

    count: int


def test_pydantics_words_are_not_printed() -> None:
    broken = typer.Typer(cls=CommandGroup)

    @broken.command("read")
    def read() -> None:
        Answer.model_validate({"count": "many"})

    @broken.command("other")
    def other() -> None: ...

    done = CliRunner().invoke(broken, ["read"])
    assert (done.exit_code, done.stderr) == (1, "error: unexpected data: count must be a whole number\n")
