"""What commands of an agent do to Pi: noisy ones, endless ones, and ones that fill its file systems."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agentcontainer.runner.agent.pi_events import ToolCompleted

from .pi_bed import Place, of, place_in, settle
from .pi_model import Say, run

FILL_TMP = "head -c 1G /dev/zero > /tmp/full 2>/dev/null"


@pytest.fixture
async def place(short_dir: Path) -> AsyncIterator[Place]:
    async with place_in(short_dir) as place:
        yield place


async def outputs_of(place: Place, *commands: str) -> list[ToolCompleted]:
    """What the agent gets from these commands, each a tool call of its own."""
    place.model.answers = [*(run(command) for command in commands), Say("Done.")]
    async with place.pi() as (pi, _):
        await pi.prompt("Run them.")
        return of(ToolCompleted, await settle(pi))


async def test_a_command_that_prints_more_than_its_file_keeps_goes_on(place: Place) -> None:
    noisy, after = await outputs_of(
        place, "head -c 100M /dev/zero | tr '\\0' a", "ls -s --block-size=1 /tmp/command-output; echo alive"
    )
    assert not noisy.is_error
    assert "The first 16777216 of 104857600 bytes are in /tmp/command-output/bash-" in noisy.output
    assert "total 16777216" in after.output
    assert "alive" in after.output


async def test_the_oldest_outputs_make_room_for_new_ones(place: Place) -> None:
    noisy = "head -c 15M /dev/zero | tr '\\0' {}"
    *_, last, after = await outputs_of(place, *map(noisy.format, "abcdef"), "cut -c1 /tmp/command-output/*")
    assert "Full output: /tmp/command-output/bash-" in last.output
    assert after.output.split() == ["c", "d", "e", "f"]


async def test_a_full_tmp_does_not_keep_outputs_from_being_kept(place: Place) -> None:
    _, noisy = await outputs_of(place, FILL_TMP, "seq 100000")
    assert not noisy.is_error
    assert "Full output: /tmp/command-output/bash-" in noisy.output


@pytest.mark.parametrize(
    ("before", "fault"),
    [
        ("head -c 1G /dev/zero > /tmp/command-output/mine 2>/dev/null", "/tmp/command-output is full"),
        ("chmod 0 /tmp/command-output", "EACCES"),
    ],
)
async def test_an_output_that_cannot_be_kept_is_part_of_the_result(
    place: Place, before: str, fault: str
) -> None:
    _, noisy, after = await outputs_of(place, before, "seq 100000; exit 3", "echo alive")
    assert noisy.is_error
    assert "\n99999\n100000" in noisy.output
    assert fault in noisy.output
    assert "Command exited with code 3" in noisy.output
    assert after.output.strip() == "alive"


async def test_the_result_of_a_command_is_its_output_and_how_it_failed(place: Place) -> None:
    silent, failed, killed, unknown = await outputs_of(
        place, "true", "echo out; echo err >&2; exit 3", "kill -9 $$", "printf 'no end'; sleep 60 & exit 0"
    )
    assert (silent.output, silent.is_error) == ("(no output)", False)
    assert "out\n" in failed.output
    assert "err\n" in failed.output
    assert failed.output.endswith("Command exited with code 3")
    assert failed.is_error
    assert killed.output.endswith("Command exited with code 137")
    assert (unknown.output, unknown.is_error) == ("no end", False)


async def test_a_command_ends_at_its_timeout(place: Place) -> None:
    place.model.answers = [
        Say("Sleeping.", tool="bash", input={"command": "echo begun; sleep 60", "timeout": 0.5}),
        Say("Done."),
    ]
    async with place.pi() as (pi, _):
        await pi.prompt("Sleep.")
        (slow,) = of(ToolCompleted, await settle(pi))
    assert slow.is_error
    assert slow.output == "begun\n\n\nCommand timed out after 0.5 seconds"
