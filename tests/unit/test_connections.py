"""How many connections an API process may have, and which of them count as one client's."""

import resource

import pytest

from agentcontainer import open_files
from agentcontainer.api.connections import FILES_PER_CONNECTION, MAX_CONNECTIONS, Bounds, network_of


@pytest.mark.parametrize("files", [512, 1024, 4096, 65_536, open_files.MAX_FILES])
def test_the_bounds_leave_file_descriptors_for_everything_else(files: int) -> None:
    bounds = Bounds.fitting(files)
    assert bounds.all * FILES_PER_CONNECTION + bounds.backlog + 100 < files
    assert 0 < bounds.of_address < bounds.silent < bounds.all <= MAX_CONNECTIONS
    assert bounds.of_account < bounds.streams < bounds.all
    assert bounds.silent + bounds.streams <= bounds.all


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_the_addresses_of_one_ipv6_network_count_as_one(address: str, network: str) -> None:
    assert network_of(address) == network


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = open_files.MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, open_files.MAX_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted // 2, hard))
    try:
        open_files.raise_limit()
        assert open_files.limit() == wanted
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
