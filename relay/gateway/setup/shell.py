"""The simple commands in a text for the shell, as far as they can be read without running it. Pure.

What a shell does with it may depend on anything: so this finds the words that are written, and
nothing in a text that is not understood.
"""

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Final

ARGUMENTS: Final = "$@"
"""The word that stands for all arguments of the text."""

_PUNCTUATION: Final = "();<>|&\n"
_LEADING: Final = frozenset({"if", "then", "else", "elif", "do", "while", "until", "!", "{"})
"""Words after which a command begins, POSIX.1-2017, Shell Command Language, section 2.4."""

ASSIGNMENT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=", re.ASCII)


def simple_commands(text: str, arguments: Sequence[str] = ()) -> Iterator[list[str]]:
    """Yield the words of each simple command in the text, assignments before it included.

    `"$@"` is replaced by the `arguments`. A text with a here-document, or an open quotation, is
    not read; a pattern of `case` is no command.
    """
    if "<<" in text:
        return
    lexer = shlex.shlex(text.replace("\\\n", " "), posix=True, punctuation_chars=_PUNCTUATION)
    lexer.whitespace = " \t\r"
    try:
        tokens = list(lexer)
    except ValueError:
        return
    words: list[str] = []
    depth, is_target = 0, False
    for word in [*tokens, "\n"]:
        if not word or not set(word) <= set(_PUNCTUATION):  # an empty one was quoted
            if not is_target and not (not words and word in _LEADING):
                words += arguments if word == ARGUMENTS else [word]
            is_target = False
        elif word[0] in "<>" or word == "&>":
            is_target = True
        else:
            if words and not (word.startswith(")") and depth == 0):
                yield words
            depth = max(0, depth + word.count("(") - word.count(")"))
            words, is_target = [], False
