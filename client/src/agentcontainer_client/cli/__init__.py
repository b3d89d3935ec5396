"""The command `agentcontainer`: for users of an installation, and for its operators where the server is installed."""

import sys


def main() -> None:
    """Run the command of this process's arguments."""
    try:
        _run()
    except KeyboardInterrupt:  # while modules are imported
        raise SystemExit(130) from None


def _run() -> None:
    try:
        import rich
        import typer
    except ImportError:
        sys.stderr.write(
            "error: the command needs two more packages: pip install 'agentcontainer-client[cli]'\n"
        )
        raise SystemExit(2) from None
    assert rich
    assert typer
    from agentcontainer_client.cli.app import run

    run(sys.argv[1:])
