"""Uids for the sandboxes of tests."""

import os

# Not shared with other test processes: leasing a uid kills every process that runs under it.
UID_BASE = 10_000_000 + os.getpid() % 1_000_000 * 1000
