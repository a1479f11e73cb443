"""How an application starts behind the middleware: the file that joins the two, and the command for gunicorn."""

from __future__ import annotations

import importlib.util
import re
import sys
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from oauth2_mw.cli.terminal import shell_word
from oauth2_mw.settings.addresses import is_loopback

APP_HELP = "module:callable as for gunicorn, the path of a WSGI file, or a PasteDeploy file (app.ini or app.ini#NAME)"

_NAME = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_CALLABLE = re.compile(rf"(?P<module>{_NAME}):(?P<name>{_NAME})(?P<call>\(\))?")
_WSGI_SUFFIXES = (".py", ".wsgi")
#: What mod_wsgi and the samples of most frameworks call it.
_CALLABLE_IN_FILE = "application"


def wrapper_names(ini: Path) -> tuple[str, str]:
    """Return the names of the files that wrap an application with the settings of *ini*: of Python, of PasteDeploy."""
    stem = re.sub(r"\W", "_", ini.stem) + "_app"
    return f"{stem}.py", f"{stem}.ini"


@dataclass(frozen=True, slots=True)
class Application:
    """The application that is wrapped."""

    kind: Literal["callable", "file", "paste"]
    text: str

    @classmethod
    def parse(cls, text: str) -> Application:
        """Read what a person calls it.

        :raises ValueError: if it is none of those of :data:`APP_HELP`, or its file is not there.
        """
        if _CALLABLE.fullmatch(text) is not None:
            return cls("callable", text)
        file, _, name = text.rpartition("#") if "#" in text else (text, "", "main")
        path = Path(file)
        if path.suffix not in (*_WSGI_SUFFIXES, ".ini") or not name or ('"' in text or "\n" in text):
            raise ValueError(f"write {APP_HELP}")
        if path.suffix != ".ini" and "#" in text:
            raise ValueError(
                f"write module:callable for one of the names in a WSGI file, like {path.stem}:app"
            )
        if not path.is_file():
            raise ValueError(f"there is no file {file}: {APP_HELP}")
        return cls("paste" if path.suffix == ".ini" else "file", text)

    def remark(self) -> str:
        """Return what the person should know of it, or an empty text."""
        if self.kind != "callable":
            return ""
        top = self.text.partition(":")[0].partition(".")[0]
        if (
            PathFinder.find_spec(top, [str(Path.cwd())])
            or top in sys.modules
            or importlib.util.find_spec(top)
        ):
            return ""
        return f"there is no module {top} here: install it, or start gunicorn in the folder where it is"

    def wrapper(self, ini: Path) -> tuple[str, str]:
        """Return name and text of the file that wraps it with the settings of *ini*, beside which it stands."""
        python, paste = wrapper_names(ini)
        if self.kind == "paste":
            file, _, name = self.text.rpartition("#") if "#" in self.text else (self.text, "", "main")
            return paste, _PASTE.format(ini=ini.name, file=_beside(file, ini), name=name)
        if self.kind == "file":
            loads = f"import runpy\nfrom pathlib import Path\n\n{_IMPORT}"
            path = f"Path(__file__).with_name({_beside(self.text, ini)!r})"
            if Path(_beside(self.text, ini)).is_absolute():
                path = repr(_beside(self.text, ini))
            app = f"runpy.run_path(str({path}))[{_CALLABLE_IN_FILE!r}]"
        else:
            found = _CALLABLE.fullmatch(self.text)
            assert found is not None  # noqa: S101, as parse has seen
            loads = f"from pathlib import Path\n\nimport {found['module']}\n\n{_IMPORT}"
            app = f"{found['module']}.{found['name']}{found['call'] or ''}"
        return python, _WSGI.format(stem=Path(python).stem, loads=loads, app=app, ini=ini.name)

    def command(self, ini: Path, public_url: str) -> str:
        """Return what starts it behind the middleware, at the address that *public_url* names if it is this machine."""
        parts = urlsplit(public_url)
        host = parts.hostname or ""
        port = parts.port or (80 if parts.scheme == "http" else 443)
        # IPv6 apart, every name of this machine leads there.
        address = "[::1]" if ":" in host else "127.0.0.1"
        bind = f"{address}:{port}" if is_loopback(host) and parts.scheme == "http" else "127.0.0.1:8000"
        name, _ = self.wrapper(ini)
        folder = ini.absolute().parent
        words = ["gunicorn", "--bind", bind]
        if folder != Path.cwd():
            words += ["--chdir", shell_word(folder), "--pythonpath", shell_word(Path.cwd())]
        words += ["--paste", name] if self.kind == "paste" else [f"{Path(name).stem}:application"]
        mount = parts.path.rstrip("/")
        return " ".join([*([f"SCRIPT_NAME={shell_word(mount)}"] if mount else []), *words])


_IMPORT = "from oauth2_mw import OAuth2Middleware"
_WSGI = '''\
"""The application behind its sign-in; gunicorn {stem}:application starts it."""

{loads}

application = OAuth2Middleware({app}, Path(__file__).with_name({ini!r}))
'''
_PASTE = """\
# The application behind its sign-in; gunicorn --paste starts it.

[pipeline:main]
pipeline = sso application

[filter:sso]
use = egg:oauth2-mw
config = %(here)s/{ini}

[app:application]
use = config:{file}#{name}
"""


def _beside(file: str, ini: Path) -> str:
    """Return the path of a file as it is written in one that stands beside *ini*."""
    path, folder = Path(file).absolute(), ini.absolute().parent
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
