"""The error for an input of a task (repository, skill or file) that cannot be placed in its workspace."""


class InputUnavailable(Exception):
    """An input that the client named cannot be used. `str(error)` is a sentence for the task's owner."""
