"""What can be wrong between this machine and a provider, each seen from one command."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from oauth2_mw.cli.main import main
from oauth2_mw.cli.online import Finding
from tests.support.hosts.certificates import self_signed
from tests.support.hosts.listening import listening
from tests.support.hosts.online_world import World
from tests.support.providers.jose import ec_key
from tests.support.providers.raw_server import raw_server, silence
from tests.support.providers.standin import Answer, StandIn

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

HTML = Answer(b"<!doctype html><title>Sign in</title><p>Welcome</p>", content_type="text/html")


def only(found: list[Finding], what: str) -> Finding:
    """The one finding about the provider that is not in order, which is about *what*."""
    (finding,) = (each for each in found if each.what.startswith("provider default"))
    assert finding.what == f"provider default: {what}"
    assert finding.cure
    return finding


def test_a_world_in_order_has_nothing_to_do(world: World) -> None:
    found = world.look()
    assert {each.result for each in found} == {"ok"}
    whats = {each.what.removeprefix("provider default: ") for each in found}
    assert {
        "metadata",
        "keys",
        "clock",
        "redirect URI",
        "client",
        "userinfo_endpoint",
        "public_url: cookies",
    } <= whats


def test_nothing_that_was_sent_is_a_secret_in_the_report(world: World) -> None:
    world.settings(client_secret="canary-secret")
    assert "canary" not in str(world.look(client_secret="canary-secret"))


# The client


def test_a_wrong_secret(world: World) -> None:
    finding = only(world.problems(client_secret="wrong"), "client")
    assert "invalid_client" in finding.says
    assert "client_secret" in finding.cure


def test_a_wrong_way_to_authenticate(world: World) -> None:
    finding = only(world.problems(client_auth_method="client_secret_post"), "client")
    assert "the provider offers 'client_secret_basic'" in finding.cure


def test_a_wrong_client_id(world: World) -> None:
    uri, client = world.problems(client_id="other")[:2]
    assert "refuses the authorization request: HTTP 400" in uri.says
    assert "check client_id" in uri.cure
    assert "invalid_client" in client.says


def test_a_client_that_is_not_known_by_its_words(world: World) -> None:
    world.replace_provider(_Refusing(Answer(b'{"error": "invalid_client"}', 401)))
    finding = world.problems()[0]
    assert finding.what == "provider default: client_id"
    assert "seems not to be known" in finding.says


def test_a_redirect_uri_that_is_not_registered(world: World) -> None:
    world.provider.registered = {"https://other.example/callback"}
    finding = only(world.problems(), "redirect URI")
    assert finding.says.startswith("seems not to be registered")
    assert f"{world.public_url}/auth/oauth2/login/callback/" in finding.cure


@pytest.mark.parametrize(
    "answer",
    [
        Answer(b"<p>Error: redirect_uri_mismatch</p>", content_type="text/html"),
        Answer(b"<p>The redirect URI is not registered.</p>", 403, "text/html"),
        Answer(status=302, headers=(("Location", "/oauth/error?authError=x"),)),
    ],
)
def test_a_refusal_of_the_redirect_uri_in_other_forms(world: World, answer: Answer) -> None:
    world.replace_provider(_Refusing(answer))
    assert only(world.problems(), "redirect URI").result == "problem"


def test_a_provider_that_shows_no_difference(world: World) -> None:
    world.replace_provider(_Refusing(HTML))
    assert world.problems() == []
    (finding,) = (each for each in world.look() if each.result == "unknown")
    assert "only a sign-in will tell" in finding.says


def test_an_authorization_request_that_comes_back_with_an_error(world: World) -> None:
    world.provider.denies = "invalid_scope"
    finding = only(world.problems(), "authorization request")
    assert "'invalid_scope'" in finding.says


class _Refusing(StandIn):
    """A provider whose authorization endpoint says the same to everybody."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer

    def _authorize(self, query: Any) -> Answer:
        return self.answer


# The metadata


def test_an_issuer_without_metadata(world: World) -> None:
    finding, untried = world.look(issuer=f"{world.provider.issuer}/realms/other")[1:3]
    assert "there is no metadata at" in finding.says
    assert finding.cure == "check issuer, or set the endpoints"
    assert (untried.result, "not tried" in untried.says) == ("unknown", True)


def test_an_issuer_with_another_one_inside(world: World) -> None:
    world.provider.metadata["issuer"] = "https://id.example.com"
    finding = only(world.problems(), "metadata")
    assert finding.cure == "write issuer = https://id.example.com, if that is the provider that is meant"


def test_an_issuer_with_a_slash_too_many(world: World) -> None:
    finding = only(world.problems(issuer=f"{world.provider.issuer}/"), "metadata")
    assert finding.cure == f"write issuer = {world.provider.issuer}"


def test_an_issuer_that_names_none(world: World) -> None:
    world.provider.metadata["issuer"] = ["x"]
    assert only(world.problems(), "metadata").cure == "have the provider name its issuer"


