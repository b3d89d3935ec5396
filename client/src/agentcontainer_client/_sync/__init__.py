"""The synchronous client, without an event loop. scripts/render_sync.py writes it from `_async`."""
