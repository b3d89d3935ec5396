"""Nothing of a lab is left, even if the process that started it is killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from . import control_group, folders

HOSTS_ONLY = """
import time
from tests.lab.lab import Lab
lab = Lab()
lab.boot(*lab.hosts.values())
lab.hosts["r1"].start("sleep", "sleep", "1000", environment={})
print(lab.folder, lab.hosts["r1"].services["sleep"].pid, flush=True)
time.sleep(1000)
"""


def test_a_lab_whose_process_is_killed_leaves_nothing() -> None:
    interfaces, mounts = os.listdir("/sys/class/net"), Path("/proc/self/mounts").read_text()
    process = subprocess.Popen([sys.executable, "-c", HOSTS_ONLY], stdout=subprocess.PIPE)
    assert process.stdout is not None
    folder, pid = process.stdout.readline().decode().split()
    inside = psutil.Process(int(pid))
    assert control_group.named(f"{Path(folder).name}-")
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    inside.wait(10)
    folders.remove_leftovers()
    assert not Path(folder).exists()
    assert control_group.named(f"{Path(folder).name}-") == []
    assert (os.listdir("/sys/class/net"), Path("/proc/self/mounts").read_text()) == (interfaces, mounts)
    assert [child for child in psutil.process_iter() if folder in " ".join(_command(child))] == []


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
