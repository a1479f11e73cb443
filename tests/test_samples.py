"""The samples, run as they stand: what they promise about an application behind the middleware is what happens."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from webob import Request

from oauth2_mw import prometheus
from oauth2_mw.cli.main import main
from oauth2_mw.identity.model import Identity
from oauth2_mw.middleware import OAuth2Middleware
from samples.plain_names import plain_names
from tests.support.hosts import guarded
from tests.support.hosts.wsgi_call import WsgiResponse, call, environ_for
from tests.support.settings.keys import text_key

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "samples"
LOGIN = "https://app.example/auth/oauth2/login/"
JANE = replace(guarded.JANE, username="jané", name="Jané <Doe>", groups=("staff", "admins"))
JOHN = Identity(id="u2", provider="default", issuer="https://id.example", subject="43", username="john")


@pytest.fixture(scope="module")
def ini(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the operator of a sample writes."""
    path = tmp_path_factory.mktemp("sample") / "oauth2.ini"
    path.write_text(
        "[oauth2_mw]\npublic_url = https://app.example\nprotect = optional\n"
        f"secret_keys = {text_key()}\n"
        "issuer = https://id.example\nclient_id = app\nclient_secret = s3cret\n",
        encoding="utf-8",
    )
    return str(path)


def get(
    middleware: OAuth2Middleware, path: str = "/", *, cookies: str | None = None, query: str = ""
) -> WsgiResponse:
    answer = call(middleware, environ_for(path, QUERY_STRING=query, HTTP_COOKIE=cookies))
    answer.iterable = list(answer.iterable)
    return answer


# Flask


@pytest.fixture
def flask_app(ini: str) -> OAuth2Middleware:
    sample = importlib.import_module("samples.flask_app")
    middleware = sample.make_app(ini).wsgi_app
    assert isinstance(middleware, OAuth2Middleware)
    return middleware


def test_the_flask_sample_greets_everybody_and_offers_a_sign_in(flask_app: OAuth2Middleware) -> None:
    answer = get(flask_app)
    assert answer.status == 200
    assert f'<a href="{LOGIN}">Sign in</a>' in answer.text


def test_the_flask_sample_greets_a_person_by_name(flask_app: OAuth2Middleware) -> None:
    page = get(flask_app, cookies=guarded.sign_in(flask_app, JANE)).text
    assert "Welcome, Jané &lt;Doe&gt;." in page
    assert "/auth/oauth2/logout/" in page


def test_the_flask_sample_sees_remote_user_and_brings_strangers_back_after_their_sign_in(
    flask_app: OAuth2Middleware,
) -> None:
    assert "Reports for john" in get(flask_app, "/reports", cookies=guarded.sign_in(flask_app, JOHN)).text
    stranger = get(flask_app, "/reports", query="year=2026")
    assert stranger.status == 302
    assert stranger.header("Location") == f"{LOGIN}?next=/reports%3Fyear%3D2026"


def is_for_admins_alone(middleware: OAuth2Middleware) -> None:
    """A view under the decorator of a sample."""
    admin = get(middleware, "/salaries", cookies=guarded.sign_in(middleware, JANE))
    assert (admin.status, "Salaries" in admin.text) == (200, True)
    john = call(
        middleware,
        environ_for("/salaries", HTTP_COOKIE=guarded.sign_in(middleware, JOHN), HTTP_ACCEPT="text/html"),
    )
    assert john.status == 403
    assert "<bdi>john</bdi>" in john.text
    stranger = get(middleware, "/salaries")
    assert stranger.status == 401
    assert "next=/salaries" in stranger.text


def test_a_decorated_view_of_the_flask_sample_is_for_one_group(flask_app: OAuth2Middleware) -> None:
    is_for_admins_alone(flask_app)


# Django


@pytest.fixture(scope="module")
def django_app(ini: str, tmp_path_factory: pytest.TempPathFactory) -> OAuth2Middleware:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_DATABASE", str(tmp_path_factory.mktemp("django") / "django.db"))
        sample = importlib.import_module("samples.django_app")
    management: Any = importlib.import_module("django.core.management")
    management.call_command("migrate", verbosity=0)
    middleware = sample.make_app(ini)
    assert isinstance(middleware, OAuth2Middleware)
    return middleware


def django_users() -> dict[str, Any]:
    models: Any = importlib.import_module("django.contrib.auth.models")
    return {user.username: user for user in models.User.objects.all()}


def django_session(answer: WsgiResponse) -> str:
    """Django's own session cookie, as the browser sends it back."""
    found = (value.strip() for name, value in answer.headers if name == "Set-Cookie")
    return next(text.partition(";")[0] for text in found if text.startswith("sessionid="))


def test_the_django_sample_makes_a_user_of_whoever_signs_in(django_app: OAuth2Middleware) -> None:
    answer = get(django_app, cookies=guarded.sign_in(django_app, JANE))
    assert answer.text == '{"username": "jan\\u00e9", "email": "jane@example.com"}'
    jane = django_users()["jané"]
    assert jane.email == "jane@example.com"
    assert {group.name for group in jane.groups.all()} == {"staff", "admins"}


