"""Questions to a person at a terminal, asked again until the answer can be used."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress

from oauth2_mw.cli.terminal import CommandError


def ask(
    question: str, *, problems: Callable[[str], Iterable[str]], default: str = "", hidden: bool = False
) -> str:
    """Return the answer to a question, without white space around it.

    :param problems: the sentences that say what is wrong with an answer.
    :param default: what an empty answer stands for.
    :param hidden: whether what is typed is not shown.
    :raises CommandError: if there is nobody to answer any more.
    """
    suggested = f" [{default}]" if default else ""
    while True:
        answer = _read(f"{question}{suggested}: ", hidden=hidden).strip() or default
        wrong = list(problems(answer))
        if not wrong:
            return answer
        for sentence in wrong:
            print(f"  {sentence}", file=sys.stderr)


def confirm(question: str, *, default: bool) -> bool:
    """Return whether the answer is yes.

    :raises CommandError: if there is nobody to answer any more.
    """
    words = {"y": True, "yes": True, "n": False, "no": False}

    def problems(answer: str) -> Iterable[str]:
        return () if answer.lower() in words else ("answer y or n",)

    answer = ask(f"{question} (y/n)", problems=problems, default="y" if default else "n")
    return words[answer.lower()]


def _read(prompt: str, *, hidden: bool) -> str:
    with suppress(ImportError):
        # With it input() takes the keys that move in a line.
        import readline  # noqa: F401, importing it is what counts
    try:
        return getpass.getpass(prompt) if hidden else input(prompt)
    except EOFError:
        print()
        raise CommandError("there was no answer, and nothing was done") from None
    except UnicodeDecodeError:
        # The terminal is in another encoding than Python takes it to be.
        return "\ufffd"
