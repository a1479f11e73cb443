"""What is uploaded: the sdist and the wheel as ``python -m build`` makes them, and what is inside."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import oauth2_mw
from tests.support.lowest import metadata

ROOT = Path(__file__).parents[1]
SETUP = metadata(str(ROOT / "setup.py"))

pytestmark = pytest.mark.deep


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with both. They are built in a copy: a build writes beside the sources."""
    copy = tmp_path_factory.mktemp("build") / "copy"
    shutil.copytree(
        ROOT,
        copy,
        symlinks=True,
        ignore=shutil.ignore_patterns(".*", "node_modules", "build", "*.egg-info", "var"),
    )
    # The wheel is built from the sdist: what that lacks is missed.
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(copy / "dist"), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return copy / "dist"


def names_in(sdist: Path) -> set[str]:
    with tarfile.open(sdist) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


def metadata_of(wheel: zipfile.ZipFile) -> Message:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return message_from_bytes(wheel.read(name))


def tracked(*folders: str) -> set[str]:
    """The files that belong to the project, as far as this machine can tell."""
    found = {
        path.relative_to(ROOT).as_posix()
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.is_file()
    }
    left_out = re.compile(r"(^|/)(__pycache__|node_modules|_build|var|\..*)(/|$)")
    return {name for name in found if not left_out.search(name)}


def test_the_sdist_has_documentation_samples_and_changes(dist: Path) -> None:
    (sdist,) = dist.glob("*.tar.gz")
    names = names_in(sdist)
    assert {"README.rst", "CHANGES.rst", "LICENSE", "setup.py", "pyproject.toml", "Makefile"} <= names
    assert tracked("docs", "samples", "oauth2_mw") <= names
    # The documentation is built from them, and whoever packages it runs them.
    assert tracked("tests") <= names


def test_the_wheel_has_every_file_of_the_package_and_nothing_else(dist: Path) -> None:
    (path,) = dist.glob("*.whl")
    with zipfile.ZipFile(path) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == tracked("oauth2_mw")


def test_an_installation_pulls_the_runtime_packages_and_no_other(dist: Path) -> None:
    (path,) = dist.glob("*.whl")
    with zipfile.ZipFile(path) as wheel:
        written = metadata_of(wheel)
    wanted = [Requirement(line) for line in written.get_all("Requires-Dist", [])]
    pulled = {each.name for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})}
    assert pulled == {Requirement(line).name for line in SETUP["install_requires"]}
    assert pulled >= {"WebOb", "requests-oauthlib", "cryptography", "PyJWT", "Jinja2"}
    assert set(written.get_all("Provides-Extra", [])) == set(SETUP["extras_require"])
    assert written["Version"] == oauth2_mw.__version__
    assert written["License-Expression"] == "MIT"
    assert written["Requires-Python"] == ">=3.11"


def test_what_is_uploaded_passes_the_check_of_the_index(dist: Path) -> None:
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, dist.iterdir())]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
