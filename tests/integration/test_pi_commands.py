"""Commands that could harm Pi: with endless output, without an end, or filling its file systems."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agentcontainer.runner.agent.pi_events import MessageCompleted, ToolCompleted, ToolStarted

from .pi_bed import PiBed, of, pi_bed_in, settle
from .pi_model import Say, edit, run

FILL_TMP = "head -c 1G /dev/zero > /tmp/full 2>/dev/null"


@pytest.fixture
async def bed(short_dir: Path) -> AsyncIterator[PiBed]:
    async with pi_bed_in(short_dir) as bed:
        yield bed


async def outputs_of(bed: PiBed, *commands: str) -> list[ToolCompleted]:
    """The results of these commands, each run by its own tool call."""
    bed.model.answers = [*(run(command) for command in commands), Say("Done.")]
    async with bed.pi() as (pi, _):
        await pi.prompt("Run them.")
        return of(ToolCompleted, await settle(pi))


async def test_a_command_that_prints_more_than_its_file_keeps_goes_on(bed: PiBed) -> None:
    noisy, after = await outputs_of(
        bed, "head -c 100M /dev/zero | tr '\\0' a", "ls -s --block-size=1 /tmp/command-output; echo alive"
    )
    assert not noisy.is_error
    assert "The first 16777216 of 104857600 bytes are in /tmp/command-output/bash-" in noisy.output
    assert "total 16777216" in after.output
    assert "alive" in after.output


async def test_the_oldest_outputs_make_room_for_new_ones(bed: PiBed) -> None:
    noisy = "head -c 15M /dev/zero | tr '\\0' {}"
    *_, last, after = await outputs_of(bed, *map(noisy.format, "abcdef"), "cut -c1 /tmp/command-output/*")
    assert "Full output: /tmp/command-output/bash-" in last.output
    assert after.output.split() == ["c", "d", "e", "f"]


async def test_a_full_tmp_does_not_keep_outputs_from_being_kept(bed: PiBed) -> None:
    filling, noisy = await outputs_of(bed, FILL_TMP, "seq 100000")
    assert "[/tmp is full: 268.4 of 268.4 MB are used." in filling.output
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
    bed: PiBed, before: str, fault: str
) -> None:
    _, noisy, after = await outputs_of(bed, before, "seq 100000; exit 3", "echo alive")
    assert noisy.is_error
    assert "\n99999\n100000" in noisy.output
    assert fault in noisy.output
    assert "Command exited with code 3" in noisy.output
    assert after.output.strip() == "alive"


async def test_the_result_of_a_command_is_its_output_and_how_it_failed(bed: PiBed) -> None:
    silent, failed, killed, unknown = await outputs_of(
        bed, "true", "echo out; echo err >&2; exit 3", "kill -9 $$", "printf 'no end'; sleep 60 & exit 0"
    )
    assert (silent.output, silent.is_error) == ("(no output)", False)
    assert "out\n" in failed.output
    assert "err\n" in failed.output
    assert failed.output.endswith("Command exited with code 3")
    assert failed.is_error
    assert killed.output.endswith("Command exited with code 137")
    assert (unknown.output, unknown.is_error) == ("no end", False)


async def test_a_command_ends_at_its_timeout(bed: PiBed) -> None:
    bed.model.answers = [
        Say("Sleeping.", tool="bash", input={"command": "echo begun; sleep 60", "timeout": 0.5}),
        Say("Done."),
    ]
    async with bed.pi() as (pi, _):
        await pi.prompt("Sleep.")
        (slow,) = of(ToolCompleted, await settle(pi))
    assert slow.is_error
    assert slow.output == "begun\n\n\nCommand timed out after 0.5 seconds"


@pytest.mark.parametrize(
    ("stubborn", "least_seconds"), [("", 0.0), ("trap '' INT; ", 4.0)], ids=["SIGINT", "SIGKILL"]
)
async def test_a_command_that_does_not_end_can_be_ended(
    bed: PiBed, stubborn: str, least_seconds: float
) -> None:
    bed.model.answers = [run(f"{stubborn}echo serving; sleep 1000; sleep 1000"), Say("Done.")]
    loop = asyncio.get_running_loop()
    async with bed.pi() as (pi, _):
        await pi.prompt("Serve.")
        async for event in pi.events():
            if isinstance(event, ToolStarted):
                break
        await pi.steer("Stop it.")
        began_at = loop.time()
        await asyncio.sleep(0.5)
        await pi.end_commands("message")
        events = await settle(pi)
    (completed,) = of(ToolCompleted, events)
    assert completed.is_error
    assert completed.output.startswith("serving")
    assert "because a message for you was waiting" in completed.output
    assert "Stop it." in [message.text for message in of(MessageCompleted, events)]
    assert least_seconds < loop.time() - began_at < 30


async def test_nothing_happens_when_there_is_no_command_to_end(bed: PiBed) -> None:
    async with bed.pi() as (pi, _):
        await pi.end_commands("time")
        await pi.prompt("Hello.")
        await settle(pi)
    assert len(bed.model.requests) == 1


LATIN_1 = "Stra\xdfe;Gr\xf6\xdfe\r\nTOTAL;7   \n\xbd;\xa0;\x80\n".encode("latin-1")


async def edited(bed: PiBed, content: bytes, old: str, new: str) -> tuple[ToolCompleted, bytes]:
    """The result of this edit of a file, and the file's content after it."""
    (bed.task / "a.csv").write_bytes(content)
    bed.model.answers = [edit("a.csv", old, new), Say("Done.")]
    async with bed.pi() as (pi, _):
        await pi.prompt("Edit it.")
        (completed,) = of(ToolCompleted, await settle(pi))
    return completed, (bed.task / "a.csv").read_bytes()


