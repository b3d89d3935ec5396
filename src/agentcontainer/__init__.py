"""AgentContainer: run AI agents in sandboxed containers behind an HTTP API."""

__version__ = "0.1.0"
