"""`python -m tests.lab.cuts [--count 100] [--labs 2] [--minimum 5] [--maximum 40] [--seed 1]`: cuts runners off.

Each lab runs tasks whose agents write the time, and drops the packets between two of its runners and the database for
as many seconds as chance says. Printed is whether two agents of one task ever wrote at once.
"""

import argparse
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from .lab import RUNNERS, Lab
from .workload import Verdict, Workload

TASKS = 6
WRITING_SECONDS = 14
AT_ONCE = 2  # runners that are cut off at the same time
RECOVERY_SECONDS = 120


@dataclass(frozen=True)
class Round:
    """The runners that were cut off, for how long, how many tasks each had, and what became of all tasks."""

    seconds: dict[str, float]
    tasks: dict[str, int]
    verdict: Verdict

    @property
    def cuts(self) -> int:
        """Cuts of runners with an agent that wrote."""
        return sum(self.tasks[name] > 0 for name in self.seconds)

    def __str__(self) -> str:
        cuts = ", ".join(
            f"{name} with {self.tasks[name]} agents for {seconds:.1f} s"
            for name, seconds in self.seconds.items()
        )
        verdict = self.verdict
        faults = [*verdict.lost, *verdict.duplicated, *verdict.ledger]
        restarted = (
            "" if verdict.restarted_after is None else f", the last after {verdict.restarted_after:.1f} s"
        )
        return f"cut off {cuts}: {verdict.run_again} tasks ran again{restarted}; {faults or 'no fault'}"


def rounds(lab: Lab, count: int, minimum: float, maximum: float, seed: int) -> Iterator[Round]:
    """Rounds until so many cuts were made."""
    chance = random.Random(seed)
    made = 0
    while made < count:
        client = lab.account()
        work = Workload(lab, client, count=TASKS, seconds=WRITING_SECONDS)
        names = chance.sample(list(RUNNERS), AT_ONCE)
        seconds = {name: chance.uniform(minimum, maximum) for name in names}
        began_at = time.time()
        _cut(lab, seconds)
        verdict = work.judge(began_at, RECOVERY_SECONDS)
        done = Round(seconds, {name: len(work.of_host(name)) for name in names}, verdict)
        made += done.cuts
        yield done


def _cut(lab: Lab, seconds: dict[str, float]) -> None:
    """Cut off each runner for its time; all cuts begin at once."""
    (first, shorter), (second, longer) = sorted(seconds.items(), key=lambda item: item[1])
    database = lab.hosts["db"]
    with lab.network.cut((lab.hosts[second], database)):
        with lab.network.cut((lab.hosts[first], database)):
            time.sleep(shorter)
        time.sleep(longer - shorter)


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.lab.cuts")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--labs", type=int, default=2)
    parser.add_argument("--minimum", type=float, default=5)
    parser.add_argument("--maximum", type=float, default=40)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if given.labs > 1:
        sys.exit(_in_parallel(given))
    cuts = duplicated = other = 0
    with Lab() as lab, lab.network.entered():
        for done in rounds(lab, given.count, given.minimum, given.maximum, given.seed):
            cuts += done.cuts
            duplicated += len(done.verdict.duplicated)
            other += len(done.verdict.lost) + len(done.verdict.ledger)
            print(done, flush=True)
    print(f"{duplicated} pairs of agents wrote at once in {cuts} cuts; {other} other faults", flush=True)
    sys.exit(bool(duplicated or other))


def _in_parallel(given: argparse.Namespace) -> int:
    """One process for each lab, because each enters its lab's network."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.lab.cuts", "--labs", "1", "--count", str(-(-given.count // given.labs)),
             "--minimum", str(given.minimum), "--maximum", str(given.maximum), "--seed", str(given.seed + number)]
        )
        for number in range(given.labs)
    ]  # fmt: skip
    return max(process.wait() for process in processes)


if __name__ == "__main__":
    main()
