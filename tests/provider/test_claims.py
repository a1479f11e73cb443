"""From a token response to what is known of a person: which source is asked, which one counts, and what ends it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from oauth2_mw.errors import OAuth2Error, ProviderError, ProviderUnavailableError, TokenError
from oauth2_mw.provider.claim_sources import KnownClaims
from oauth2_mw.provider.claims import ClaimsReader, UserClaims
from oauth2_mw.provider.dialects.dialect import Dialect, UserinfoRequest
from oauth2_mw.provider.discovery.metadata import ProviderMetadata
from oauth2_mw.provider.endpoints.token import TokenResponse
from oauth2_mw.provider.http.messages import Response
from oauth2_mw.provider.jose.jwks import parse_key_set
from oauth2_mw.settings.attribute_path import AttributePath
from tests.support.providers.entra import ONE
from tests.support.providers.fixed_transport import FixedTransport
from tests.support.providers.jose import rsa_key
from tests.support.settings.providers import provider_settings

NOW = 1_800_000_000
ISSUER = "https://op.example"
USERINFO = f"{ISSUER}/userinfo"
RSA = rsa_key()
CLAIMS = {"iss": ISSUER, "aud": "client", "sub": "user-1", "iat": NOW, "exp": NOW + 300}
DOWN = ProviderUnavailableError("down")
REFUSED = ProviderError("refused", code="userinfo_refused")
UNREADABLE = TokenError("unreadable", code="token_malformed")
FORGED = TokenError("forged", code="token_signature")
PLAIN: dict[str, Any] = {"issuer": None, "subject": AttributePath.parse("id")}
BY_OID: dict[str, Any] = {"subject": AttributePath.parse("oid")}


class Userinfo(Dialect):
    """Answers what a test says, or fails so; a text is a signed response."""

    def __init__(self, answer: Mapping[str, Any] | str | OAuth2Error | None) -> None:
        self.answer = answer
        self.calls = 0

    def fetch_userinfo(self, userinfo: UserinfoRequest) -> dict[str, Any]:
        self.calls += 1
        assert (userinfo.url, userinfo.tokens.access_token) == (USERINFO, "access")
        if isinstance(self.answer, OAuth2Error):
            raise self.answer
        if isinstance(self.answer, str):
            assert userinfo.read_signed is not None
            return userinfo.read_signed(self.answer)
        assert self.answer is not None, "userinfo is not to be asked"
        return dict(self.answer)


class Provider:
    """A provider whose responses a test has in its hand."""

    def __init__(
        self,
        answer: Mapping[str, Any] | str | OAuth2Error | None = None,
        *,
        needs: str = "",
        wishes: str = "",
        further: Response | None = None,
        has_userinfo: bool = True,
        **settings: Any,
    ) -> None:
        self.userinfo = Userinfo(answer)
        self.document = ProviderMetadata(userinfo_endpoint=USERINFO if has_userinfo else None)
        self.keys_for = parse_key_set({"keys": [RSA.jwk()]}).matching
        published: Any = self
        self.reader = ClaimsReader(
            provider_settings(**settings),
            FixedTransport(further or Response(404, "", b"", {}, "")),
            published,
            dialect=self.userinfo,
            needs=frozenset(map(AttributePath.parse, needs.split())),
            wishes=frozenset(map(AttributePath.parse, wishes.split())),
            clock=lambda: NOW,
        )

    def metadata(self, *_needed: str) -> ProviderMetadata:
        return self.document

    def sign_in(
        self,
        id_token: Mapping[str, Any] | None = None,
        *,
        acr_values: tuple[str, ...] = (),
        iss: str = ISSUER,
    ) -> UserClaims:
        signed = None if id_token is None else RSA.sign({**CLAIMS, "iss": iss, "nonce": "n", **id_token})
        return self.reader.for_code(
            response(signed), self.document, nonce="n", issuer=iss, acr_values=acr_values
        )

    def refresh(
        self,
        id_token: Mapping[str, Any] | None = None,
        known: KnownClaims | None = None,
        *,
        subject: str = "user-1",
        **claims: Any,
    ) -> KnownClaims | None:
        signed = None if id_token is None else RSA.sign({**CLAIMS, **id_token})
        return self.reader.for_refresh(
            response(signed, **claims),
            self.document,
            subject=subject,
            issuer=ISSUER,
            auth_time=None,
            nonce="n",
            known=known or KnownClaims({"sub": "user-1"}),
        )


def response(id_token: str | None, **claims: Any) -> TokenResponse:
    return TokenResponse("access", refresh_token=None, id_token=id_token, expires_in=None, claims=claims)


def addresses(*found: str) -> Response:
    """GitHub's verified addresses, at their own address."""
    body = [{"email": email, "verified": True, "primary": True} for email in found]
    return Response(200, "application/json", json.dumps(body).encode(), {}, f"{USERINFO}/emails")


