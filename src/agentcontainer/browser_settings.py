"""The settings of browsers: where their pages are, and how requests that come through a proxy are understood."""

from typing import Annotated

from pydantic import Field
from pydantic_settings import NoDecode

from agentcontainer.setting_rules import SettingRules


class BrowserSettings(SettingRules):
    """The part of `Settings` that concerns browsers, and the proxies before the API."""

    dashboard: bool = Field(True, description="Whether the API serves the dashboard, at the root of its URL.")
    preview_url: str | None = Field(
        None,
        description="URL of a second origin at which previews of files are served, and nowhere else: `scheme://host`, "
        "with another host than `AGENTCONTAINER_PUBLIC_URL`, so that no cookie of the dashboard reaches it. Unset: "
        "previews are served beside the API.",
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Addresses and networks of the reverse proxies before the API, separated by commas. Only their "
        "`Forwarded` and `X-Forwarded-*` headers are believed: of the client's address, which is logged, and of the "
        "scheme that it used. Empty: none.",
    )

    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Host names under which browsers may log in, separated by commas, besides this machine's own names "
        "and the host of `AGENTCONTAINER_PUBLIC_URL`. Under any other name a session's cookie is refused with 421.",
    )
