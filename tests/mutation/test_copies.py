"""A copy of the repository runs its tests."""

from __future__ import annotations

import re

from tests.mutation.copies import ROOT, copy_of_the_repository


def test_a_copy_has_all_that_tests_import_of_the_repository() -> None:
    files = (ROOT / "tests").rglob("*.py")
    imports = (re.findall(r"(?m)^(?:from|import) (\w+)", file.read_text("utf-8")) for file in files)
    folders = {name for names in imports for name in names if (ROOT / name).is_dir()}
    assert {"oauth2_mw", "tests"} < folders
    with copy_of_the_repository() as copy:
        assert [name for name in sorted(folders) if not (copy / name).is_dir()] == []