# A sign-in


def test_the_id_token_is_enough_where_it_says_all() -> None:
    provider = Provider(needs="email", wishes="name")
    found = provider.sign_in({"email": "a", "name": "Jane"})
    assert found.subject == "user-1"
    assert found.merged == {**CLAIMS, "email": "a", "name": "Jane"}
    assert found.id_token == {**found.merged, "nonce": "n"}
    assert not found.from_userinfo
    assert not found.unknown


def test_userinfo_says_the_rest_and_the_id_token_counts_first() -> None:
    provider = Provider({"sub": "user-1", "email": "a", "name": "Joe"}, needs="email")
    found = provider.sign_in({"name": "Jane"})
    assert found.merged == {**CLAIMS, "email": "a", "name": "Jane"}
    assert "email" not in found.id_token
    assert found.from_userinfo == {"email", "name"}
    assert not found.unknown


def test_a_provider_without_userinfo_is_not_asked_for_it() -> None:
    provider = Provider(wishes="email", has_userinfo=False)
    assert provider.sign_in({}).merged == CLAIMS
    assert provider.refresh({}) == KnownClaims(CLAIMS)
    assert provider.refresh() is None
    assert provider.userinfo.calls == 0


@pytest.mark.parametrize("id_token", [None, {"nonce": "other"}, {"aud": "other"}, {"exp": NOW - 100}])
def test_without_a_good_id_token_nothing_is_asked(id_token: Mapping[str, Any] | None) -> None:
    provider = Provider({"sub": "user-1", "email": "a"}, needs="email")
    with pytest.raises(TokenError):
        provider.sign_in(id_token)
    assert provider.userinfo.calls == 0


@pytest.mark.parametrize("failure", [DOWN, REFUSED, UNREADABLE], ids=lambda error: error.code)
def test_userinfo_that_was_only_wished_for_may_fail_and_its_claims_are_unknown(
    failure: OAuth2Error, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    found = Provider(failure, needs="email", wishes="name picture").sign_in({"email": "a", "name": "Jane"})
    assert found.merged == {**CLAIMS, "email": "a", "name": "Jane"}
    assert not found.from_userinfo
    assert found.unknown == {"picture"}
    assert f"userinfo_unusable code={failure.code}" in caplog.text


@pytest.mark.parametrize("failure", [DOWN, REFUSED, UNREADABLE], ids=lambda error: error.code)
def test_userinfo_that_is_needed_may_not_fail(failure: OAuth2Error) -> None:
    with pytest.raises(type(failure)) as raised:
        Provider(failure, needs="email").sign_in({})
    assert raised.value is failure


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (FORGED, "token_signature"),
        ({"sub": "user-2", "name": "Joe"}, "userinfo_subject"),
        (rsa_key(2).sign({"sub": "user-1"}, kid=RSA.jwk()["kid"]), "token_signature"),
        (RSA.sign({"sub": "user-1", "aud": "other"}), "token_audience"),
    ],
)
def test_userinfo_that_is_forged_or_somebody_elses_ends_it_all(answer: Any, code: str) -> None:
    for act in (Provider(answer, wishes="name").sign_in, Provider(answer, wishes="name").refresh):
        with pytest.raises(TokenError) as refused:
            act({})
        assert refused.value.code == code


def test_userinfo_about_nobody_is_not_used() -> None:
    assert Provider({"name": "Joe"}, wishes="name").sign_in({}).merged == CLAIMS
    with pytest.raises(ProviderError):
        Provider({"name": "Joe"}, needs="name").sign_in({})


def test_userinfo_may_be_signed() -> None:
    found = Provider(RSA.sign({"sub": "user-1", "name": "Jane"}), wishes="name").sign_in({})
    assert found.merged == {**CLAIMS, "name": "Jane"}