def test_the_django_sample_knows_nobody_without_a_sign_in(django_app: OAuth2Middleware) -> None:
    before = set(django_users())
    assert get(django_app).text == '{"username": "", "email": ""}'
    assert set(django_users()) == before


def test_a_decorated_view_of_the_django_sample_is_for_one_group(django_app: OAuth2Middleware) -> None:
    is_for_admins_alone(django_app)


def test_who_may_enter_the_admin_site_of_the_django_sample_the_groups_say(
    django_app: OAuth2Middleware,
) -> None:
    admin = get(django_app, "/admin/", cookies=guarded.sign_in(django_app, JANE))
    assert (admin.status, "Site administration" in admin.text) == (200, True)
    # As samples/django_people.py has it.
    assert (django_users()["jané"].is_staff, django_users()["jané"].is_superuser) == (True, True)
    john = get(django_app, "/admin/", cookies=guarded.sign_in(django_app, JOHN))
    assert (john.status, john.header("Location")) == (302, "/admin/login/?next=/admin/")
    assert not django_users()["john"].is_staff


def test_login_required_of_the_django_sample_sends_strangers_to_our_sign_in(
    django_app: OAuth2Middleware,
) -> None:
    answer = get(django_app, "/profile")
    assert (answer.status, answer.header("Location")) == (302, "/auth/oauth2/login/?next=/profile")
    assert "john" in get(django_app, "/profile", cookies=guarded.sign_in(django_app, JOHN)).text


def test_a_redirect_of_the_django_sample_keeps_every_cookie(
    django_app: OAuth2Middleware, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = importlib.import_module("samples.django_app")

    def answer(_environ: Any, start_response: Any) -> Any:
        start_response("303 See Other", [("Location", "/x"), ("Set-Cookie", A), ("Set-Cookie", B)])
        return [b""]

    A = "__Host-a=1; Path=/; Secure; HttpOnly; SameSite=Lax"
    B = "__Host-b=2; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax"
    monkeypatch.setattr(sample, "require", lambda _environ, **_demanded: answer)
    response = get(django_app, "/salaries")
    assert (response.status, response.header("Location")) == (303, "/x")
    cookies = [value.strip() for name, value in response.headers if name == "Set-Cookie"]
    assert [set(cookie.split("; ")) for cookie in cookies] == [set(A.split("; ")), set(B.split("; "))]


def test_the_session_of_the_django_sample_ends_with_ours_and_with_a_change_of_person(
    django_app: OAuth2Middleware,
) -> None:
    janes = django_session(get(django_app, cookies=guarded.sign_in(django_app, JANE)))
    assert "john" in get(django_app, cookies=f"{guarded.sign_in(django_app, JOHN)}; {janes}").text
    janes = django_session(get(django_app, cookies=guarded.sign_in(django_app, JANE)))
    assert get(django_app, cookies=janes).text == '{"username": "", "email": ""}'


@pytest.mark.parametrize(("effect", "stays"), [("public", False), ("optional", True)])
def test_a_session_of_django_ends_at_a_public_path_and_stays_at_an_optional_one(
    django_app: OAuth2Middleware, tmp_path: Path, effect: str, *, stays: bool
) -> None:
    text = (SAMPLES / "django.ini").read_text(encoding="utf-8")
    ini = tmp_path / "oauth2.ini"
    # Of a cookie in app_cookies a public path sees nothing.
    text = text.replace("app_cookies = sessionid", "").replace("optional   /about", f"{effect}   /about")
    ini.write_text(text, encoding="utf-8")
    (tmp_path / "client-secret").write_text("s3cret")
    (tmp_path / "client-secret").chmod(0o600)
    assert main(["keygen", str(tmp_path / "keys")]) == 0
    project = importlib.import_module("samples.django_app").make_app(str(ini))
    jane = replace(JANE, issuer="https://id.example.com")
    ours = guarded.sign_in(project, jane)
    first = get(project, cookies=ours)
    cookies = [value.strip().partition(";")[0] for name, value in first.headers if name == "Set-Cookie"]
    visit = get(project, "/about", cookies="; ".join((ours, *cookies)))
    assert (visit.status, visit.text) == (200, "About us")
    sessions: Any = importlib.import_module("django.contrib.sessions.models")
    key = next(each for each in cookies if each.startswith("sessionid=")).partition("=")[2]
    assert sessions.Session.objects.filter(session_key=key).exists() is stays
    stranger = get(project, "/about")
    assert (stranger.status, get(project, "/").status) == (200, 401)


# Files


def test_the_sample_with_two_providers_passes_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ini = tmp_path / "oauth2.ini"
    ini.write_text((SAMPLES / "two_providers.ini").read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "corp-secret").write_text("s3cret\n", encoding="utf-8")
    (tmp_path / "corp-secret").chmod(0o600)
    monkeypatch.setenv("GITHUB_SECRET", "s3cret")
    assert main(["keygen", str(tmp_path / "keys")]) == 0
    capsys.readouterr()
    assert main(["check", str(ini)]) == 0
    output = capsys.readouterr().out
    assert "https://app.example.com/auth/oauth2/login/callback/corp/" in output
    assert "https://app.example.com/auth/oauth2/login/callback/github/" in output


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("pipeline.ini#sso", "https://app.example.com/core"),
        ("urlmap.ini#sso", "https://app.example.com"),
        ("mounts.ini#wiki-sso", "https://app.example.com/wiki"),
        ("mounts.ini#shop-sso", "https://app.example.com/shop"),
    ],
)
def test_the_deployment_files_pass_the_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, base: str
) -> None:
    # They are served in tests/integration/applications/test_paste_samples.py.
    folder = tmp_path / "paste"
    shutil.copytree(SAMPLES / "paste", folder)
    (folder / "client-secret").write_text("s3cret")
    (folder / "client-secret").chmod(0o600)
    assert main(["keygen", str(folder / "keys")]) == 0
    assert main(["check", str(folder / name)]) == 0
    assert f"{base}/auth/oauth2/login/callback/" in capsys.readouterr().out


