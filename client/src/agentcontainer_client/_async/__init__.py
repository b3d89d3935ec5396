"""The asynchronous client. `_sync` is written from it by scripts/render_sync.py."""
