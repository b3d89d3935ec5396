"""Finds the names of the files that instructions ask for."""

import re

MAX_FILES = 5
_EXTENSIONS = (
    "md|markdown|txt|text|rst|csv|tsv|json|jsonl|html|htm|xml|yaml|yml|toml|ini|log|tex|py|rb|sh|js|mjs|ts|go|rs|c|h|cpp|"
    "java|sql|css|svg|ics|pdf|png|jpg|jpeg|gif|webp|docx|xlsx|pptx|odt|ods|zip|gz|mp3|mp4"
)
# `~/`, `./` and folders may precede the name. A name directly after a slash or a dot is part of something else.
_NAME = re.compile(rf"(?<![\w/.@:-])(?:~/|\./)*([\w-][\w./-]*\.(?:{_EXTENSIONS}))(?![\w/-])")
_QUOTED = re.compile(rf"[`\"'“]([^`\"'”“\n/]{{1,80}}\.(?:{_EXTENSIONS}))[`\"'”]")
_ASKING = re.compile(
    r"\b(?:write|save|store|put|produce|create|make|generate|deliver|finish|share|output|export|into|to|as|called|named)\b"
    r"(?:[^.;\n]|\.(?=\S))*$",
    re.IGNORECASE,
)
_NO_FILES = {"node.js", "vue.js", "next.js", "express.js", "react.js", "three.js", "d3.js"}
_INPUT_FOLDERS = ("task_files/", "reference_files/")
_MAX_CHARACTERS = 20_000


def requested_files(text: str, inputs: frozenset[str] = frozenset()) -> list[str]:
    """The names of the files that `text` asks for, at most `MAX_FILES`. `inputs`: names that are no outputs.

    These are the names that follow a word such as "write" in the same sentence, or all names if none does.
    """
    text = text[:_MAX_CHARACTERS]
    matches = sorted(
        {(match.start(1), match[1]) for match in (*_NAME.finditer(text), *_QUOTED.finditer(text))}
    )
    names = [
        (start, name)
        for start, name in matches
        if _is_output(name, inputs) and not _is_part(start, name, matches)
    ]
    requested = [name for start, name in names if _ASKING.search(text[max(0, start - 120) : start])]
    return list(dict.fromkeys(requested or [name for _, name in names]))[:MAX_FILES]


def _is_output(name: str, inputs: frozenset[str]) -> bool:
    is_inside = ".." not in name.split("/") and not name.startswith(_INPUT_FOLDERS)
    is_text = name.isprintable() and not name.startswith("-")
    return is_inside and is_text and name not in inputs and name.lower() not in _NO_FILES


def _is_part(start: int, name: str, matches: list[tuple[int, str]]) -> bool:
    """Whether it is the end of a quoted name with spaces."""
    return any(first < start and start + len(name) == first + len(other) for first, other in matches)