def test_the_sample_logging_writes_routine_events_and_warnings_into_the_audit_file(tmp_path: Path) -> None:
    # In a process of its own: fileConfig changes the logging of the whole process.
    program = (
        "import logging.config, sys; sys.path.insert(0, sys.argv[2])\n"
        "logging.config.fileConfig(sys.argv[1], disable_existing_loggers=False)\n"
        "from oauth2_mw.audit import audit\n"
        "audit('login', user='u1')\n"
        "audit('login_failed', code='token_nonce')\n"
    )
    command = [sys.executable, "-c", program, str(SAMPLES / "logging.ini"), str(ROOT)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    lines = (tmp_path / "audit.log").read_text(encoding="utf-8").splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == [
        "INFO oauth2_mw.audit event=login user=u1",
        "WARNING oauth2_mw.audit event=login_failed code=token_nonce",
    ]
    assert done.stderr == ""


def test_every_sample_has_a_test() -> None:
    # The others are for packages that are not installed here.
    applications = ROOT / "tests" / "integration" / "applications"
    tests = (
        Path(__file__),
        *(applications / f"test_{name}_samples.py" for name in ("framework", "paste", "superset")),
        applications / "known.py",
    )
    named = "".join(test.read_text(encoding="utf-8") for test in tests)
    samples = [path for path in (*SAMPLES.iterdir(), *(SAMPLES / "paste").iterdir()) if path.is_file()]
    assert samples
    for path in samples:
        assert path.stem.removesuffix("_app") in named, path.name


# Names outside ASCII, as docs/applications.rst has them


def test_a_plain_remote_user_backend_of_django_stores_the_octets(django_app: OAuth2Middleware) -> None:
    utils: Any = importlib.import_module("django.test.utils")
    with utils.override_settings(AUTHENTICATION_BACKENDS=["django.contrib.auth.backends.RemoteUserBackend"]):
        page = get(django_app, cookies=guarded.sign_in(django_app, replace(JANE, username="zoé"))).text
    assert '"username": "zo\\u00c3\\u00a9"' in page
    assert "zoÃ©" in django_users()


def test_flask_and_webob_hand_the_octets_on(flask_app: OAuth2Middleware) -> None:
    zoe = replace(JANE, username="zoé")
    assert "Reports for zoÃ©" in get(flask_app, "/reports", cookies=guarded.sign_in(flask_app, zoe)).text
    seen: list[str | None] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        seen.append(Request(environ).remote_user)
        start_response("200 OK", [])
        return []

    for tried in (app, plain_names(app)):
        middleware = guarded.guard(tried)
        get(middleware, cookies=guarded.sign_in(middleware, zoe))
    assert seen == ["zoÃ©", "zoé"]


# Monitoring


def test_every_expression_of_the_dashboard_names_metrics_that_exist() -> None:
    dashboard = json.loads((SAMPLES / "monitoring" / "dashboard.json").read_text(encoding="utf-8"))
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    expressions += [variable["query"] for variable in dashboard["templating"]["list"]]
    named = set(re.findall(r"oauth2_mw_\w+", " ".join(expressions)))
    exist = {each for name in prometheus.NAMES for each in (name, f"{name}_bucket", f"{name}_total")}
    assert named <= exist
    # And none is left out.
    assert {name.removesuffix("_bucket").removesuffix("_total") for name in named} == set(prometheus.NAMES)
    labels = set(re.findall(r"by \(([^)]*)\)", " ".join(expressions)))
    known = {"provider", "outcome", "kind", "peer", "operation", "le", "instance"}
    assert {label for group in labels for label in group.split(", ")} <= known


def test_prometheus_asks_where_the_metrics_are() -> None:
    text = (SAMPLES / "monitoring" / "prometheus.yml").read_text(encoding="utf-8")
    assert "metrics_path: /auth/oauth2/metrics\n" in text
