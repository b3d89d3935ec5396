"""What a user types at a prompt."""

import os
import subprocess
import sys

import pytest

# The C function raises the signal where no Python code runs any more before the process waits for input.
INTERRUPTED_AT_THE_PROMPT = """
import ctypes, functools, readline, signal
import typer
from agentcontainer_client.cli import prompting

signal.signal(signal.SIGINT, signal.default_int_handler)
readline.set_pre_input_hook(functools.partial(ctypes.PyDLL(None)["raise"], int(signal.SIGINT)))
try:
    {question}
except (KeyboardInterrupt, typer.Abort):
    print("interrupted")
"""


@pytest.mark.parametrize("question", ["prompting.read_message()", "prompting.is_confirmed('Delete it?')"])
def test_ctrl_c_at_the_moment_the_prompt_appears_is_not_lost(question: str) -> None:
    terminal, end = os.openpty()
    try:
        program = INTERRUPTED_AT_THE_PROMPT.format(question=question)
        process = subprocess.Popen([sys.executable, "-c", program], stdin=end, stdout=end, stderr=end)
        try:
            assert process.wait(timeout=20) == 0
        finally:
            process.kill()
            process.wait()
        assert os.read(terminal, 4096).decode().endswith("interrupted\r\n")
    finally:
        os.close(end)
        os.close(terminal)
