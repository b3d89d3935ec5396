"""Makes text from outside fit for messages, logs and terminals: without control characters."""

import unicodedata

_CONTROL_CATEGORIES = ("Cc", "Cs")
_SEPARATOR_CATEGORIES = ("Zl", "Zp")


def printable(text: str, replacement: str = "") -> str:
    """`text` as one line, with `replacement` for each character that is not printable.

    That takes out line breaks, escape sequences, and characters that reverse the writing direction.
    """
    return "".join(character if character.isprintable() else replacement for character in text)


def without_controls(text: str, keep: str = "\n\t", *, separators: bool = True) -> str:
    """`text` with a blank for each control character and surrogate that is not in `keep`.

    `separators`: for Unicode's line and paragraph separators, too. Everything else, such as emoji, stays.
    """
    replaced = (*_CONTROL_CATEGORIES, *(_SEPARATOR_CATEGORIES if separators else ()))
    return "".join(
        " " if unicodedata.category(character) in replaced and character not in keep else character
        for character in text
    )
