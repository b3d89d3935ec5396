"""Allow-lists: what an entry means, and how lists combine with the setting for internet access."""

from dataclasses import replace

import pytest

from agentcontainer.domain.execution.model import DefaultsChange, Overrides
from agentcontainer.domain.execution.service import change_defaults, platform_defaults, resolve
from agentcontainer.egress import Rule, parse, rule_for
from agentcontainer.errors import ValidationError
from agentcontainer.settings import Settings

EGRESS = ("pypi.org:443",)


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
    settings = Settings()
    offline = platform_defaults(settings)
    online = replace(offline, internet_access=True)
    with pytest.raises(ValidationError) as refused:
        resolve(offline, Overrides(egress=EGRESS), settings)
    assert refused.value.details[0].path == "overrides.egress"
    before = Overrides(internet_access=True, egress=EGRESS)
    assert resolve(offline, before, settings).egress == EGRESS
    assert resolve(online, Overrides(egress=EGRESS), settings).egress == EGRESS
    assert before.updated(Overrides(model="x")).egress == EGRESS
    assert resolve(offline, before.updated(Overrides(internet_access=False)), settings).egress is None


def test_an_operator_may_offer_no_internet_access() -> None:
    closed = Settings(internet_access=False)
    offline = platform_defaults(closed)
    with pytest.raises(ValidationError) as refused:
        resolve(offline, Overrides(internet_access=True), closed)
    assert refused.value.details[0].path == "overrides.internetAccess"
    with pytest.raises(ValidationError) as refused:
        change_defaults(offline, DefaultsChange(internet_access=True), closed)
    assert refused.value.details[0].path == "defaults.internetAccess"
    online = replace(offline, internet_access=True)
    assert resolve(online, Overrides(internet_access=False), closed).internet_access is False
