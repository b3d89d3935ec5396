"""The file of the CAs that the operator trusts, as `SSL_CERT_FILE` names it."""

from collections.abc import Mapping
from pathlib import Path

from agentcontainer.errors import SettingsError


def ca_bundle(environment: Mapping[str, str]) -> Path | None:
    """The file that `SSL_CERT_FILE` names; None: the system's CAs are used.

    Raises:
        SettingsError: there is no such file.
    """
    value = environment.get("SSL_CERT_FILE")
    if not value:
        return None
    path = Path(value).absolute()
    if not path.is_file():
        raise SettingsError("SSL_CERT_FILE is wrong: must name a file with the certificates of CAs.")
    return path
