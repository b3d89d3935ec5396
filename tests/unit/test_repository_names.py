"""Which URLs and refs an input repository may have, and how its token is stored."""

import pytest

from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.tasks.repositories import Repository, check, ref_fault, seal, unseal, url_fault
from agentcontainer.errors import SettingsError, ValidationError
from agentcontainer.settings import Settings

GOOD = "https://example.org/team/app.git"


@pytest.mark.parametrize(
    "url", [GOOD, "http://example.org:8080/a", "https://[2001:db8::1]/a", "https://EXAMPLE.org/a/%C3%A9.git/"]
)
def test_http_urls_pass(url: str) -> None:
    assert url_fault(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "", "app", "/srv/app.git", "file:///srv/app.git", "ssh://git@example.org/a", "git@example.org:a/b.git",
        "git://example.org/a", "ext::sh -c id", "ftp://example.org/a", "HTTPS:/example.org/a", "--upload-pack=id",
        "https://user@example.org/a", "https://user:secret@example.org/a", "https://:secret@example.org/a",
        "https://example.org/a?token=secret", "https://example.org/a?", "https://example.org/a#x", "https:///a",
        "https://example.org:0/a", "https://example.org:99999/a", "https://example.org:x/a", "https://exa mple.org/a",
        "https://example.org\\@evil.org/a", "https://[::1/a", "https://[fe80::1%25eth0]/a", "https://exämple.org/a",
        "https://example.org/a\n[http]", "https://-x.org/a", f"https://example.org/{'a' * 2048}",
    ],
)  # fmt: skip
def test_other_urls_are_refused_without_being_repeated(url: str) -> None:
    fault = url_fault(url)
    assert fault is not None
    assert "secret" not in fault


@pytest.mark.parametrize(
    "ref",
    [
        "main",
        "v1.0",
        "feature/ä-b",
        "a" * 40,
        "refs.x",
        "x@y",
        "héad",
        "HEAD",
        "refs/heads/x",
        "refs/tags/x",
        "refs/pull/7/head",
        "A1" * 20,
        "f" * 64,
        "20260326",
        "abcdef",
        "refs/heads/abc1234",
        "refs/tags/deadbeef",
    ],
)
def test_valid_ref_names_are_accepted(ref: str) -> None:
    assert ref_fault(ref) is None


@pytest.mark.parametrize(
    "ref",
    [
        "", "@", "-x", "--upload-pack=id", "a..b", "a b", "a~1", "a^", "a:b", "a?b", "a*", "a[b", "a\\b", "a@{0}",
        "/a", "a/", "a//b", ".a", "a/.b", "a.lock", "a.lock/b", "a.", "a\nb", "a\0b", "a\x7fb", "a\ud800b", "a" * 256,
    ],
)  # fmt: skip
def test_an_invalid_ref_name_is_refused(ref: str) -> None:
    assert ref_fault(ref) is not None


@pytest.mark.parametrize(
    ("repository", "name"),
    [
        (Repository(GOOD), "app"),
        (Repository("https://example.org/a/"), "a"),
        (Repository("https://example.org/a%20b.git"), "a b"),
        (Repository(GOOD, path="x"), "x"),
    ],
)
def test_the_folder_is_named_after_the_url_unless_a_path_is_given(repository: Repository, name: str) -> None:
    check([repository], Settings())
    assert repository.name == name


@pytest.mark.parametrize(
    ("repository", "field"),
    [
        (Repository("https://example.org"), "url"),
        (Repository("https://example.org/.git"), "url"),
        (Repository("https://example.org/..%2f.."), "url"),
        (Repository("https://example.org/%00"), "url"),
        (Repository(GOOD, "-x"), "ref"),
        (Repository(GOOD, path=".."), "path"),
        (Repository(GOOD, path="a/b"), "path"),
        (Repository(GOOD, path=".GIT"), "path"),
        (Repository("http://example.org/a", token="secret"), "token"),
    ],
)
def test_a_validation_error_names_its_field(repository: Repository, field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        check([Repository(GOOD), repository], Settings())
    assert caught.value.details[0].path == f"inputRepositories.1.{field}"
    assert "secret" not in str(caught.value)


def test_the_token_of_a_repository_is_encrypted_for_its_task() -> None:
    vault = Vault("k" * 32)
    repositories = [Repository(GOOD, "main", "x", "ghp_secret"), Repository(GOOD)]
    sealed = seal(repositories, vault, "tsk_1")
    assert "ghp_secret" not in repr(sealed) + repr(repositories)
    assert unseal(sealed, vault, "tsk_1") == repositories
    with pytest.raises(SettingsError):
        unseal(sealed, vault, "tsk_2")


@pytest.mark.parametrize("ref", ["abc1234", "deadbeef", "1A2B3C4D5E", "a" * 39])
def test_a_short_commit_id_is_refused_with_what_to_give_instead(ref: str) -> None:
    fault = ref_fault(ref)
    assert fault is not None
    assert "short commit id" in fault and "refs/tags/" in fault


@pytest.mark.parametrize("ref", ["+main", "+refs/heads/main", "+"])
def test_a_refspec_is_refused_with_what_to_give_instead(ref: str) -> None:
    fault = ref_fault(ref)
    assert fault is not None
    assert "refspec" in fault and "refs/heads/" in fault
    assert ref_fault("refs/heads/+main") is None
    assert ref_fault("c++") is None


def test_a_branch_is_never_an_option_of_git() -> None:
    assert ref_fault("refs/heads/-x") is not None


def test_a_token_is_sent_in_plain_text_to_named_private_hosts_only() -> None:
    named = Settings(private_hosts=("git.corp", "10.0.0.0/8"))
    check(
        [Repository("http://git.corp/app", token="secret"), Repository("http://10.1.1.1/b", token="s")], named
    )
    with pytest.raises(ValidationError, match=r"inputRepositories\.0\.token"):
        check([Repository("http://other.corp/app", token="secret")], named)


def test_where_a_proxy_is_the_only_way_out_no_repository_can_be_named() -> None:
    with pytest.raises(ValidationError, match="AGENTCONTAINER_EGRESS_PROXY_ONLY"):
        check([Repository(GOOD)], Settings(egress_proxy_only=True))