def test_metadata_that_is_a_page(world: World) -> None:
    world.provider.answers["discovery"] = HTML
    assert "cannot be used: it is not JSON" in only(world.problems(), "metadata").says


def test_written_endpoints_without_an_issuer(world: World) -> None:
    url = world.provider.url
    world.provider.oidc = False
    found = world.look(
        issuer="",
        authorization_endpoint=f"{url}/authorize",
        token_endpoint=f"{url}/token",
        userinfo_endpoint=f"{url}/nothing",
    )
    finding = only([each for each in found if each.result != "ok"], "userinfo_endpoint")
    assert "HTTP 404" in finding.says


def test_written_endpoints_beside_an_issuer_without_metadata(world: World) -> None:
    url = world.provider.url
    world.provider.answers["discovery"] = Answer(b"{}", 404)
    endpoints = {
        "authorization_endpoint": f"{url}/authorize",
        "token_endpoint": f"{url}/token",
        "jwks_uri": f"{url}/jwks",
    }
    finding = only(world.problems(seconds=10, **endpoints), "metadata")
    assert finding.result == "warning"
    assert "the endpoints that are written serve" in finding.says


# Keys and endpoints


def test_keys_that_are_not_there(world: World) -> None:
    world.provider.answers["jwks"] = Answer(b"{}", 404)
    assert "was answered with HTTP 404" in only(world.problems(), "keys").says


def test_keys_of_another_kind(world: World) -> None:
    world.provider.jwks = [ec_key().jwk()]
    assert "algorithms" in only(world.problems(algorithms="RS256"), "keys").cure


def test_a_token_endpoint_that_is_a_page(world: World) -> None:
    world.provider.answers["token"] = lambda _: HTML
    assert "HTML" in (finding := only(world.problems(), "token endpoint")).says + finding.cure
    assert "token_endpoint" in finding.cure


def test_a_token_endpoint_that_gives_tokens_for_anything(world: World) -> None:
    tokens = b'{"access_token": "a", "token_type": "Bearer", "id_token": "x"}'
    world.provider.answers["token"] = lambda _: Answer(tokens)
    assert "nobody has issued" in only(world.problems(), "token endpoint").says


def test_a_token_endpoint_that_says_something_else(world: World) -> None:
    world.provider.answers["token"] = lambda _: Answer(b'{"error": "invalid_request"}', 400)
    assert world.problems() == []
    assert any("tells nothing of the client" in each.says for each in world.look())


def test_a_token_endpoint_with_a_fault(world: World) -> None:
    world.provider.answers["token"] = lambda _: Answer(b"", 503)
    assert "HTTP 503" in only(world.problems(), "token endpoint").says


def test_a_userinfo_endpoint_that_is_a_page(world: World) -> None:
    world.provider.metadata["userinfo_endpoint"] = f"{world.provider.url}/page"
    world.replace_provider(_WithPage())
    world.provider.metadata["userinfo_endpoint"] = f"{world.provider.url}/page"
    assert "without a token with a page" in only(world.problems(), "userinfo_endpoint").says


class _WithPage(StandIn):
    def _route(self, request: Any) -> Answer:
        return HTML if request.path == "/page" else super()._route(request)


def test_a_logout_endpoint_that_is_not_there(world: World) -> None:
    finding = only(world.problems(logout_endpoint=f"{world.provider.url}/nothing"), "logout_endpoint")
    assert "HTTP 404" in finding.says


@pytest.mark.parametrize(("endpoint", "problems"), [("introspect", 0), ("nothing", 1)])
def test_introspection_is_tried_where_it_is_used(world: World, endpoint: str, problems: int) -> None:
    keys = {
        "accept_tokens": "introspection",
        "bearer_paths": "/api/",
        "token_audiences": "api",
        "introspection_endpoint": f"{world.provider.url}/{endpoint}",
    }
    assert (
        len([each for each in world.problems(seconds=10, **keys) if "introspection" in each.what]) == problems
    )


# The clock


class _Skewed(StandIn):
    """A provider whose clock differs."""

    ahead = 0

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=self.ahead), usegmt=True)

        def start(status: str, headers: list[tuple[str, str]], error: Any = None) -> Any:
            return start_response(status, [*headers, ("Date", date)])

        return super().__call__(environ, start)


@pytest.mark.parametrize(
    ("ahead", "result", "says"),
    [
        (600, "problem", "s behind"),
        (-600, "problem", "s ahead of"),
        (30, "warning", "s behind"),
        (0, "ok", "agree"),
    ],
)
def test_a_clock_that_is_off(world: World, ahead: int, result: str, says: str) -> None:
    provider = _Skewed()
    provider.ahead = ahead
    world.replace_provider(provider)
    (finding,) = (each for each in world.look() if each.what == "provider default: clock")
    assert finding.result == result
    assert says in finding.says
    assert ("NTP" in finding.cure) is (result != "ok")


