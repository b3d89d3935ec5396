"""The API over ASGI, two accounts, and what the sentences of the contract are about."""

from tests.api_bed import alice, api_bed, bob

__all__ = ["alice", "api_bed", "bob"]
