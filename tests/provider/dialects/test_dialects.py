"""Providers with words of their own: what they answer is taken for what it means, and errors for errors."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Iterator
from typing import Any, get_args
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.errors import OAuth2Error, ProviderError, ProviderUnavailableError, TokenError
from oauth2_mw.observe import quiet_libraries
from oauth2_mw.provider.client import Authentication, ProviderClient
from oauth2_mw.provider.dialects import make_dialect
from oauth2_mw.provider.dialects.dialect import CodeGrant, UserinfoRequest
from oauth2_mw.provider.dialects.vocabulary import rename_parameters
from oauth2_mw.provider.discovery.metadata import ProviderMetadata
from oauth2_mw.provider.endpoints.authorization_response import with_standard_code
from oauth2_mw.provider.endpoints.client_authentication import ClientAuthentication
from oauth2_mw.provider.endpoints.client_request import AuthenticatedClient
from oauth2_mw.provider.http.messages import Response, Timeouts
from oauth2_mw.settings.presets import DialectName
from tests.support.clock import Clock
from tests.support.providers import recorded
from tests.support.providers.dialects import provider_of
from tests.support.providers.fixed_transport import FixedTransport
from tests.support.providers.recorded import RecordedProvider, RecordedWorld, Reply
from tests.support.providers.sign_in import REDIRECT_URI, VERIFIER
from tests.support.settings.minimal import CLIENT_SECRET, make_settings
from tests.support.settings.providers import provider_settings

NAMES = ("dingtalk", "feishu", "lark", "wechat", "wecom")
#: those that give a person tokens of their own
WITH_TOKENS = ("dingtalk", "feishu", "lark", "wechat")
#: name -> what the member with an error's code is called, and the one that describes it
ERRORS = {
    "dingtalk": ("code", "message"),
    "feishu": ("code", "error_description"),
    "lark": ("code", "error_description"),
    "wechat": ("errcode", "errmsg"),
    "wecom": ("errcode", "errmsg"),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordedWorld]:
    with recorded.recorded_world(tmp_path_factory.mktemp("providers")) as world:
        yield world


class Client:
    """A client of one recorded provider, which can be told to answer something else."""

    def __init__(self, world: RecordedWorld, name: str, **keys: Any) -> None:
        recording = recorded.read(name)
        self.provider: RecordedProvider = provider_of(recording)
        world.open(self.provider)
        self._world = world
        self.clock = Clock()
        settings = make_settings(
            **{
                "preset": name,
                "client_id": recording.client_id,
                "proxy": world.proxy,
                "ca_bundle": str(world.certificate),
                "allow": "*",
                **recording.members["settings"],
                **keys,
            }
        ).providers["default"]
        quick = Timeouts(connect=2, read=5, total=5)
        self.own = ProviderClient(settings, redirect_uri=REDIRECT_URI, clock=self.clock, timeouts=quick)

    def begin(self) -> str:
        """Go to the provider; return the code with which one comes back."""
        url = self.own.authorization_url(state="the-state", nonce="n", code_verifier=VERIFIER)
        return with_standard_code(self.provider.authorize(url))["code"]

    def redeem(self, code: str) -> Authentication:
        found = self.own.redeem(code=code, nonce="n", code_verifier=VERIFIER)
        assert self._world.errors == []
        return found

    def sign_in(self) -> Authentication:
        return self.redeem(self.begin())

    def refusal(self, code: str | None = None) -> OAuth2Error:
        """The error with which a sign-in ends."""
        with pytest.raises(OAuth2Error) as refusal:
            self.redeem(self.begin() if code is None else code)
        assert self._world.errors == []
        assert refusal.value.detail.isprintable()
        return refusal.value

    def calls(self, endpoint: str) -> int:
        """How often an endpoint was called."""
        return self.provider.calls.count(self.provider.recording.addresses[endpoint])


# What is right


@pytest.mark.parametrize("name", NAMES)
def test_a_person_is_known_by_the_origin_of_the_token_endpoint_and_the_subject(
    world: RecordedWorld, name: str
) -> None:
    client = Client(world, name)
    found = client.sign_in()
    token_endpoint = client.provider.recording.addresses["token_endpoint"]
    assert token_endpoint.startswith(f"{found.issuer}/")
    assert found.subject == client.provider.recording.members["expected"]["subject"]
    assert found.tokens.expires_at == (None if name == "wecom" else client.clock() + 7200)


@pytest.mark.parametrize("code", [0, "0", None, ""])
def test_a_code_that_stands_for_success_is_no_error(world: RecordedWorld, code: Any) -> None:
    client = Client(world, "lark")
    for endpoint, member in (("token_endpoint", "token"), ("userinfo_endpoint", "userinfo")):
        client.provider.replaced[endpoint] = {**client.provider.recording.members[member], "code": code}
    assert client.sign_in().claims["tenant_key"] == "736588c92lxf175d"


def test_a_parameter_that_is_renamed_is_sent_once() -> None:
    url = "https://a.example/x?appid=evil&client_id=own&response_type=code&empty="
    renamed = rename_parameters(url, {"client_id": "appid", "response_type": None})
    assert renamed == "https://a.example/x?appid=own&empty="


def test_a_code_may_come_under_another_name() -> None:
    assert with_standard_code({"authCode": "a", "state": "s"})["code"] == "a"
    assert with_standard_code({"authCode": "a", "code": "c"})["code"] == "c"
    assert with_standard_code({"authCode": "a", "code": ""})["code"] == "a"
    assert with_standard_code({"authCode": "", "state": "s"}) == {"authCode": "", "state": "s"}


# Errors


@pytest.mark.requirement("R-dialects")
@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_secret_is_told_in_the_provider_s_words(world: RecordedWorld, name: str) -> None:
    refusal = Client(world, name, client_secret="another").refusal()
    assert refusal.code == "invalid_client"
    assert f"{ERRORS[name][0]} " in refusal.detail
    assert refusal.detail.endswith("Check client_id and client_secret")


@pytest.mark.requirement("R-dialects")
@pytest.mark.parametrize("name", NAMES)
def test_a_code_serves_once(world: RecordedWorld, name: str) -> None:
    client = Client(world, name)
    code = client.begin()
    client.redeem(code)
    refusal = client.refusal(code)
    assert refusal.code == "invalid_grant"
    assert f"{ERRORS[name][0]} " in refusal.detail
    assert code not in refusal.detail


HOSTILE = ["40000", 40000, True, False, [0], {"0": 0}, 1.5, -2, 10**39, "x" * 1000, "\n", "0 ", "00"]


@pytest.mark.requirement("R-dialects")
@pytest.mark.parametrize("code", HOSTILE, ids=lambda code: repr(code)[:20])
@pytest.mark.parametrize("name", NAMES)
def test_an_error_beside_what_is_right_is_an_error(world: RecordedWorld, name: str, code: Any) -> None:
    error, description = ERRORS[name]
    for endpoint, member in (("token_endpoint", "token"), ("userinfo_endpoint", "userinfo")):
        client = Client(world, name)
        good = client.provider.recording.members[member]
        said = {"msg": "words"} if member == "userinfo" and name in ("feishu", "lark") else {}
        client.provider.replaced[endpoint] = {**good, error: code, description: "words", **said}
        refusal = client.refusal()
        assert isinstance(refusal, ProviderError)
        assert refusal.code in ("token_refused", "userinfo_refused")
        assert error in refusal.detail
        assert "words" in refusal.detail or len(refusal.detail) > 200


@pytest.mark.requirement("R-dialects")
@pytest.mark.parametrize("name", NAMES)
def test_an_error_in_the_words_of_the_specification_is_one_too(world: RecordedWorld, name: str) -> None:
    for endpoint, member in (("token_endpoint", "token"), ("userinfo_endpoint", "userinfo")):
        client = Client(world, name)
        good = client.provider.recording.members[member]
        client.provider.replaced[endpoint] = {**good, "error": "slow_down"}
        assert "slow_down" in client.refusal().detail


@pytest.mark.parametrize(
    ("name", "endpoint", "answer"),
    [
        ("wechat", "token_endpoint", {"errcode": -1, "errmsg": "system error"}),
        ("wechat", "userinfo_endpoint", {"errcode": -1}),
        ("wecom", "token_endpoint", {"errcode": -1, "errmsg": "system error"}),
        ("wecom", "userinfo_endpoint", {"errcode": -1, "errmsg": "system error"}),
        ("feishu", "token_endpoint", {"code": 20072, "error_description": "temporarily unavailable"}),
        ("feishu", "userinfo_endpoint", {"code": 20050, "msg": "System error"}),
        *((name, "token_endpoint", Reply(503, {})) for name in NAMES),
        *((name, "userinfo_endpoint", Reply(500, b"<html>")) for name in NAMES),
    ],
)
def test_a_fault_of_the_provider_s_own_passes(
    world: RecordedWorld, name: str, endpoint: str, answer: Any
) -> None:
    client = Client(world, name)
    client.provider.replaced[endpoint] = answer
    assert isinstance(client.refusal(), ProviderUnavailableError)


@pytest.mark.parametrize(
    "answer", [b"<html>", b"", b"[]", b'"x"', b'callback( {"openid":"x"} );', b"{", b"{}"]
)
@pytest.mark.parametrize("endpoint", ["token_endpoint", "userinfo_endpoint"])
@pytest.mark.parametrize("name", NAMES)
def test_an_answer_of_another_kind_is_unusable(
    world: RecordedWorld, name: str, endpoint: str, answer: bytes
) -> None:
    client = Client(world, name)
    client.provider.replaced[endpoint] = Reply(200, answer)
    assert client.refusal().code in ("token_response", "userinfo", "no_subject")


@pytest.mark.requirement("R-dialects")
def test_an_error_in_a_form_is_an_error(world: RecordedWorld) -> None:
    client = Client(world, "wechat")
    form = b"access_token=a&openid=o6_bmjrPTlm6_2sgVt7hMZOPfL2M&errcode=40000"
    client.provider.replaced["token_endpoint"] = Reply(200, form)
    assert client.refusal().code == "token_refused"


@pytest.mark.parametrize("status", [302, 404])
@pytest.mark.parametrize("endpoint", ["token_endpoint", "userinfo_endpoint"])
@pytest.mark.parametrize("name", NAMES)
def test_another_status_is_unusable(world: RecordedWorld, name: str, endpoint: str, status: int) -> None:
    client = Client(world, name)
    client.provider.replaced[endpoint] = Reply(status, {})
    refusal = client.refusal()
    assert f"HTTP {status}" in refusal.detail
    assert endpoint in refusal.detail


@pytest.mark.parametrize("name", WITH_TOKENS)
def test_an_access_token_that_is_too_long_is_not_sent(world: RecordedWorld, name: str) -> None:
    client = Client(world, name)
    own = "accessToken" if name == "dingtalk" else "access_token"
    client.provider.replaced["token_endpoint"] = {
        **client.provider.recording.members["token"],
        own: "x" * 20_000,
    }
    assert "20000 characters" in client.refusal().detail
    assert client.calls("userinfo_endpoint") == 0


@pytest.mark.parametrize("data", [None, [], "open_id", 1])
def test_an_envelope_holds_an_object(world: RecordedWorld, data: Any) -> None:
    client = Client(world, "feishu")
    client.provider.replaced["userinfo_endpoint"] = {"code": 0, "msg": "success", "data": data}
    assert client.refusal().code == "userinfo"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
MEMBERS = st.dictionaries(
    st.sampled_from(
        "access_token accessToken refresh_token refreshToken expires_in expireIn token_type openid unionid userid "
        "corpId errcode errmsg code message msg data error error_description".split()
    ),
    JSON | st.sampled_from([0, "0", "x", "Bearer", 7200]),
)


@given(
    st.sampled_from(get_args(DialectName)),
    MEMBERS.map(lambda members: json.dumps(members).encode()) | st.binary(max_size=99),
    st.sampled_from([200, 200, 200, 302, 400, 401, 500]),
)
def test_nothing_but_our_own_errors_comes_out(name: DialectName, body: bytes, status: int) -> None:
    url = "https://op.example/token"
    transport = FixedTransport(Response(status, "application/json", body, {}, url))
    settings = provider_settings(issuer=None, dialect=name, client_auth_method="client_secret_post")
    client = AuthenticatedClient(
        transport,
        ProviderMetadata(token_endpoint=url, userinfo_endpoint=url),
        ClientAuthentication(settings),
    )
    dialect = make_dialect(name, Clock())
    try:
        tokens = dialect.redeem_code(client, CodeGrant("code", REDIRECT_URI, VERIFIER))
        claims = dialect.fetch_userinfo(UserinfoRequest(transport, url, tokens, None, None))
    except (ProviderError, ProviderUnavailableError, TokenError) as error:
        assert error.detail.isprintable()
    else:
        assert status == 200
        assert tokens.access_token.isascii()
        assert tokens.claims.items() <= claims.items()


# Secrets


@pytest.mark.requirement("R-dialects", "3i")
@pytest.mark.parametrize("endpoint", ["token_endpoint", "userinfo_endpoint"])
@pytest.mark.parametrize("name", NAMES)
def test_an_error_that_repeats_what_was_sent_tells_no_secret(
    world: RecordedWorld, name: str, endpoint: str, caplog: pytest.LogCaptureFixture
) -> None:
    quiet_libraries()
    caplog.set_level(logging.DEBUG)
    client = Client(world, name)
    code, error = client.begin(), ERRORS[name]
    members = client.provider.recording.members["token"]
    token = members.get("access_token") or members["accessToken"]
    sent = {"token_endpoint": [CLIENT_SECRET, code], "userinfo_endpoint": [token]}[endpoint]
    if name == "wecom":
        # Its company's token and the code belong to the second request.
        sent = {"token_endpoint": [CLIENT_SECRET], "userinfo_endpoint": [token, code]}[endpoint]
    echoed = " ".join([*sent, *map(quote_plus, sent)])
    for text in ({error[0]: 40000, error[1]: echoed}, {error[0]: echoed}):
        client.provider.replaced[endpoint] = text
        refusal = client.refusal(code)
        told = "".join(traceback.format_exception(refusal)) + refusal.message + caplog.text
        for secret in sent:
            assert secret not in told
            assert quote_plus(secret) not in told
        client.provider.replaced.clear()
        code = client.begin()
        sent = [each for each in sent if each in (CLIENT_SECRET, token)]


# WeChat


@pytest.mark.requirement("R-dialects")
@pytest.mark.parametrize("openid", [None, 7, ["o"], True, {}])
def test_wechat_says_whose_the_tokens_are(world: RecordedWorld, openid: Any) -> None:
    client = Client(world, "wechat")
    members = client.provider.recording.members
    client.provider.replaced["token_endpoint"] = {**members["token"], "openid": openid}
    assert client.refusal().code == "token_response"
    assert client.calls("userinfo_endpoint") == 0


@pytest.mark.requirement("R-dialects")
def test_userinfo_of_wechat_that_is_about_nobody_is_not_used(world: RecordedWorld) -> None:
    client = Client(world, "wechat")
    client.provider.replaced["userinfo_endpoint"] = {"nickname": "Band"}
    refusal = client.refusal()
    assert refusal.code == "userinfo"
    assert "about anybody" in refusal.detail


@pytest.mark.requirement("R-dialects")
@pytest.mark.parametrize("userinfo", [{}, {"userinfo_endpoint": Reply(503, {})}])
def test_a_refresh_for_another_person_is_refused_before_anything_is_asked(
    world: RecordedWorld, userinfo: dict[str, Any]
) -> None:
    client = Client(world, "wechat")
    subject = client.sign_in().subject
    before = client.calls("userinfo_endpoint")
    refreshed = client.provider.recording.members["refresh"]
    client.provider.replaced |= {"refresh_endpoint": {**refreshed, "openid": "o6_another"}, **userinfo}
    with pytest.raises(TokenError) as refusal:
        client.own.refresh(refreshed["refresh_token"], subject=subject, auth_time=None)
    assert refusal.value.code == "subject_changed"
    assert client.calls("userinfo_endpoint") == before


@pytest.mark.parametrize("error", [40030, 42002])
def test_a_refresh_token_that_has_ended_says_so(world: RecordedWorld, error: int) -> None:
    client = Client(world, "wechat")
    client.provider.replaced["refresh_endpoint"] = {"errcode": error, "errmsg": "invalid refresh_token"}
    with pytest.raises(ProviderError) as refusal:
        client.own.refresh("anything", subject="o", auth_time=None)
    assert refusal.value.code == "invalid_grant"
    assert "anything" not in refusal.value.detail


# WeCom


@pytest.mark.requirement("R-dialects")
def test_the_company_s_token_is_asked_for_when_the_one_before_has_ended_and_given_to_nobody(
    world: RecordedWorld,
) -> None:
    client = Client(world, "wecom")
    first = client.sign_in()
    client.clock.now += 7199
    client.sign_in()
    assert client.calls("token_endpoint") == 1
    client.clock.now += 1
    client.sign_in()
    assert client.calls("token_endpoint") == 2
    assert first.tokens.access_token == ""
    assert first.claims == {"userid": "zhangsan"}
    assert "accesstoken000001" not in repr(vars(client.own._dialect))


@pytest.mark.parametrize("error", [40014, 42001])
def test_a_company_s_token_that_ended_before_its_time_is_replaced_once(
    world: RecordedWorld, error: int
) -> None:
    client = Client(world, "wecom")
    client.sign_in()
    client.provider.replaced["userinfo_endpoint"] = {"errcode": error, "errmsg": "ended"}
    assert client.refusal().code == "token_refused"
    assert (client.calls("token_endpoint"), client.calls("userinfo_endpoint")) == (2, 3)
    client.provider.replaced.clear()
    assert client.sign_in().subject == "zhangsan"


def test_a_company_s_token_without_an_end_serves_once(world: RecordedWorld) -> None:
    client = Client(world, "wecom")
    token = client.provider.recording.members["token"]
    client.provider.replaced["token_endpoint"] = {**token, "expires_in": 0}
    client.sign_in()
    client.sign_in()
    assert client.calls("token_endpoint") == 2