def test_a_provider_that_does_not_say_what_time_it_is(world: World) -> None:
    with raw_server(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n") as server:
        found = world.look(issuer=server.origin)
    assert ("provider default: clock", "unknown") in {(each.what, each.result) for each in found}


# TLS and the network


def over_tls(world: World, certificate: Path, **more: Any) -> StandIn:
    return world.replace_provider(StandIn(certificate=certificate, **more))


def test_a_certificate_of_an_authority_of_ones_own(world: World, tmp_path: Path) -> None:
    over_tls(world, self_signed(tmp_path / "one.pem"))
    assert "ca_bundle" in only(world.problems(), "metadata").cure


def test_a_ca_bundle_of_another_authority(world: World, tmp_path: Path) -> None:
    over_tls(world, self_signed(tmp_path / "one.pem"))
    other = self_signed(tmp_path / "two.pem")
    assert "ca_bundle" in only(world.problems(ca_bundle=str(other)), "metadata").cure


def test_a_certificate_that_has_expired(world: World, tmp_path: Path) -> None:
    certificate = self_signed(tmp_path / "one.pem", days=(-9, -2))
    over_tls(world, certificate)
    finding = only(world.problems(ca_bundle=str(certificate)), "metadata")
    assert "expired" in finding.says
    assert "renewed" in finding.cure


def test_a_certificate_for_another_name(world: World, tmp_path: Path) -> None:
    certificate = self_signed(tmp_path / "one.pem")
    over_tls(world, certificate, host="localhost")
    finding = only(world.problems(ca_bundle=str(certificate)), "metadata")
    assert "mismatch" in finding.says
    assert "the name that its certificate is for" in finding.cure


@pytest.mark.parametrize(("days", "result"), [(5, "warning"), (90, "ok")])
def test_a_certificate_that_ends_soon(world: World, tmp_path: Path, days: int, result: str) -> None:
    certificate = self_signed(tmp_path / "one.pem", days=(-1, days))
    over_tls(world, certificate)
    (finding,) = (each for each in world.look(ca_bundle=str(certificate)) if each.what.endswith(": TLS"))
    assert finding.result == result
    assert "is trusted, and valid until" in finding.says or "days from now" in finding.says


def test_http_where_https_is_written(world: World) -> None:
    finding = only(world.problems(issuer=world.provider.issuer.replace("http:", "https:")), "metadata")
    assert "that port speaks no TLS" in finding.says
    assert finding.cure == "write the port of https"


def test_a_host_that_is_silent(world: World) -> None:
    with raw_server(silence) as server:
        finding = only(world.problems(issuer=server.origin, seconds=0.5), "metadata")
    assert "within 0.5 seconds" in finding.says


def test_a_host_that_is_not_there(world: World) -> None:
    with listening() as (port, _):
        pass
    finding = only(world.problems(issuer=f"http://127.0.0.1:{port}"), "metadata")
    assert "no connection" in finding.says
    assert "check that the provider runs there" in finding.cure


def test_a_proxy_that_is_not_there(world: World) -> None:
    with listening() as (port, _):
        pass
    finding = only(world.problems(proxy=f"http://127.0.0.1:{port}"), "metadata")
    assert "the proxy for" in finding.says
    assert "check proxy" in finding.cure


# The command


def test_the_command_prints_a_line_a_finding_and_ends_with_1(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.settings(client_secret="wrong")
    assert main(["check", str(world.ini), "--online", "--timeout", "5"]) == 1
    out = capsys.readouterr().out
    (line,) = (line for line in out.splitlines() if line.startswith("  problem  "))
    assert line.startswith("  problem  provider default: client: ")
    assert "; what to do: check client_id, client_secret" in line
    assert main(["check", str(world.ini), "--online", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    problems = [each for each in report["online"] if each["result"] == "problem"]
    assert [each["what"] for each in problems] == ["provider default: client"]
    assert set(problems[0]) == {"what", "result", "says", "cure"}


def test_a_warning_counts_with_strict_alone(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.settings(attribute_map='{"username": "email"}')
    assert main(["check", str(world.ini), "--online", "--strict"]) == 0
    world.ini.chmod(0o644)
    assert main(["check", str(world.ini), "--online"]) == 0
    assert main(["check", str(world.ini), "--online", "--strict"]) == 1
    assert "  warning  file of the settings, in which secrets stand: " in capsys.readouterr().out


def test_without_online_nobody_is_asked(world: World) -> None:
    world.settings()
    assert main(["check", str(world.ini)]) == 0
    assert world.provider.requests == []


def test_a_timeout_is_a_number_of_seconds(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("0", "121", "x", "\u0661"):
        with pytest.raises(SystemExit) as ended:
            main(["check", "--timeout", text])
        assert ended.value.code == 2
        assert "whole seconds from 1 to 120" in capsys.readouterr().err
