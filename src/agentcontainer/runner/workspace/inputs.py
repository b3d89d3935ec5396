"""What a task brings along beyond its files: repositories cloned and skills unpacked, before its sandbox starts."""


class InputUnavailable(Exception):
    """An input cannot be had as the client named it. `str(error)` is a sentence for the task's owner."""
