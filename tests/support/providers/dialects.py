"""Providers that speak OAuth 2.0 with words of their own, as their documentation shows them.

Each checks what the real one checks, and answers a wrong request with the real one's error.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from tests.support.providers.jose import base64url
from tests.support.providers.recorded import RecordedProvider, Recording, Reply
from tests.support.settings.minimal import CLIENT_SECRET


def provider_of(recording: Recording) -> RecordedProvider:
    """A provider that answers what was recorded, in its own words where it has any."""
    return _DIALECTS[recording.members.get("dialect")](recording)


class _Dialect(RecordedProvider):
    #: what comes after the query
    fragment = ""
    #: under which name the code comes back
    code_name = "code"

    def authorize(self, location: str) -> dict[str, str]:
        address, _, rest = location.partition("?")
        assert address == self.recording.addresses["authorization_endpoint"]
        query, _, fragment = rest.partition("#")
        pairs = parse_qsl(query)
        self._request = dict(pairs)
        expected = {"redirect_uri": None, "state": None, **self._parameters()}
        assert sorted(name for name, _ in pairs) == sorted(expected)
        assert all(value in (None, self._request[name]) for name, value in expected.items())
        assert fragment == self.fragment
        # What https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/Wechat_webpage_authorization.html takes.
        assert len(self._request["state"]) <= 128
        self._code = secrets.token_urlsafe()
        return {self.code_name: self._code, "state": self._request["state"]}

    def _parameters(self) -> Mapping[str, str | None]:
        """The other parameters of the authorization request and their values; ``None``: another each time."""
        raise NotImplementedError

    def answer(self, method: str, url: str, headers: Mapping[str, str], body: str) -> Any:
        self.note(url)
        address, _, query = url.partition("?")
        headers = {name.lower(): value for name, value in headers.items()}
        good = self._answer(method, address, headers, dict(parse_qsl(query)), body)
        (name,) = (name for name, each in self.recording.addresses.items() if each == address)
        return self.replaced.get(name, good)

    def _answer(
        self, method: str, address: str, headers: Mapping[str, str], query: Mapping[str, str], body: str
    ) -> Any:
        raise NotImplementedError

    def _redeem(self, code: str) -> bool:
        """Whether a code is the one that was issued, which is spent by that."""
        fits, self._code = bool(code) and code == self._code, ""
        return fits

    def _issue(self, which: str, name: str = "access_token") -> Any:
        response = self.recording.members[which]
        self._access_token = response.get(name, "")
        return response


def _error(code: int, text: str) -> dict[str, Any]:
    return {"errcode": code, "errmsg": f"{text}, rid: 6114eeb9-0032c16a-61fbf7ce"}


class _WeChat(_Dialect):
    fragment = "wechat_redirect"

    def _parameters(self) -> Mapping[str, str | None]:
        return {"appid": self.recording.client_id, "response_type": "code", "scope": "snsapi_login"}

    def _answer(
        self, method: str, address: str, headers: Mapping[str, str], query: Mapping[str, str], body: str
    ) -> Any:
        assert (method, body) == ("GET", "")
        assert "authorization" not in headers
        addresses = self.recording.addresses
        if address == addresses["userinfo_endpoint"]:
            return self._userinfo(query)
        for name, error in {"appid": 41002, "grant_type": 40002}.items():
            if not query.get(name):
                return _error(error, f"{name} missing")
        if query["appid"] != self.recording.client_id:
            return _error(40013, "invalid appid")
        if address == addresses["refresh_endpoint"]:
            assert query.keys() == {"appid", "grant_type", "refresh_token"}
            if query["refresh_token"] != self.recording.members["token"]["refresh_token"]:
                return _error(40030, "invalid refresh_token")
            return self._issue("refresh")
        assert address == addresses["token_endpoint"]
        assert query["grant_type"] == "authorization_code"
        if not query.get("secret"):
            return _error(41004, "appsecret missing")
        if not query.get("code"):
            return _error(41008, "missing code")
        assert query.keys() == {"appid", "secret", "code", "grant_type"}
        if query["secret"] != CLIENT_SECRET:
            return _error(40125, "invalid appsecret")
        if not self._redeem(query["code"]):
            return _error(40163, "code been used")
        return self._issue("token")

    def _userinfo(self, query: Mapping[str, str]) -> Any:
        if query.get("access_token") != self._access_token:
            return _error(40001, "invalid credential, access_token is invalid or not latest")
        if query.get("openid") != self.recording.members["token"]["openid"]:
            return _error(40003, "invalid openid")
        return self.recording.members["userinfo"]


class _WeCom(_Dialect):
    def _parameters(self) -> Mapping[str, str | None]:
        return {"login_type": "CorpApp", "appid": self.recording.client_id, "agentid": "1000002"}

    def _answer(
        self, method: str, address: str, headers: Mapping[str, str], query: Mapping[str, str], body: str
    ) -> Any:
        assert (method, body) == ("GET", "")
        assert "authorization" not in headers
        if address == self.recording.addresses["token_endpoint"]:
            for name, error in {"corpid": 41002, "corpsecret": 41004}.items():
                if not query.get(name):
                    return _error(error, f"{name} missing")
            if query["corpid"] != self.recording.client_id:
                return _error(40013, "invalid corpid")
            if query["corpsecret"] != CLIENT_SECRET:
                return _error(40001, "invalid credential")
            return self._issue("token")
        assert address == self.recording.addresses["userinfo_endpoint"]
        if not query.get("access_token"):
            return _error(41001, "access_token missing")
        if query["access_token"] != self._access_token:
            return _error(40014, "invalid access_token")
        if not self._redeem(query.get("code", "")):
            return _error(40029, "invalid code")
        return self.recording.members["userinfo"]

    def end_company_token(self) -> None:
        """From now on the company's token is refused, as if WeCom had ended it before its time."""
        self._access_token = ""


