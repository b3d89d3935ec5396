"""Agents as files: YAML for people and for git, or JSON."""

import json
from pathlib import Path
from typing import Any, cast

import yaml

from agentcontainer_client import Agent
from agentcontainer_client.cli import text
from agentcontainer_client.errors import ConfigurationError

FIELDS = ("name", "description", "basePrompt", "image", "defaults", "referenceFileIds", "skills")


def description(agent: Agent) -> dict[str, Any]:
    """What of an agent can be edited."""
    version = agent.current_version
    return {
        "name": agent.name,
        "description": agent.description,
        "basePrompt": version.base_prompt,
        "image": version.runtime.container_image,
        "defaults": version.defaults.to_wire(),
        "referenceFileIds": version.reference_file_ids,
        "skills": version.skills,
    }


def to_yaml(content: dict[str, Any]) -> str:
    """The description as YAML, its texts of several lines as blocks."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def read(path: Path) -> dict[str, Any]:
    """The description in a file: JSON if its name says so, else YAML.

    Raises:
        ConfigurationError: it cannot be read, or is none.
    """
    kind = "JSON" if path.suffix == ".json" else "YAML"
    try:
        written = path.read_bytes().decode("utf-8-sig")
        content = json.loads(written) if kind == "JSON" else yaml.load(written, Loader=_Loader)  # noqa: S506
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        reason = text.one_line(str(error), 200) or "it is nested too deeply"
        raise ConfigurationError(f"{path} is not {kind}: {reason}") from None
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path} does not describe an agent: it must have fields such as `name`.")
    fields = cast("dict[object, Any]", content)
    if unknown := [name for name in fields if name not in FIELDS]:
        raise ConfigurationError(
            f"{path} has the unknown field {text.one_line(str(unknown[0]), 80)}. Fields: {', '.join(FIELDS)}."
        )
    return {str(name): value for name, value in fields.items()}


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style)  # pyright: ignore[reportUnknownMemberType]


_Dumper.add_representer(str, _text)


class _Loader(yaml.SafeLoader):
    """Reads dates as text, and refuses a field that is there twice."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ConfigurationError(f"The field {text.one_line(str(twice[0]), 80)} is there twice.")
        return super().construct_mapping(node, deep)
