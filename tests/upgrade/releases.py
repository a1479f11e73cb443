"""The releases that went before, out of this repository's history: a folder with the package of each."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

from tests.support.hosts.processes import ROOT

RELEASES = Path(__file__).with_name("releases.tsv")
_BUILD = ROOT / "build" / "upgrade"
#: The clone may belong to another user than the one who runs the tests: Git asks to be told that this is meant.
GIT = ("git", "-c", "safe.directory=*")


class ShallowCloneError(Exception):
    """The history is not there. The message says how to get it."""


def commits(table: Path = RELEASES) -> dict[str, str]:
    """Release -> its commit."""
    lines = table.read_text(encoding="utf-8").splitlines()[1:]
    return dict(line.split("\t") for line in lines)


def build(release: str, *, repository: Path = ROOT, into: Path = _BUILD) -> Path:
    """The folder with the package of a release, made where it is not there yet.

    :raises ShallowCloneError: when the clone does not have the commit.
    """
    commit = commits()[release]
    folder = into / f"{release}-{commit[:12]}"
    if folder.exists():
        return folder
    answer = subprocess.run(
        [*GIT, "-C", repository, "archive", "--format=tar", commit, "oauth2_mw"],
        capture_output=True,
        check=False,
    )
    if answer.returncode:
        raise ShallowCloneError(
            f"this clone does not have the commit {commit} of release {release}, from which its package is taken; "
            "get the whole history: git fetch --unshallow (in CI, clone without a depth)\n"
            + answer.stderr.decode(errors="replace")
        )
    # Whoever else builds it at this moment makes the same.
    made = into / f".{folder.name}.{id(answer)}"
    with tarfile.open(fileobj=io.BytesIO(answer.stdout)) as archive:
        archive.extractall(made, filter="data")
    made.rename(folder)
    return folder
