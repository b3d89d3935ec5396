"""Allow-lists: what an entry means, and how they go together with internet access."""

from typing import Any

import pytest

from agentcontainer.domain.execution.service import agent_defaults, laid_over, merge
from agentcontainer.egress import Rule, parse, rule_for
from agentcontainer.errors import ValidationError
from agentcontainer.settings import Settings

EGRESS: dict[str, Any] = {"allow": ["pypi.org:443"]}


@pytest.mark.parametrize(
    ("entry", "host", "port", "is_match"),
    [
        ("pypi.org:443", "pypi.org", 443, True),
        ("pypi.org:443", "pypi.org", 80, False),
        ("pypi.org", "pypi.org", 8080, True),
        ("PyPI.org.", "pypi.org", 1, True),
        ("pypi.org", "files.pypi.org", 443, False),
        ("pypi.org", "pypi.org.evil.test", 443, False),
        ("*.github.com", "api.github.com", 443, True),
        ("*.github.com", "a.b.github.com", 22, True),
        ("*.github.com", "github.com", 443, False),
        ("*.github.com", "evilgithub.com", 443, False),
        ("*.github.com", "a\\.github.com", 443, False),  # one label "a.github", below com
        ("*.github.com", "a\\010.github.com", 443, False),
        ("*.github.com:443", "api.github.com", 80, False),
        ("140.82.121.3:443", "140.82.121.3", 443, True),
        ("140.82.121.3", "140.82.121.4", 443, False),
    ],
)
def test_hosts_and_ports_that_an_entry_allows(entry: str, host: str, port: int, is_match: bool) -> None:
    assert Rule.of(entry).matches(host, port) is is_match


def test_the_entry_that_a_refusal_names_would_allow_it() -> None:
    for host, port in (("a.example", None), ("a.example", 443), ("1.2.3.4", 80)):
        assert parse([rule_for(host, port)])[0].matches(host, port or 9)


def test_an_allow_list_needs_internet_access_and_ends_with_it() -> None:
    with pytest.raises(ValidationError) as refused:
        merge({}, {"egress": EGRESS}, Settings())
    assert refused.value.details[0].path == "overrides.egress"
    before = {"internetAccess": True, "egress": EGRESS}
    assert merge({}, before, Settings())["egress"] == EGRESS
    assert merge({"internetAccess": True}, {"egress": EGRESS}, Settings())["egress"] == EGRESS
    assert laid_over(before, {"model": "x"})["egress"] == EGRESS
    assert "egress" not in merge({}, laid_over(before, {"internetAccess": False}), Settings())


def test_an_operator_may_offer_no_internet_access() -> None:
    closed = Settings(internet_access=False)
    with pytest.raises(ValidationError) as refused:
        merge({}, {"internetAccess": True}, closed)
    assert refused.value.details[0].path == "overrides.internetAccess"
    with pytest.raises(ValidationError) as refused:
        agent_defaults({"internetAccess": True}, closed, {})
    assert refused.value.details[0].path == "defaults.internetAccess"
    assert merge({"internetAccess": True}, {"internetAccess": False}, closed)["internetAccess"] is False
