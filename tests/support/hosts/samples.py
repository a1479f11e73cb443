"""The samples for real applications: each served as its first lines say, with the settings that lie beside it."""

from __future__ import annotations

import configparser
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.hosts.processes import ROOT, Child
from tests.support.hosts.servers import Site, answers, ini_text, new_key

SAMPLES = ROOT / "samples"


def settings_of(sample: str) -> dict[str, dict[str, str]]:
    """The sections of ``samples/SAMPLE.ini``; none, if there is no such file."""
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(SAMPLES / f"{sample}.ini", encoding="utf-8")
    return {name: dict(parser[name]) for name in parser.sections()}


@contextmanager
def running(
    sample: str,
    *arguments: object,
    site: Site,
    folder: Path,
    python: str | Path,
    settings: Mapping[str, str],
    env: Mapping[str, str] | None = None,
) -> Iterator[Child]:
    """Serve a sample until the end of the ``with``.

    :param arguments: what its ``make_app`` gets behind the name of the INI file.
    :param folder: where the INI file is written.
    :param settings: what a test writes in ``[oauth2_mw]`` over what the sample has there: who the provider is.
    """
    sections = settings_of(sample)
    fixed = {"public_url": site.public_url, "secret_keys": new_key(), **settings}
    sections["oauth2_mw"] = {**sections.get("oauth2_mw", {}), **fixed}
    (folder / "oauth2.ini").write_text(ini_text(sections), encoding="utf-8")
    given = ", ".join(repr(str(argument)) for argument in ("oauth2.ini", *arguments))
    options = ["--bind", f"fd://{site.socket.fileno()}", "--no-control-socket", "--timeout", "120"]
    command = [python, "-m", "gunicorn", f"samples.{sample}_app:make_app({given})", *options]
    with Child(sample, command, cwd=folder, env=env, pass_fds=[site.socket.fileno()]) as process:
        process.wait_until(lambda: answers(site.listens_at))
        yield process
        # Whatever a test does to it, it must not meet an exception that nobody foresaw.
        assert ": unexpected " not in process.output, process.output
