"""What a logout token does, without a server: whose sessions end, what the provider is told, and what is written down.

Which tokens are valid is shown elsewhere; here the client says what it has read.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from webob import Response

from oauth2_mw.encoding import pair_hash
from oauth2_mw.errors import (
    RETRY_AFTER,
    BadRequestError,
    MethodNotAllowedError,
    ProviderError,
    ProviderUnavailableError,
    StoreTakesNoWritesError,
    StoreUnavailableError,
    TokenError,
)
from oauth2_mw.identity.directory import Directory
from oauth2_mw.identity.model import Identity, user_key
from oauth2_mw.provider.tokens.logout_token import LogoutToken
from oauth2_mw.session.cookie_cache import NO_SESSION
from oauth2_mw.session.cut_offs import CutOffs
from oauth2_mw.session.keyring import Keyring
from oauth2_mw.session.model import Session, SignInDetails
from oauth2_mw.session.registry import SessionRegistry
from oauth2_mw.session.revocation import Revocations
from oauth2_mw.session.sealing import Sealer
from oauth2_mw.session.stores.sql import SqlStore
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.sql import Database
from oauth2_mw.web.signout.backchannel import BackChannelLogout
from tests.support.hosts.sign_in_parts import request
from tests.support.settings.keys import text_key
from tests.support.settings.people import ISSUER, NOW, attributes, provider
from tests.support.stores.watched_store import WatchedStore

TOKEN = LogoutToken(ISSUER, "42", "sid-1", "jti-1", NOW - 1, NOW + 100)
BY_USER = replace(TOKEN, sid=None)
FORM = {"logout_token": "the token"}


def session(
    session_id: str, *, subject: str = "42", sid: str | None = "sid-1", issued: int = NOW - 10
) -> Session:
    identity = Identity(user_key(ISSUER, subject), "corp", ISSUER, subject, f"jane-{subject}")
    return Session(session_id, identity, {}, NOW, NOW + 1000, NOW, 500, sign_in=SignInDetails(issued, sid))


class Parts:
    """The back-channel logout of an application with three sessions of two people."""

    def __init__(self, folder: Path, directory: Directory | None = None) -> None:
        clock = lambda: float(NOW)  # noqa: E731
        database = Database(Secret.literal(f"sqlite:///{folder}/sessions.db"), setting="session")
        self.store = WatchedStore(SqlStore(database, app="https://app.example", clock=clock))
        sealer = Sealer(Keyring(Secret.literal(text_key()), sync=5), app_id="https://app.example")
        self.registry = SessionRegistry(
            self.store, sealer, Revocations(sync=5), CutOffs(None, ()), data_in_cookie=False, longest=5000
        )
        self.registry._wall = clock
        self.token: LogoutToken | Exception = TOKEN
        self.read: list[tuple[str, str]] = []
        clients: Any = lambda name: _Client(self, name)  # noqa: E731
        self.logout = BackChannelLogout(self.registry, clients, directory)
        for each in (
            session("one"),
            session("two", sid="sid-2"),
            session("late", sid="sid-3", issued=NOW),
            session("other", subject="43", sid="sid-1"),
        ):
            self.registry.write(each)

    def tell(self, params: dict[str, str] = FORM, *, method: str = "POST") -> Response:
        return self.logout.post(request(params, method=method), NO_SESSION, name="corp")

    def left(self) -> list[str]:
        return sorted(info.id for info in self.registry.all())


class _Client:
    def __init__(self, parts: Parts, name: str) -> None:
        self._parts, self._name = parts, name

    def read_logout_token(self, text: str) -> LogoutToken:
        self._parts.read.append((self._name, text))
        if isinstance(self._parts.token, Exception):
            raise self._parts.token
        return self._parts.token


@pytest.fixture
def parts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Parts:
    caplog.set_level(logging.INFO, "oauth2_mw.audit")
    return Parts(tmp_path)


def audited(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "oauth2_mw.audit"]


def assert_done(response: Response) -> None:
    assert (response.status_int, response.body) == (200, b"")


def test_a_sid_ends_its_sessions_alone(parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
    assert_done(parts.tell())
    assert parts.read == [("corp", "the token")]
    assert parts.left() == ["late", "two"]
    users = sorted([user_key(ISSUER, "42"), user_key(ISSUER, "43")])
    assert audited(caplog) == [
        f"event=logout_by_provider provider=corp user={users[0]},{users[1]} username=jane-42,jane-43"
        " count=2 how=sid"
    ]


def test_a_session_that_is_still_being_created_ends_as_well(parts: Parts) -> None:
    parts.tell()
    assert parts.store.revoked("sid:" + pair_hash(ISSUER, "sid-1")) == NOW


def test_a_subject_ends_the_sessions_that_were_issued_before(
    parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    parts.token = BY_USER
    assert_done(parts.tell())
    assert parts.left() == ["late", "other"]
    assert audited(caplog)[0].endswith("username=jane-42 count=2 how=sub")


def test_nobody_is_signed_out_twice_by_one_token(parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
    parts.tell()
    parts.registry.write(session("new", sid="sid-4"))
    parts.token = replace(BY_USER, issued_at=NOW)
    assert_done(parts.tell())
    assert parts.left() == ["late", "new", "two"]
    assert audited(caplog)[-1] == "event=logout_by_provider provider=corp count=0 how=repeated"
    # The name of a token is unique at its issuer alone.
    parts.token = replace(BY_USER, issuer="https://other.example")
    parts.tell()
    assert audited(caplog)[-1].endswith("how=sub")
    parts.token = replace(BY_USER, jti="jti-2", issued_at=NOW)
    parts.tell()
    assert parts.left() == []


def test_a_token_is_remembered_as_long_as_it_is_accepted(parts: Parts) -> None:
    kept: list[Any] = []
    parts.registry.mark_processed = lambda name, *, expires: kept.append((name, expires))  # type: ignore[method-assign]
    parts.tell()
    assert kept == [("jti:" + pair_hash(ISSUER, "jti-1"), NOW + 100)]


def test_a_token_that_could_not_be_acted_upon_works_when_it_comes_again(parts: Parts) -> None:
    parts.store.before["delete"] = lambda: (_ for _ in ()).throw(StoreUnavailableError("away"))
    assert parts.tell().status_int == 503
    assert "one" in parts.left()
    parts.store.before.clear()
    assert_done(parts.tell())
    assert parts.left() == ["late", "two"]


def test_a_store_that_is_full_ends_the_sessions_and_says_that_the_token_is_to_come_again(
    parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    parts.store.before["revoke"] = lambda: (_ for _ in ()).throw(StoreTakesNoWritesError("full"))
    assert parts.tell().status_int == 503
    assert parts.left() == ["late", "two"]
    ended, refused = audited(caplog)
    assert ended.startswith("event=logout_by_provider ")
    assert ended.endswith(" count=2 how=sid")
    assert refused.startswith("event=refused ")
    parts.store.before.clear()
    assert_done(parts.tell())
    assert parts.store.revoked("sid:" + pair_hash(ISSUER, "sid-1")) == NOW


@pytest.mark.parametrize("known", [True, False])
def test_with_a_directory_users_are_those_of_the_directory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, *, known: bool
) -> None:
    directory = Directory(Secret.literal(f"sqlite:///{tmp_path}/users.db"))
    caplog.set_level(logging.INFO, "oauth2_mw.audit")
    parts = Parts(tmp_path, directory)
    parts.token = BY_USER
    if known:
        user = directory.record_sign_in(
            provider(), issuer=ISSUER, subject="42", attributes=attributes(), create=True, now=NOW - 100
        )
        identity = replace(session("x").identity, id=user.id)
        parts.registry.write(replace(session("hers"), identity=identity))
    assert_done(parts.tell())
    # Those of the keys that serve without a directory are nobody's here.
    assert "one" in parts.left()
    assert "hers" not in parts.left()
    assert audited(caplog)[-1].endswith(f"count={int(known)} how=sub")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
def test_other_methods_than_post_do_nothing(parts: Parts, method: str) -> None:
    with pytest.raises(MethodNotAllowedError) as caught:
        parts.tell(method=method)
    assert caught.value.allow == "POST"
    assert parts.read == []


@pytest.mark.parametrize("params", [{}, {"logout_token": ""}, {"id_token": "the token"}])
def test_a_form_without_a_token_does_nothing(
    parts: Parts, params: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    response = parts.tell(params)
    assert_refused(response, 400, "invalid_request", "logout_token_missing", caplog)
    assert parts.read == []


def assert_refused(
    response: Response, status: int, error: str, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert response.status_int == status
    assert response.json["error"] == error
    (line,) = audited(caplog)
    reference = line.split("ref=")[1][:8]
    assert line.startswith(f"event=refused ref={reference} code={code} provider=corp detail=")
    assert response.json["error_description"].endswith(f"Reference: {reference}")


@pytest.mark.parametrize(
    "error", [TokenError("why", code="token_expired"), BadRequestError("why", code="bad_form")]
)
def test_a_token_that_is_none_is_refused_for_good(
    parts: Parts, error: Any, caplog: pytest.LogCaptureFixture
) -> None:
    parts.token = error
    response = parts.tell()
    assert_refused(response, 400, "invalid_request", error.code, caplog)
    assert "Retry-After" not in response.headers
    assert len(parts.left()) == 4


@pytest.mark.parametrize(
    "error",
    [
        ProviderUnavailableError("why"),
        ProviderError("why", code="jwks_invalid"),
        StoreUnavailableError("why"),
    ],
)
def test_a_token_that_cannot_be_checked_may_come_again(
    parts: Parts, error: Any, caplog: pytest.LogCaptureFixture
) -> None:
    parts.token = error
    response = parts.tell()
    assert_refused(response, 503, "temporarily_unavailable", error.code, caplog)
    assert response.headers["Retry-After"] == str(RETRY_AFTER)
    assert len(parts.left()) == 4
