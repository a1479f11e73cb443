"""The real applications that have a sample: how each is made ready, and where it does what the table tells."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal
from urllib.parse import unquote

from tests.support.browser.jar import Browser
from tests.support.browser.page import Page
from tests.support.hosts.processes import ROOT, Child, child_environment
from tests.support.hosts.samples import SAMPLES, running
from tests.support.hosts.servers import Site

from . import superset

#: What these applications need stays away from what we need, and what pgAdmin needs from the others.
APPS_PYTHON = ROOT / ".venv-apps" / "bin" / "python"
PROGRAMS_PYTHON = ROOT / ".venv-programs" / "bin" / "python"
PGADMIN_PYTHON = ROOT / ".venv-pgadmin" / "bin" / "python"

#: who may do more than others
MEMBERS = "admins"

PRINCIPAL = b'<propfind xmlns="DAV:"><prop><current-user-principal/></prop></propfind>'


@dataclass(frozen=True)
class Visitor:
    """Somebody's browser, or their program, which keeps no cookies and has a credential instead."""

    site: Site
    browser: Browser
    is_program: bool = False

    def get(self, path: str) -> Page:
        if self.is_program:
            return self.browser.fetch(self.site.url(path), credentials="omit")
        return self.browser.navigate(self.site.url(path))

    def propfind(self, path: str) -> Page:
        credentials: Literal["omit", "same-origin"] = "omit" if self.is_program else "same-origin"
        return self.browser.fetch(
            self.site.url(path),
            method="PROPFIND",
            body=PRINCIPAL,
            headers={"Depth": "0"},
            credentials=credentials,
        )


@dataclass(frozen=True)
class Known:
    """An application. What it cannot do is asked for all the same, and found missing."""

    sample: str
    python: str | Path
    #: makes it ready in a folder, and returns what its ``make_app`` gets behind the INI file, if anything
    prepare: Callable[[Path], str]
    #: the text in which it says who is there
    says: Callable[[Visitor], str]
    #: presses its own button
    log_out: Callable[[Visitor], object]
    #: whether it lets somebody do what only those in the group may
    admits: Callable[[Visitor], bool]
    #: the text in which it shows an address
    profile: Callable[[Visitor], str] | None = None
    #: environment variables that name its folder
    env: tuple[str, ...] = ()

    def shows(self, visitor: Visitor) -> str:
        return (self.profile or self.says)(visitor)

    @contextmanager
    def serving(self, site: Site, folder: Path, settings: Mapping[str, str]) -> Iterator[Child]:
        """Serve its sample until the end of the ``with``; *settings* say who the provider is."""
        assert Path(self.python).exists(), "the application is not installed: run `make test-apps`"
        arguments = filter(None, [self.prepare(folder)])
        env = {name: str(folder / "application") for name in self.env}
        with running(
            self.sample, *arguments, site=site, folder=folder, python=self.python, settings=settings, env=env
        ) as child:
            yield child