@pytest.mark.parametrize("oid", [None, "", True, ["o"], "x" * 256])
def test_without_a_usable_subject_nobody_is_signed_in(oid: Any) -> None:
    with pytest.raises(ProviderError) as refused:
        Provider(userinfo="never", **BY_OID).sign_in({"oid": oid})
    assert refused.value.code == "no_subject"


def test_the_tenant_is_the_one_that_the_id_token_proves() -> None:
    issuer = f"https://op.example/{ONE}/v2.0"
    settings: dict[str, Any] = {"issuer": "https://op.example/{tenantid}/v2.0", "tenants": (ONE,)}
    provider = Provider({"sub": "user-1", "tid": "other", "name": "Jane"}, wishes="name", **settings)
    assert provider.sign_in({"tid": ONE}, iss=issuer).merged["tid"] == ONE
    without_tenants = Provider({"sub": "user-1", "tid": "other"}, wishes="name")
    assert without_tenants.sign_in({}).merged["tid"] == "other"


def test_a_class_that_one_page_asked_for_may_come_in_place_of_those_of_the_settings() -> None:
    provider = Provider(acr_values=("gold",))
    assert provider.sign_in({"acr": "platinum"}, acr_values=("platinum",)).merged["acr"] == "platinum"
    with pytest.raises(TokenError):
        provider.sign_in({"acr": "silver"}, acr_values=("platinum",))
    # Where the settings ask for none, the page looks at what came.
    assert Provider().sign_in({}, acr_values=("platinum",)).subject == "user-1"


@pytest.mark.parametrize(
    ("userinfo", "verified"),
    [
        ({"sub": "user-1"}, True),
        ({"sub": "user-1", "email": "a", "email_verified": False}, False),
        ({"sub": "user-1", "email": "b", "email_verified": True}, None),
    ],
)
def test_what_userinfo_says_of_an_address_counts_before_entras_own_word(
    userinfo: dict[str, Any],
    *,
    verified: bool | None,
) -> None:
    provider = Provider(userinfo, wishes="name", quirk="entra")
    found = provider.sign_in({"email": "a", "xms_edov": True}).merged
    assert found["email"] == "a"
    assert found.get("email_verified") is verified


# A sign-in without an ID token


def test_without_an_issuer_userinfo_says_it_all() -> None:
    provider = Provider({"id": 7, "login": "jane"}, **PLAIN)
    found = provider.sign_in()
    assert found == UserClaims("7", {"id": 7, "login": "jane"}, {}, frozenset({"id", "login"}), frozenset())
    with pytest.raises(ProviderUnavailableError):
        Provider(DOWN, **PLAIN).sign_in()


def test_without_an_issuer_nothing_is_signed() -> None:
    with pytest.raises(AssertionError):
        Provider(RSA.sign({"id": 7}), **PLAIN).sign_in()


def test_what_a_further_address_says_is_known_as_well() -> None:
    provider = Provider({"id": 7}, wishes="email", quirk="github", further=addresses("a"), **PLAIN)
    found = provider.sign_in()
    assert found.merged == {"id": 7, "email": "a", "email_verified": True}
    assert found.from_userinfo == {"id", "email", "email_verified"}
    assert not found.unknown


def test_what_a_further_address_does_not_say_is_unknown() -> None:
    found = Provider({"id": 7}, wishes="email", quirk="github", **PLAIN).sign_in()
    assert found.merged == {"id": 7}
    assert found.unknown == {"email", "email_verified"}


def test_what_a_further_address_says_is_not_unknown_because_userinfo_failed() -> None:
    provider = Provider(DOWN, wishes="email name", quirk="github", further=addresses("a"))
    for found in (provider.sign_in({}), provider.refresh({})):
        assert found is not None
        assert found.unknown == {"name"}
        assert found.from_userinfo == {"email", "email_verified"}


# A refresh


def test_where_nothing_new_came_nothing_is_known_anew() -> None:
    provider = Provider(needs="sub")
    assert provider.refresh() is None
    assert provider.userinfo.calls == 0


def test_a_new_id_token_takes_the_place_of_the_one_before() -> None:
    known = KnownClaims({"sub": "user-1", "name": "Old", "email": "old"}, from_userinfo=frozenset({"email"}))
    assert Provider().refresh({"name": "New"}, known) == KnownClaims({**CLAIMS, "name": "New"})


