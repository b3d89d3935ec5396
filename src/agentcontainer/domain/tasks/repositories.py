"""Checks the git repositories that a client names as inputs, and encrypts their tokens for the task's row."""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NotRequired, TypedDict
from urllib.parse import SplitResult, unquote, urlsplit

from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.errors import ValidationError
from agentcontainer.filenames import filename_fault
from agentcontainer.private_hosts import PrivateHosts
from agentcontainer.settings import Settings

MAX_URL_CHARACTERS = 2048
PROXY_ONLY = (
    "cannot be cloned: this installation reaches other servers through a proxy only "
    "(AGENTCONTAINER_EGRESS_PROXY_ONLY)"
)
MAX_REF_CHARACTERS = 255
FULL_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}", re.IGNORECASE)
# A name of digits only is not one: a tag may be named after a date.
_SHORT_SHA = re.compile(r"(?![0-9]+$)[0-9a-f]{7,39}", re.IGNORECASE)
BRANCHES = "refs/heads/"
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?|[0-9a-f:.]*:[0-9a-f:.]*")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Repository:
    """A git repository to clone into `task_files/`. `ref` None or `HEAD`: the remote's default branch."""

    url: str
    ref: str | None = None
    path: str | None = None
    token: str | None = field(default=None, repr=False)

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        parts = urlsplit(self.url)
        return parts.port or _DEFAULT_PORTS[parts.scheme]

    @property
    def name(self) -> str:
        """The name of its folder in `task_files/`: `path`, or the last part of the URL without `.git`."""
        return self.path if self.path is not None else _last_part(self.url)

    @property
    def is_commit(self) -> bool:
        """Whether `ref` is a full commit id, not a branch or tag."""
        return self.ref is not None and FULL_SHA.fullmatch(self.ref) is not None


@dataclass(frozen=True)
class StoredRepository:
    """A `Repository` as a task's row holds it, its token encrypted."""

    url: str
    ref: str | None
    path: str | None
    sealed_token: bytes | None


def check(repositories: Sequence[Repository], settings: Settings) -> None:
    """Check the repositories that a client named.

    Raises:
        ValidationError: a repository cannot be cloned as named; names the field.
    """
    private_hosts = PrivateHosts.of(settings.private_hosts)
    for position, repository in enumerate(repositories):
        at = f"inputRepositories.{position}"
        if fault := url_fault(repository.url):
            raise ValidationError.at(f"{at}.url", fault)
        if settings.egress_proxy_only:
            raise ValidationError.at(f"{at}.url", PROXY_ONLY)
        if repository.ref is not None and (fault := ref_fault(repository.ref)):
            raise ValidationError.at(f"{at}.ref", fault)
        if repository.path is not None and (fault := _folder_fault(repository.path)):
            raise ValidationError.at(f"{at}.path", fault)
        if _folder_fault(repository.name):
            raise ValidationError.at(f"{at}.url", "does not end in a name for its folder; give a path")
        is_private = settings.allow_private_repositories or private_hosts.names_host(repository.host)
        if repository.token and repository.url.startswith("http:") and not is_private:
            raise ValidationError.at(f"{at}.token", "is sent over https:// only")


def url_fault(url: str) -> str | None:
    """Why this cannot be the URL of a repository; None: it can. Never repeats the URL, which may hold a secret."""
    if len(url) > MAX_URL_CHARACTERS or not re.fullmatch(r"[!-~]+", url) or "\\" in url:
        return f"must be a URL of at most {MAX_URL_CHARACTERS} ASCII characters; others are written as %XX"
    if not url.startswith(("https://", "http://")):
        return "must start with https:// or http://"
    try:
        parts = urlsplit(url)
        is_port_good = parts.port != 0
    except ValueError:
        return "is not a URL"
    if "@" in parts.netloc:
        return "must not hold a user name or password; send the token in `token`"
    if "?" in url or "#" in url:
        return "must have no query and no fragment"
    if not is_port_good or not _is_host(parts):
        return "must name a host"
    return None