def command(python: Path, name: str, *arguments: object) -> None:
    """Run a command that an application has brought."""
    parts = [str(part) for part in (python.with_name(name), *arguments)]
    done = subprocess.run(parts, env=child_environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def click(path: str, link: str) -> Callable[[Visitor], object]:
    """Return what opens a page and follows a link there."""

    def clicked(visitor: Visitor) -> Page:
        visitor.get(path)
        return visitor.browser.click(link)

    return clicked


def press_logout(path: str) -> Callable[[Visitor], object]:
    """Return what opens a page and presses the button for logging out there."""

    def pressed(visitor: Visitor) -> Page:
        visitor.get(path)
        return visitor.browser.submit("logout")

    return pressed


def page(path: str) -> Callable[[Visitor], str]:
    """Return what opens a page and returns its text with all its markup."""
    return lambda visitor: visitor.get(path).text


def opens(path: str) -> Callable[[Visitor], bool]:
    """Return what tells whether a page is shown, and not one that asks for a password."""

    def shown(visitor: Visitor) -> bool:
        found = visitor.get(path)
        return found.status == 200 and found.path.startswith(path)

    return shown


# Flask-AppBuilder


def appbuilder_says(visitor: Visitor) -> str:
    visitor.get("/login/")
    text = visitor.get("/").visible_text
    assert "Profile" in text, text
    return text


# Django


def prepare_django(folder: Path) -> str:
    env = child_environment({"DJANGO_DATABASE": str(folder / "application")})
    subprocess.run([sys.executable, "-m", "samples.django_app"], env=env, check=True, timeout=120)
    return ""


# hgweb


def prepare_hgweb(folder: Path) -> str:
    """Some repositories, each of which is shown to one name alone; those of a group to none."""
    empty, paths = folder / "empty", []
    command(PROGRAMS_PYTHON, "hg", "init", empty)
    for name in ("zoé", "jane", "bob", MEMBERS):
        repository = shutil.copytree(empty, folder / "repositories" / name)
        (repository / ".hg" / "hgrc").write_text(f"[web]\nallow_read = {name}\n", encoding="utf-8")
        paths.append(f"of-{name} = {repository}\n")
    configuration = folder / "hgweb.config"
    configuration.write_text(f"[paths]\n{''.join(paths)}[web]\nencoding = UTF-8\n", encoding="utf-8")
    return str(configuration)


# MoinMoin


def prepare_moin(folder: Path) -> str:
    wiki = folder / "wiki"
    command(APPS_PYTHON, "moin", "create-instance", "--path", wiki)
    configuration = wiki / "wikiconfig.py"
    text = configuration.read_text(encoding="utf-8")
    configuration.write_text(text.replace("YOUR-SUPER-USER-NAME", "AdminsGroup"), encoding="utf-8")
    env = {**child_environment(), "MOINCFG": str(configuration)}
    moin = APPS_PYTHON.with_name("moin")
    subprocess.run([moin, "index-create"], env=env, cwd=wiki, check=True, capture_output=True, timeout=120)
    return str(configuration)


# Radicale

RIGHTS = f"""
[principal]
user: .+
collection: {{user}}(/.*)?
permissions: RWrw

[root]
user: .+
collection:
permissions: R

[team]
groups: {MEMBERS}
collection: team
permissions: RW
"""


def prepare_radicale(folder: Path) -> str:
    (folder / "rights").write_text(RIGHTS)
    configuration = folder / "config"
    configuration.write_text(
        f"[rights]\ntype = from_file\nfile = {folder}/rights\n[storage]\nfilesystem_folder = {folder}/collections\n"
    )
    return str(configuration)


def radicale_says(visitor: Visitor) -> str:
    found = re.search("<current-user-principal><href>([^<]*)</href>", visitor.propfind("/").text)
    assert found is not None
    return unquote(found[1])


# Roundup


def prepare_roundup(folder: Path) -> str:
    tracker = folder / "tracker"
    keys = "tracker_web=http://127.0.0.1/,mail_domain=example.com,mailhost=localhost,admin_email=root@example.com"
    command(APPS_PYTHON, "roundup-admin", "-i", tracker, "install", "classic", "sqlite", keys)
    command(APPS_PYTHON, "roundup-admin", "-i", tracker, "initialise", "not used by anybody")
    (tracker / "interfaces.py").write_bytes((SAMPLES / "roundup_interfaces.py").read_bytes())
    return str(tracker)


def roundup_says(visitor: Visitor) -> str:
    # The address of nobody else is shown to a program, and no name.
    return visitor.get("/rest/data/user?@fields=address" if visitor.is_program else "/").text


# Trac


def prepare_trac(folder: Path) -> str:
    project = folder / "project"
    command(APPS_PYTHON, "trac-admin", project, "initenv", "Project", "sqlite:db/trac.db")
    command(APPS_PYTHON, "trac-admin", project, "permission", "add", MEMBERS, "TRAC_ADMIN")
    (project / "plugins" / "people.py").write_bytes((SAMPLES / "trac_plugin.py").read_bytes())
    return str(project)


# pgAdmin


def pgadmin_says(visitor: Visitor) -> str:
    visitor.get("/")
    text = visitor.get("/user_management/current_user.js").text
    assert "pgadmin.user_management.current_user" in text
    return text


def prepare_folder(folder: Path) -> str:
    (folder / "files").mkdir()
    return str(folder / "files")


# Superset


class Superset(Known):
    """Its configuration puts it behind the middleware: it has no ``make_app`` of ours."""

    @contextmanager
    def serving(self, site: Site, folder: Path, settings: Mapping[str, str]) -> Iterator[Child]:
        with superset.serving(site, folder, settings) as child:
            yield child


def superset_says(visitor: Visitor) -> str:
    visitor.get("/login/")
    answer = visitor.get("/api/v1/me/roles/")
    assert answer.status == 200, answer.text
    person = answer.json()["result"]
    return f"{person['username']} {person['email']} {[*person['roles']]}"


KNOWN: Mapping[str, Known] = MappingProxyType(
    {
        "appbuilder": Known(
            "appbuilder",
            APPS_PYTHON,
            lambda folder: f"sqlite:///{folder}/application.db",
            says=appbuilder_says,
            log_out=lambda visitor: (visitor.get("/login/"), visitor.browser.click("/logout/")),
            admits=lambda visitor: (
                bool(appbuilder_says(visitor)) and "Record Count" in visitor.get("/users/list/").text
            ),
            profile=lambda visitor: appbuilder_says(visitor) + visitor.get("/users/userinfo/").text,
        ),
        "django": Known(
            "django",
            sys.executable,
            prepare_django,
            says=lambda visitor: str(visitor.get("/").json()),
            log_out=press_logout("/admin/"),
            admits=opens("/admin/auth/group/"),
            env=("DJANGO_DATABASE",),
        ),
        "hgweb": Known(
            "hgweb",
            PROGRAMS_PYTHON,
            prepare_hgweb,
            says=page("/"),
            log_out=click("/", "out"),
            admits=lambda visitor: f"of-{MEMBERS}" in visitor.get("/").text,
        ),
        "moin": Known(
            "moin",
            APPS_PYTHON,
            prepare_moin,
            says=page("/+usersettings"),
            log_out=click("/+usersettings", "out"),
            admits=opens("/+admin/userbrowser"),
        ),
        "pgadmin": Known(
            "pgadmin",
            PGADMIN_PYTHON,
            lambda _folder: str(SAMPLES / "pgadmin_config.py"),
            says=pgadmin_says,
            log_out=lambda visitor: visitor.browser.navigate(
                visitor.site.url("/logout"), initiator=visitor.site.origin
            ),
            admits=lambda visitor: "'is_admin': true" in pgadmin_says(visitor),
            env=("PGADMIN_FOLDER",),
        ),
        "radicale": Known(
            "radicale",
            PROGRAMS_PYTHON,
            prepare_radicale,
            says=radicale_says,
            log_out=click("/.web/", "Logout"),
            # There is no such folder, which is told to those alone who may look for one.
            admits=lambda visitor: visitor.propfind("/team/").status == 404,
        ),
        "roundup": Known(
            "roundup",
            APPS_PYTHON,
            prepare_roundup,
            says=roundup_says,
            log_out=click("/", "Logout"),
            admits=lambda visitor: "Class List" in visitor.get("/").text,
            profile=page("/rest/data/user?@fields=address"),
        ),
        "superset": Superset(
            "superset",
            superset.PYTHON,
            lambda _folder: "",
            says=superset_says,
            # Its pages are a script's, and so is the link on them.
            log_out=lambda visitor: (
                superset_says(visitor),
                visitor.browser.navigate(visitor.site.url("/logout/"), initiator=visitor.site.origin),
            ),
            admits=lambda visitor: "'Admin'" in superset_says(visitor),
        ),
        "trac": Known(
            "trac",
            APPS_PYTHON,
            prepare_trac,
            says=page("/"),
            log_out=press_logout("/"),
            admits=opens("/admin"),
            profile=page("/prefs"),
        ),
        "wsgidav": Known(
            "wsgidav",
            PROGRAMS_PYTHON,
            prepare_folder,
            says=page("/"),
            log_out=click("/", "out"),
            admits=lambda _visitor: False,
        ),
    }
)
