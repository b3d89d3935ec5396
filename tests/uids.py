"""Uids for the sandboxes of tests."""

import os

# Of this process alone, whatever runs beside it: who is given a uid kills what he finds running under it.
UID_BASE = 10_000_000 + os.getpid() % 1_000_000 * 1000