def test_userinfo_beside_a_new_id_token_says_the_rest() -> None:
    provider = Provider({"sub": "user-1", "name": "Joe", "email": "a"}, needs="email")
    known = KnownClaims({"sub": "user-1", "picture": "x"})
    assert provider.refresh({"name": "Jane"}, known) == KnownClaims(
        {**CLAIMS, "name": "Jane", "email": "a"}, frozenset({"name", "email"})
    )


@pytest.mark.requirement("R-kept-claims")
def test_without_an_id_token_what_it_proved_stays_and_what_userinfo_gives_no_more_is_gone() -> None:
    provider = Provider({"sub": "user-1", "name": "New", "email": "new"}, needs="email")
    known = KnownClaims(
        {"sub": "user-1", "acr": "gold", "name": "Old", "groups": ["a"], "email": "old"},
        from_userinfo=frozenset({"groups", "email"}),
    )
    assert provider.refresh(None, known) == KnownClaims(
        {"sub": "user-1", "acr": "gold", "name": "New", "email": "new"}, frozenset({"name", "email"})
    )


def test_without_an_issuer_nothing_stays_but_what_userinfo_says_again() -> None:
    provider = Provider({"id": 7, "login": "jane"}, **PLAIN)
    known = KnownClaims({"id": 7, "login": "old", "groups": ["a"]})
    assert provider.refresh(None, known, subject="7") == KnownClaims(
        {"id": 7, "login": "jane"}, frozenset({"id", "login"})
    )


@pytest.mark.requirement("R-entra")
def test_userinfo_alone_does_not_say_whose_tenant_it_is() -> None:
    settings: dict[str, Any] = {"issuer": "https://op.example/{tenantid}/v2.0", "tenants": (ONE,)}
    provider = Provider({"sub": "user-1", "tid": "other", "name": "Jane"}, wishes="name", **settings)
    found = provider.refresh(None, KnownClaims({"sub": "user-1", "tid": ONE}))
    assert found == KnownClaims({"sub": "user-1", "tid": ONE, "name": "Jane"}, frozenset({"name"}))


def test_without_an_issuer_userinfo_is_asked_whatever_the_setting_says() -> None:
    provider = Provider({"id": 7}, userinfo="never", **PLAIN)
    assert provider.sign_in().subject == "7"
    assert provider.refresh(subject="7") == KnownClaims({"id": 7}, frozenset({"id"}))


def test_a_refresh_may_have_to_bring_an_id_token() -> None:
    provider = Provider(refresh_needs_id_token=True)
    with pytest.raises(TokenError) as refused:
        provider.refresh()
    assert refused.value.code == "refresh_without_id_token"
    assert provider.refresh({}) == KnownClaims(CLAIMS)
    assert Provider({"id": 7}, refresh_needs_id_token=True, **PLAIN).refresh(subject="7") is not None


def test_a_class_that_came_of_a_step_up_may_come_again() -> None:
    provider = Provider(acr_values=("gold",))
    known = KnownClaims({"sub": "user-1", "acr": "platinum"})
    assert provider.refresh({"acr": "platinum"}, known) == KnownClaims({**CLAIMS, "acr": "platinum"})
    with pytest.raises(TokenError):
        provider.refresh({"acr": "platinum"}, KnownClaims({"sub": "user-1", "acr": ["platinum"]}))


def changed(provider: Provider, *arguments: Any, **more: Any) -> str:
    with pytest.raises(TokenError) as refused:
        provider.refresh(*arguments, **more)
    return refused.value.code


def test_another_person_is_refused_before_the_new_token_is_sent_anywhere() -> None:
    answer = {"sub": "user-2", "id": "8", "email": "a"}
    provider = Provider(answer, needs="email")
    assert changed(provider, {"sub": "user-2"}) == "subject_changed"
    plain = Provider(answer, **PLAIN)
    assert changed(plain, subject="7", id="8") == "subject_changed"
    assert provider.userinfo.calls == plain.userinfo.calls == 0
    assert Provider({"id": "7"}, **PLAIN).refresh(subject="7", id="7") is not None


