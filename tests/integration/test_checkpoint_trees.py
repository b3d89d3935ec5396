"""A checkpoint restores every kind of file tree."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.checkpoint_bed import opened_bed
from tests.trees import Node, lay, snapshot

NAMES = st.binary(min_size=1, max_size=40).filter(
    lambda name: name not in (b".", b"..") and not {0, ord("/")} & set(name)
)
FACTS = {
    "mode": st.integers(0, 0o7777),
    "mtime_ns": st.integers(-(2**31) * 10**9, 15 * 10**18 // 1000 * 1000 - 1).map(lambda ns: min(ns, 2**62)),
}
FILES = st.builds(Node, kind=st.just("file"), content=st.binary(max_size=3000), **FACTS)
HOLES = st.builds(
    Node, kind=st.just("sparse"), content=st.binary(max_size=10), hole=st.integers(0, 2**22), **FACTS
)
LINKS = st.builds(
    Node, kind=st.just("link"), target=st.binary(min_size=1, max_size=300).filter(lambda t: 0 not in t)
)
FIFOS = st.builds(Node, kind=st.just("fifo"), **FACTS)


def _with_hard_links(children: dict[bytes, Node]) -> dict[bytes, Node]:
    """Every third file has another name."""
    files = [
        name for name, node in children.items() if node.kind not in ("folder", "fifo")
    ]  # tar restores a FIFO with two names as two FIFOs
    more = {name[:30] + b" too": Node("hard", target=name) for name in files[::3]}
    return children | {name: node for name, node in more.items() if name not in children}


FOLDERS = st.recursive(
    st.dictionaries(NAMES, FILES | HOLES | LINKS | FIFOS, max_size=5).map(_with_hard_links),
    lambda below: st.dictionaries(
        NAMES, FILES | LINKS | st.builds(Node, kind=st.just("folder"), children=below, **FACTS), max_size=4
    ),
    max_leaves=6,
)


async def _round_trip(children: dict[bytes, Node]) -> None:
    async with opened_bed() as bed:
        sandbox = await bed.start()
        lay(bed.workspace, children, sandbox.host_uid)
        before = snapshot(bed.workspace)
        saved = await bed.save(sandbox)
        assert saved.entries == len(before)
        await sandbox.destroy()
        await bed.restore(bed.checkpoint(saved))
        assert snapshot(bed.workspace) == before


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(FOLDERS)
def test_any_file_tree_is_restored(children: dict[bytes, Node]) -> None:
    asyncio.run(_round_trip(children))


@pytest.mark.long
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(FOLDERS)
def test_many_file_trees_are_restored(children: dict[bytes, Node]) -> None:
    asyncio.run(_round_trip(children))


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_a_hundred_thousand_files_are_restored() -> None:
    tree = {
        b"d%d" % folder: Node(
            "folder", mode=0o755, children={b"f%d" % n: Node("file", b"%d" % n) for n in range(500)}
        )
        for folder in range(200)
    }
    async with opened_bed() as bed:
        sandbox = await bed.start()
        lay(bed.workspace, tree, sandbox.host_uid)
        before = snapshot(bed.workspace)
        saved = await bed.save(sandbox)
        assert saved.entries == 100_201
        await sandbox.destroy()
        await bed.restore(bed.checkpoint(saved))
        assert snapshot(bed.workspace) == before
