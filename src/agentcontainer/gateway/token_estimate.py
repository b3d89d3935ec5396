"""How many tokens a text has at most, without anybody's tokenizer.

Small letters and spaces are counted as half a token each, and other ASCII (digits, marks, capitals) as one, since
numbers, tables, code and base64 are cut that finely; of other scripts a byte is two thirds. That is above every
tokenizer of the three providers for ordinary text, by half to three times; text made for it may have more.
"""

from string import ascii_lowercase

_LIGHT = (ascii_lowercase + " ").encode()
_ASCII = bytes(range(128))


def tokens_at_most(text: bytes) -> int:
    """An upper bound for ordinary text."""
    not_light = len(text.translate(None, _LIGHT))
    foreign = len(text.translate(None, _ASCII))
    light, dense = len(text) - not_light, not_light - foreign
    return (3 * light + 6 * dense + 4 * foreign + 5) // 6
