"""Checks of the host, the database and the object store: what is missing, what a crash left, and how to fix it."""