async def test_an_edit_keeps_the_bytes_of_a_file_that_is_not_utf8(bed: PiBed) -> None:
    completed, content = await edited(bed, LATIN_1, "TOTAL;7", "TOTAL;8")
    assert not completed.is_error, completed
    assert content == LATIN_1.replace(b"7", b"8")


@pytest.mark.parametrize(("old", "new"), [("TOTAL;7", "TOTAL;\xe4"), ("Gr\xf6\xdfe", "Size")])
async def test_an_edit_refuses_other_than_ascii_in_such_a_file(bed: PiBed, old: str, new: str) -> None:
    completed, content = await edited(bed, LATIN_1, old, new)
    assert completed.is_error
    assert "This file is not UTF-8." in completed.output
    assert content == LATIN_1


async def test_an_edit_of_utf8_is_as_before(bed: PiBed) -> None:
    completed, content = await edited(bed, "Größe: 7\n".encode(), "Größe: 7", "Größe: 8 €")
    assert not completed.is_error, completed
    assert content == "Größe: 8 €\n".encode()


@pytest.mark.parametrize(
    "removal",
    ["rm -rf /workspace/.pi", "rm -rf ~/../.pi/sessions; touch ~/../.pi/sessions", "rm ~/../.pi/sessions/*"],
)
async def test_an_agent_that_removes_its_session_goes_on_and_keeps_its_context(
    bed: PiBed, removal: str
) -> None:
    bed.model.answers = [run("echo juniper"), run(removal), run("echo alive"), Say("Noted.")]
    async with bed.pi() as (pi, _):
        await pi.prompt("First.")
        *_, after = of(ToolCompleted, await settle(pi))
    assert after.output.strip() == "alive"
    bed.write_settings()
    async with bed.pi() as (pi, _):
        await pi.prompt("Which word?")
        await settle(pi)
    for text in ("First.", "juniper", "Noted.", "Which word?"):
        assert text in bed.model.request_text(-1)


async def test_an_agent_that_removes_its_home_can_still_run_commands(bed: PiBed) -> None:
    removed, moved, after = await outputs_of(
        bed, "touch file; rm -rf ~", "mv /workspace/.pi /workspace/other", "pwd; ls -A; touch alive"
    )
    assert removed.is_error
    assert moved.is_error
    assert after.output.split() == ["/workspace/task"]
    assert (bed.task / "alive").exists()


async def test_git_commits_without_an_identity_of_the_agents_own(bed: PiBed) -> None:
    default, configured = await outputs_of(
        bed,
        "git init -q repo && cd repo && git commit -q --allow-empty -m x && git log --format='%an <%ae>'",
        "cd repo; git config user.name Ada; git commit -q --allow-empty -m y; git log -1 --format=%an",
    )
    assert default.output.strip() == "Agent <agent@sandbox.invalid>"
    assert configured.output.strip() == "Ada"