def ref_fault(ref: str) -> str | None:
    """Why this cannot be a branch or tag, by the rules of `git check-ref-format`; None: it can."""
    if _SHORT_SHA.fullmatch(ref):
        return (
            "looks like a short commit id: give all of it, or refs/heads/NAME or refs/tags/NAME for a branch or tag of "
            "this name"
        )
    if ref.startswith("+"):
        return (
            "must not begin with +, which belongs to a refspec: give the name of the branch or tag only, or "
            "refs/heads/NAME or refs/tags/NAME if its name begins with +"
        )
    parts = ref.split("/")
    if (
        len(ref) > MAX_REF_CHARACTERS
        or ref in ("", "@")
        or ref.removeprefix(BRANCHES).startswith("-")
        or ref.endswith(".")
        or re.search(r"[\x00-\x20\x7f~^:?*\[\\\ud800-\udfff]|\.\.|@\{", ref)
        or any(not part or part.startswith(".") or part.endswith(".lock") for part in parts)
    ):
        return "must be the name of a branch or tag, or a full commit id"
    return None


def seal(repositories: Sequence[Repository], vault: Vault, task_id: str) -> list[StoredRepository]:
    """The repositories with their tokens encrypted, as the task's row stores them. No other task can decrypt them."""
    return [
        StoredRepository(
            repository.url,
            repository.ref,
            repository.path,
            None if repository.token is None else vault.seal(repository.token, _context(task_id)),
        )
        for repository in repositories
    ]


def unseal(stored: Sequence[StoredRepository], vault: Vault, task_id: str) -> list[Repository]:
    """The reverse of `seal`.

    Raises:
        SettingsError: the installation's secret key has changed.
    """
    return [
        Repository(
            repository.url,
            repository.ref,
            repository.path,
            None
            if repository.sealed_token is None
            else vault.open(repository.sealed_token, _context(task_id)),
        )
        for repository in stored
    ]


def _context(task_id: str) -> str:
    return f"{task_id} repository"  # not the provider key's, so that neither can be decrypted as the other


def _last_part(url: str) -> str:
    return unquote(urlsplit(url).path.rstrip("/").rpartition("/")[2], errors="replace").removesuffix(".git")


def _folder_fault(name: str) -> str | None:
    return "must not be .git" if name.lower() == ".git" else filename_fault(name)


def _is_host(parts: SplitResult) -> bool:
    return parts.hostname is not None and _HOST.fullmatch(parts.hostname) is not None


class StoredForm(TypedDict):
    """An entry of `tasks.input_repositories`."""

    url: str
    ref: NotRequired[str | None]
    path: NotRequired[str | None]
    sealedToken: NotRequired[str]  # base64


def from_json(data: StoredForm) -> StoredRepository:
    """From the form in `tasks.input_repositories`."""
    token = data.get("sealedToken")
    return StoredRepository(
        data["url"], data.get("ref"), data.get("path"), None if token is None else base64.b64decode(token)
    )


def to_json(repository: StoredRepository) -> StoredForm:
    """The form in `tasks.input_repositories`."""
    data: StoredForm = {"url": repository.url, "ref": repository.ref, "path": repository.path}
    if repository.sealed_token is not None:
        data["sealedToken"] = base64.b64encode(repository.sealed_token).decode()
    return data


def resealed(stored: Sequence[StoredForm], vault: Vault, task_id: str) -> list[StoredForm] | None:
    """The repositories of a task's row with their tokens encrypted with the vault's first key. None: they are already.

    Raises:
        SettingsError: a token was encrypted with a key that the vault does not have.
    """
    repositories = [from_json(entry) for entry in stored]
    tokens = [
        repository.sealed_token and vault.resealed(repository.sealed_token, _context(task_id))
        for repository in repositories
    ]
    if not any(tokens):
        return None
    return [
        to_json(replace(repository, sealed_token=token or repository.sealed_token))
        for repository, token in zip(repositories, tokens, strict=True)
    ]
