"""`python -m tests.fuzz SECONDS [TARGET…]`: fuzz each target for its share of the time.

Guided by coverage where atheris is installed, else by chance. Exit code 1: a target failed; the input is printed:
add it to REGRESSIONS.
"""

import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

TARGET = "AGENTCONTAINER_FUZZ_TARGET"
MAX_INPUT_BYTES = 4096
INPUT_SECONDS = 30  # for one input, with a margin for a busy machine
MEMORY_MIB = 1024


def main(seconds: str, *names: str) -> int:
    """Each target in a process of its own: libFuzzer ends the one that it runs in."""
    from tests.fuzz.test_fuzz import TARGETS

    selected = names or tuple(TARGETS)
    if unknown := set(selected) - set(TARGETS):
        print(f"There is no target {unknown.pop()}; there are: {', '.join(TARGETS)}.")
        return 1
    is_guided = find_spec("atheris") is not None
    print("Guided by coverage." if is_guided else "Without atheris: by chance, not guided by coverage.")
    broken: list[str] = []
    for name in selected:
        share = max(1, int(seconds) // len(selected))
        print(f"== {name}, {share} s", flush=True)
        with tempfile.TemporaryDirectory(prefix="ac-fuzz-", dir="/tmp") as folder:
            command = [sys.executable, "-m", "tests.fuzz", str(share)]
            done = subprocess.run(
                command, env={**os.environ, TARGET: name, "FUZZ_FOLDER": folder}, check=False
            )
            if done.returncode != 0:
                broken.append(name)
                for crash in Path(folder).glob("*-*"):
                    print(f"== {name} is broken by {crash.read_bytes()!r}")
    print(f"Broken: {', '.join(broken)}." if broken else "Nothing broke.")
    return 1 if broken else 0


def guided(name: str, seconds: int, folder: Path) -> None:
    """One target, by libFuzzer; does not return."""
    import atheris

    with atheris.instrument_imports(include=["agentcontainer"]):
        from tests.fuzz.test_fuzz import TARGETS
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(TARGETS[name].seeds):
        (corpus / str(number)).write_bytes(seed)
    limits = f"-max_total_time={seconds}", f"-timeout={INPUT_SECONDS}", f"-rss_limit_mb={MEMORY_MIB}"
    form = (
        f"-max_len={MAX_INPUT_BYTES}",
        f"-artifact_prefix={folder}/",
        "-print_final_stats=1",
        "-verbosity=0",
    )
    atheris.Setup([sys.argv[0], *limits, *form, str(corpus)], TARGETS[name].run)
    atheris.Fuzz()


def by_chance(name: str, seconds: int, folder: Path) -> int:
    """One target, by hypothesis, round after round."""
    from hypothesis import HealthCheck, given, seed, settings

    from tests.fuzz.mutation import inputs
    from tests.fuzz.test_fuzz import TARGETS

    target = TARGETS[name]
    tried = [b""]

    def hold(data: bytes) -> None:
        tried[0] = data
        target.run(data)

    ending = time.monotonic() + seconds
    rounds = 0
    while time.monotonic() < ending:
        rounds += 1
        often = settings(
            max_examples=1000, database=None, deadline=None, suppress_health_check=list(HealthCheck)
        )
        try:
            seed(rounds)(often(given(inputs(target))(hold)))()
        except BaseException:
            (folder / "crash-found").write_bytes(tried[0])
            raise
    print(f"{rounds} rounds of 1000 inputs")
    return 0


if __name__ == "__main__":
    if (target_name := os.environ.get(TARGET)) is None:
        sys.exit(main(*sys.argv[1:]))
    run = guided if find_spec("atheris") is not None else by_chance
    sys.exit(run(target_name, int(sys.argv[1]), Path(os.environ["FUZZ_FOLDER"])))
