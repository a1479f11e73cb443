"""What a dialect is given: a code and its verifier are secrets, and nothing is changed on its way."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from oauth2_mw.provider.dialects.dialect import CodeGrant, UserinfoRequest
from oauth2_mw.provider.endpoints.token import TokenResponse
from oauth2_mw.provider.http.messages import Response
from tests.support.providers.fixed_transport import FixedTransport

GRANT = CodeGrant(code="the-code", redirect_uri="https://app.example/callback/", code_verifier="the-verifier")


def test_a_code_and_its_verifier_are_in_no_repr() -> None:
    assert "https://app.example/callback/" in repr(GRANT)
    assert "the-code" not in repr(GRANT)
    assert "the-verifier" not in repr(GRANT)


def test_what_is_asked_is_never_changed() -> None:
    tokens = TokenResponse("token", refresh_token=None, id_token=None, expires_in=None)
    userinfo = UserinfoRequest(
        FixedTransport(Response(200, "", b"", {}, "")), "https://op.example/userinfo", tokens, None, None
    )
    with pytest.raises(FrozenInstanceError):
        userinfo.url = "https://evil.example/"  # type: ignore[misc]  # frozen
    with pytest.raises(FrozenInstanceError):
        GRANT.code = "another"  # type: ignore[misc]  # frozen
