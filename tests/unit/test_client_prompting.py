"""What a user types at the prompt of `chat`."""

import os
import subprocess
import sys

# The C function raises the signal where no Python code runs any more before the process waits for input.
INTERRUPTED_AT_THE_PROMPT = """
import ctypes, functools, readline, signal
from agentcontainer_client.cli import prompting

signal.signal(signal.SIGINT, signal.default_int_handler)
readline.set_pre_input_hook(functools.partial(ctypes.PyDLL(None)["raise"], int(signal.SIGINT)))
try:
    prompting.read_message()
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_at_the_moment_the_prompt_appears_is_not_lost() -> None:
    terminal, end = os.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", INTERRUPTED_AT_THE_PROMPT], stdin=end, stdout=end, stderr=end
        )
        try:
            assert process.wait(timeout=20) == 0
        finally:
            process.kill()
            process.wait()
        assert os.read(terminal, 4096).decode().endswith("interrupted\r\n")
    finally:
        os.close(end)
        os.close(terminal)