def test_another_person_in_userinfo_is_refused() -> None:
    known = KnownClaims({"sub": "user-1", "oid": "o-1"})
    # Userinfo alone, by the subject and by sub; and userinfo that has the subject beside an ID token that has not.
    for answer, id_token, code in (
        ({"sub": "user-1", "oid": "o-2", "email": "a"}, None, "subject_changed"),
        ({"sub": "user-2", "email": "a"}, None, "userinfo_subject"),
        ({"sub": "user-1", "oid": "o-2", "email": "a"}, {}, "subject_changed"),
    ):
        provider = Provider(answer, needs="email", **BY_OID)
        assert changed(provider, id_token, known, subject="o-1") == code
    assert changed(Provider({"id": 8}, **PLAIN), subject="7") == "subject_changed"


@pytest.mark.parametrize(
    "userinfo", [{"sub": "user-1", "email": "a"}, {"sub": "user-1", "oid": "o-1", "email": "a"}]
)
@pytest.mark.parametrize("id_token", [None, {"oid": "o-1"}])
def test_the_same_person_may_be_known_by_either_source(
    userinfo: dict[str, Any], id_token: dict[str, Any] | None
) -> None:
    known = KnownClaims({"sub": "user-1", "oid": "o-1"})
    found = Provider(userinfo, needs="email", **BY_OID).refresh(id_token, known, subject="o-1")
    assert found is not None
    assert (found.claims["oid"], found.claims["email"]) == ("o-1", "a")


def test_the_same_person_may_be_known_by_userinfo_beside_an_id_token() -> None:
    provider = Provider({"sub": "user-1", "oid": "o-1"}, **BY_OID)
    found = provider.refresh({}, KnownClaims({"sub": "user-1", "oid": "o-1"}), subject="o-1")
    assert found == KnownClaims({**CLAIMS, "oid": "o-1"}, frozenset({"oid"}))


# A refresh whose userinfo fails


@pytest.mark.parametrize("id_token", [None, {}])
def test_where_it_is_needed_and_the_provider_is_away_the_claims_stay_what_they_were(
    id_token: dict[str, Any] | None,
) -> None:
    provider = Provider(DOWN, needs="email")
    known = KnownClaims({"sub": "user-1", "email": "a"}, from_userinfo=frozenset({"email"}))
    assert provider.refresh(id_token, known) is None
    assert Provider(DOWN, **PLAIN).refresh(subject="7") is None


@pytest.mark.parametrize("failure", [REFUSED, UNREADABLE])
@pytest.mark.parametrize("id_token", [None, {}])
def test_where_it_is_needed_and_refuses_nobody_goes_on(
    id_token: dict[str, Any] | None, failure: OAuth2Error
) -> None:
    with pytest.raises(type(failure)):
        Provider(failure, needs="email").refresh(id_token)


@pytest.mark.parametrize("failure", [DOWN, REFUSED, UNREADABLE])
def test_where_it_was_only_wished_for_it_is_as_if_it_had_said_the_same(
    failure: OAuth2Error, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    known = KnownClaims({"sub": "user-1", "name": "Old", "email": "a"}, from_userinfo=frozenset({"email"}))
    provider = Provider(failure, wishes="email picture")
    assert provider.refresh({"name": "New"}, known) == KnownClaims(
        {**CLAIMS, "name": "New", "email": "a"}, frozenset({"email"}), frozenset({"picture"})
    )
    assert provider.refresh(None, known) is None
    assert caplog.text.count("userinfo_unusable") == 2


def test_a_further_address_that_is_away_and_needed_leaves_the_claims_what_they_were() -> None:
    away = Response(503, "", b"", {}, "")
    provider = Provider({"id": 7}, needs="email", quirk="github", further=away, **PLAIN)
    assert provider.refresh(subject="7") is None
    with pytest.raises(ProviderUnavailableError):
        provider.sign_in()


def test_what_a_further_address_says_is_known_after_a_refresh() -> None:
    provider = Provider({"id": 7}, wishes="email", quirk="github", further=addresses("a"), **PLAIN)
    assert provider.refresh(subject="7") == KnownClaims(
        {"id": 7, "email": "a", "email_verified": True}, frozenset({"id", "email", "email_verified"})
    )
    assert Provider({"id": 7}, wishes="email", quirk="github", **PLAIN).refresh(subject="7") == KnownClaims(
        {"id": 7}, frozenset({"id"}), frozenset({"email", "email_verified"})
    )


def test_what_is_known_is_in_no_repr_and_never_changed() -> None:
    found = Provider().sign_in({"email": "jane@corp.example"})
    assert "jane" not in repr(found)
    with pytest.raises(FrozenInstanceError):
        found.subject = "other"  # type: ignore[misc]  # frozen