class _DingTalk(_Dialect):
    code_name = "authCode"

    def _parameters(self) -> Mapping[str, str | None]:
        asked = {"response_type": "code", "scope": "openid corpid", "prompt": "consent"}
        return {**asked, "client_id": self.recording.client_id}

    def _answer(
        self, method: str, address: str, headers: Mapping[str, str], query: Mapping[str, str], body: str
    ) -> Any:
        assert not query
        assert "authorization" not in headers
        if address == self.recording.addresses["userinfo_endpoint"]:
            assert method == "GET"
            if headers.get("x-acs-dingtalk-access-token") != self._access_token:
                return _ding_error("InvalidAuthentication", "不合法的access_token")
            return self.recording.members["userinfo"]
        assert (method, address) == ("POST", self.recording.addresses["token_endpoint"])
        assert headers["content-type"].startswith("application/json")
        members = json.loads(body)
        who = {"clientId", "clientSecret", "grantType"}
        assert who <= members.keys()
        if (members["clientId"], members["clientSecret"]) != (self.recording.client_id, CLIENT_SECRET):
            return _ding_error("invalidClientIdOrSecret", "无效的clientId或者clientSecret")
        if members["grantType"] == "refresh_token":
            assert members.keys() == {*who, "refreshToken"}
            assert members["refreshToken"] == self.recording.members["token"]["refreshToken"]
            return self._issue("refresh", "accessToken")
        assert members["grantType"] == "authorization_code"
        assert members.keys() == {*who, "code"}
        if not self._redeem(members["code"]):
            return _ding_error("invalidParameter.authCode.notFound", "不存在的临时授权码")
        return self._issue("token", "accessToken")


def _ding_error(code: str, message: str) -> Reply:
    requestid = "30EE8654-1AA2-7D88-8248-9518547248AA"
    return Reply(400, {"code": code, "requestid": requestid, "message": message})


class _Feishu(_Dialect):
    def _parameters(self) -> Mapping[str, str | None]:
        pkce = {"code_challenge": None, "code_challenge_method": "S256"}
        scope = {"scope": None} if "scope" in self._request else {}
        return {"response_type": "code", "client_id": self.recording.client_id, **pkce, **scope}

    def _answer(
        self, method: str, address: str, headers: Mapping[str, str], query: Mapping[str, str], body: str
    ) -> Any:
        assert not query
        if address == self.recording.addresses["userinfo_endpoint"]:
            assert method == "GET"
            if headers.get("authorization") != f"Bearer {self._access_token}":
                return {
                    "code": 20005,
                    "msg": "The user access token passed is invalid. Please check the value",
                }
            return self.recording.members["userinfo"]
        assert (method, address) == ("POST", self.recording.addresses["token_endpoint"])
        assert headers["content-type"] == "application/json; charset=utf-8"
        assert "authorization" not in headers
        members = json.loads(body)
        who = {"client_id", "client_secret", "grant_type"}
        if not who <= members.keys():
            return _feishu_error(20001, "invalid_request", "The request is missing a required parameter.")
        if (members["client_id"], members["client_secret"]) != (self.recording.client_id, CLIENT_SECRET):
            return _feishu_error(20002, "invalid_client", "The client secret is invalid.")
        if members["grant_type"] == "refresh_token":
            assert members.keys() == {*who, "refresh_token"}
            if members["refresh_token"] != self.recording.members["token"]["refresh_token"]:
                return _feishu_error(20026, "invalid_grant", "The refresh token passed is invalid.")
            return self._issue("refresh")
        assert members.keys() == {*who, "code", "redirect_uri", "code_verifier"}
        if not self._redeem(members["code"]):
            return _feishu_error(20065, "invalid_grant", "The authorization code has been used.")
        if members["redirect_uri"] != self._request["redirect_uri"]:
            return _feishu_error(20071, "invalid_grant", "The provided redirect URI does not match.")
        challenge = base64url(hashlib.sha256(members["code_verifier"].encode()).digest())
        if challenge != self._request["code_challenge"]:
            return _feishu_error(20049, "invalid_grant", "PKCE code challenge failed.")
        return self._issue("token")


def _feishu_error(code: int, error: str, description: str) -> Reply:
    return Reply(400, {"code": code, "error": error, "error_description": description})


_DIALECTS: Mapping[Any, type[RecordedProvider]] = {
    None: RecordedProvider,
    "dingtalk": _DingTalk,
    "feishu": _Feishu,
    "wechat": _WeChat,
    "wecom": _WeCom,
}
