"""The marks on the buttons: draws them from the npm package simple-icons, at the version that our lock file pins.

``python tools/marks.py`` writes the icons anew and ``docs/marks.tsv``, from which the documentation makes its table.
The drawings of simple-icons are in the public domain (CC0); the marks belong to their owners.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "tests" / "integration" / "node" / "node_modules" / "simple-icons"
ICONS = ROOT / "oauth2_mw" / "web" / "pages" / "static" / "icons"
TABLE = ROOT / "docs" / "marks.tsv"
#: Each has one name here and there.
MARKS = """
    apple auth0 authelia authentik bitbucket discord facebook gitea github gitlab google keycloak line nextcloud okta
    ory wechat x
""".split()


def drawn(name: str) -> str:
    """Return a mark in white on a tile of its owner's colour."""
    source = (SOURCE / "icons" / f"{name}.svg").read_text(encoding="utf-8")
    (path,) = re.findall(r'<path d="([^"]+)"/>', source)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64" viewBox="0 0 64 64">\n'
        f'  <rect width="64" height="64" rx="14" fill="#{described(name)["hex"].lower()}"/>\n'
        f'  <path fill="#fff" transform="translate(13 13) scale(1.583)" d="{path}"/>\n'
        "</svg>\n"
    )


def described(name: str) -> dict[str, Any]:
    """Return what simple-icons says of a mark."""
    marks = json.loads((SOURCE / "data" / "simple-icons.json").read_text(encoding="utf-8"))
    return next(mark for mark in marks if mark.get("slug", mark["title"].lower()) == name)


def table() -> str:
    """Return the rows of the documentation: mark, source, version, terms."""
    version = json.loads((SOURCE / "package.json").read_text(encoding="utf-8"))["version"]
    rows = ["mark\tsource\tversion\tterms"]
    for name in MARKS:
        mark = described(name)
        terms = (
            mark.get("guidelines")
            or mark.get("license", {}).get("url")
            or mark.get("license", {}).get("type")
        )
        rows.append(f"{name}\t{mark['source']}\t{version}\t{terms or 'none published'}")
    return "\n".join(rows) + "\n"


def main() -> None:
    """Write all of it."""
    for name in MARKS:
        (ICONS / f"{name}.svg").write_text(drawn(name), encoding="utf-8")
    TABLE.write_text(table(), encoding="utf-8")


if __name__ == "__main__":
    main()
