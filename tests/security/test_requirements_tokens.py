"""ID tokens: what the FAPI suite refuses, the steps of OpenID Connect, and what befell other libraries."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from jwt.exceptions import InvalidTokenError
from packaging.version import Version

from oauth2_mw.errors import TokenError
from oauth2_mw.provider.discovery.metadata import ProviderMetadata, allowed_algorithms
from oauth2_mw.provider.jose.jwks import parse_key_set
from oauth2_mw.provider.tokens.id_token import validate_id_token
from oauth2_mw.provider.tokens.userinfo import validate_userinfo
from oauth2_mw.provider.tokens.validator import TokenValidator
from tests.security.test_requirements_headers import floor
from tests.support.hosts.guarded import Guarded, guarded
from tests.support.providers.jose import Key, at_hash, base64url, ec_key, ed_key, rsa_key, to_json
from tests.support.providers.standin import LEFT_OUT, StandIn
from tests.support.settings.providers import provider_settings

NOW = 1_800_000_000
ISSUER = "https://op.example/tenant"
RSA = rsa_key()
GOOD: dict[str, Any] = {
    "iss": ISSUER,
    "aud": "client",
    "sub": "user-1",
    "iat": NOW,
    "exp": NOW + 300,
    "nonce": "the-nonce",
}


def claims(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**GOOD, **changes}.items() if value is not LEFT_OUT}


def token(_key: Key = RSA, /, header: dict[str, Any] | None = None, **changes: Any) -> str:
    return _key.sign(claims(**changes), **(header or {}))


def read(
    text: str, *keys: Key | dict[str, Any], access_token: str | None = None, **settings: Any
) -> dict[str, Any]:
    """The claims of an ID token that answers an attempt with the nonce ``the-nonce``."""
    published = [key.jwk() if isinstance(key, Key) else key for key in keys or (RSA,)]
    return validate_id_token(
        text,
        TokenValidator(
            provider_settings(issuer=ISSUER, **settings),
            ProviderMetadata(),
            parse_key_set({"keys": published}).matching,
        ),
        nonce="the-nonce",
        access_token=access_token,
        now=NOW,
    )


def refused(text: str, *keys: Key | dict[str, Any], **options: Any) -> str:
    with pytest.raises(TokenError) as error:
        read(text, *keys, **options)
    return error.value.code


def requirement(*ids: str, id: str | None = None, values: tuple[Any, ...]) -> Any:
    return pytest.param(*values, id=id or ids[0], marks=pytest.mark.requirement(*ids))


def test_the_token_that_all_others_differ_from_is_accepted() -> None:
    assert read(token()) == GOOD


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        requirement("F13", "N2.6.2", values=({"iss": "https://op.example/tenant/"}, "token_issuer")),
        requirement(
            "F13", "V14", "N2.6.2", id="a part of it", values=({"iss": "https://op.example"}, "token_issuer")
        ),
        requirement("V14", id="more than it", values=({"iss": ISSUER + "-2"}, "token_issuer")),
        requirement("N2.6.2", id="its case", values=({"iss": "https://OP.example/tenant"}, "token_issuer")),
        requirement("V14", id="in a list", values=({"iss": [ISSUER]}, "token_issuer")),
        requirement("F14", values=({"iss": LEFT_OUT}, "token_issuer")),
        requirement("F15", "N2.6.3", values=({"aud": "other"}, "token_audience")),
        requirement("N2.6.3", id="several in one text", values=({"aud": "client other"}, "token_audience")),
        requirement("F16", values=({"aud": LEFT_OUT}, "token_audience")),
        requirement("F16", id="F16 empty", values=({"aud": []}, "token_audience")),
        requirement("F17", "N2.6.3", values=({"aud": ["client", "other"]}, "token_audience")),
        requirement(
            "F17",
            "N2.6.4",
            id="F17 with azp",
            values=({"aud": ["client", "other"], "azp": "client"}, "token_audience"),
        ),
        requirement("N2.6.4", values=({"azp": "other"}, "token_azp")),
        requirement("F18", "N2.6.8", values=({"iat": NOW - 900, "exp": NOW - 301}, "token_expired")),
        requirement("N2.6.8", id="just past", values=({"exp": NOW - 60}, "token_expired")),
        requirement("F19", values=({"exp": LEFT_OUT}, "token_time")),
        requirement("N2.6.9", id="future", values=({"iat": NOW + 61}, "token_issued")),
        requirement("N2.6.9", id="past", values=({"iat": NOW - 3661}, "token_issued")),
        requirement("F20", "N2.6.10", values=({"nonce": "another"}, "token_nonce")),
        requirement("F21", "N2.6.10", values=({"nonce": LEFT_OUT}, "token_nonce")),
    ],
)
def test_an_id_token_with_a_wrong_claim_is_refused(changes: dict[str, Any], code: str) -> None:
    assert refused(token(**changes)) == code


@pytest.mark.requirement("N2.6.8")
def test_the_last_second_of_a_token_is_good() -> None:
    assert read(token(exp=NOW - 59))


@pytest.mark.requirement("F3")
def test_an_audience_in_a_list_of_one_is_the_audience() -> None:
    assert read(token(aud=["client"]))


# The signature


def signing_input(alg: str) -> str:
    """Header and payload of a token that claims *alg*."""
    return base64url(to_json({"alg": alg, "kid": RSA.kid})) + "." + base64url(to_json(GOOD))


@pytest.mark.requirement("F22", "V7")
@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE"])
@pytest.mark.parametrize("signature", ["", "AA"])
def test_no_signature_is_no_token(alg: str, signature: str) -> None:
    text = f"{signing_input(alg)}.{signature}"
    # Without a signature the third part is no base64url; with one the algorithm is what is wrong.
    assert refused(text) == ("token_algorithm" if signature else "token_malformed")


@pytest.mark.requirement("F23", "N2.6.6")
def test_a_key_of_the_provider_is_no_algorithm_of_ours() -> None:
    key = ec_key()
    assert refused(token(key), RSA, key) == "token_algorithm"
    assert read(token(key), RSA, key, algorithms=("ES256",))


@pytest.mark.requirement("N2.6.5")
def test_a_signature_by_another_key_of_the_same_name_does_not_verify() -> None:
    other = Key(rsa_key(7).private, "RS256", RSA.kid)
    assert refused(token(other)) == "token_signature"


def public_forms(key: Key) -> dict[str, bytes]:
    """A public key in every form in which it has been taken for a shared secret."""
    public = key.private.public_key()
    encoding, form = serialization.Encoding, serialization.PublicFormat
    return {
        "PEM": public.public_bytes(encoding.PEM, form.SubjectPublicKeyInfo),
        "DER": public.public_bytes(encoding.DER, form.SubjectPublicKeyInfo),
        "PKCS1": public.public_bytes(encoding.PEM, form.PKCS1),
        "OpenSSH": public.public_bytes(encoding.OpenSSH, form.OpenSSH),
        "JWK": jwt.get_algorithm_by_name("RS256").to_jwk(public).encode(),
        "the client secret": "s3cret: %+&ü".encode(),
        "nothing": b"",
    }


@pytest.mark.requirement("V2", "V13", "N2.6.7")
@pytest.mark.parametrize("name", public_forms(RSA))
@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_nothing_public_serves_as_a_shared_secret(name: str, alg: str) -> None:
    signed = signing_input(alg)
    digest = hmac.new(public_forms(RSA)[name], signed.encode(), getattr(hashlib, f"sha{alg[2:]}")).digest()
    text = f"{signed}.{base64url(digest)}"
    assert refused(text) == "token_algorithm"
    assert refused(text, algorithms=("RS256", alg)) == "token_algorithm"


@pytest.mark.requirement("V22", "V13", "N2.6.7")
def test_no_configuration_makes_a_symmetric_algorithm_good() -> None:
    everything = ("HS256", "HS384", "HS512", "none", "RS256")
    for provider, metadata in (
        (provider_settings(algorithms=everything), ProviderMetadata()),
        (provider_settings(), ProviderMetadata(id_token_signing_alg_values_supported=everything)),
    ):
        assert allowed_algorithms(provider, metadata) == {"RS256"}


@pytest.mark.requirement("V27")
def test_without_any_setting_the_algorithm_is_pinned() -> None:
    assert allowed_algorithms(provider_settings(), ProviderMetadata()) == {"RS256"}
    key = ec_key()
    assert refused(token(key), key) == "token_algorithm"


@pytest.mark.requirement("V3")
@pytest.mark.parametrize(
    "header", [{"crit": ["exp"], "exp": 1}, {"crit": []}, {"crit": ["http://x"], "http://x": 1}]
)
def test_a_critical_extension_is_refused(header: dict[str, Any]) -> None:
    assert refused(token(header=header)) == "token_header"


@pytest.mark.requirement("V15")
def test_the_library_refuses_critical_extensions_by_itself() -> None:
    assert floor("PyJWT") >= Version("2.15")
    text = token(header={"crit": ["x"], "x": 1})
    with pytest.raises(InvalidTokenError, match="crit"):
        jwt.decode(text, RSA.private.public_key(), algorithms=["RS256"], options={"verify_aud": False})


@pytest.mark.requirement("V16")
@pytest.mark.parametrize("header", [{"b64": False}, {"b64": False, "crit": ["b64"]}, {"b64": True}])
def test_a_payload_outside_the_token_is_refused(header: dict[str, Any]) -> None:
    assert refused(token(header=header)) == "token_header"


@pytest.mark.requirement("V8")
def test_without_a_published_key_the_key_in_the_header_is_none() -> None:
    mine = rsa_key(8)
    header = {"jwk": mine.jwk(), "x5c": ["AAAA"], "jku": "https://evil.example/keys"}
    for published in ({"kty": "oct", "k": "AA"}, rsa_key(9).jwk(kid="rsa-9")):
        assert refused(token(mine, header=header), published) == "token_key"
    assert refused(token(Key(mine.private, "RS256", None), header=header)) == "token_signature"


@pytest.mark.requirement("V17")
@pytest.mark.parametrize("bits", [1024, 1536, 2040])
def test_a_short_rsa_key_is_no_key(bits: int) -> None:
    weak = rsa_key(bits, bits=bits)
    assert refused(token(weak), weak) == "token_key"


@pytest.mark.requirement("V24")
@pytest.mark.parametrize(
    "shape",
    [
        lambda h, p, s: f'{{"payload":"{p}","signatures":[{{"protected":"{h}","signature":"{s}"}}]}}',
        lambda h, p, s: f'{{"protected":"{h}","payload":"{p}","signature":"{s}"}}',
        lambda h, p, s: f'{{"  {h}.":"","protected":"{h}","payload":"{p}","signature":"{s}"}}.{p}.{s}',
        lambda h, p, s: f" {h}.{p}.{s}",
        lambda h, p, s: f"{h}.{p}.{s}\n",
    ],
)
def test_only_the_compact_form_is_a_token(shape: Callable[[str, str, str], str]) -> None:
    assert refused(shape(*token().split("."))) == "token_malformed"


@pytest.mark.requirement("V4")
@pytest.mark.parametrize("place", [0, 1, 2])
def test_many_megabytes_are_refused_by_their_length_alone(place: int) -> None:
    parts = token().split(".")
    parts[place] = "A" * 20_000_000
    text = ".".join(parts)
    started = time.process_time()
    assert refused(text) == "token_malformed"
    assert time.process_time() - started < 0.2


@pytest.mark.requirement("V33")
def test_one_key_name_at_two_providers_is_two_keys() -> None:
    mine, theirs = Key(rsa_key(1).private, "RS256", "1"), Key(rsa_key(2).private, "RS256", "1")
    assert read(token(mine), mine)
    assert refused(token(theirs), mine) == "token_signature"


@pytest.mark.requirement("V1")
@pytest.mark.parametrize(
    "jwk",
    [
        lambda: rsa_key().jwk(n="AA"),
        lambda: rsa_key().jwk(n=""),
        lambda: rsa_key().jwk(e="AA"),
        lambda: rsa_key().jwk(e="AQ"),
        lambda: rsa_key().jwk(e="Ag"),
        lambda: rsa_key().jwk(kty="EC"),
        lambda: ec_key().jwk(crv="secp256k1"),
        lambda: ec_key().jwk(crv="P-384"),
        lambda: ec_key().jwk(x=ec_key("ES384").jwk()["x"]),
        lambda: ec_key().jwk(x=base64url(bytes(32)), y=base64url(bytes(32))),
        lambda: ed_key().jwk(x=base64url(bytes(31))),
        lambda: ed_key().jwk(crv="X25519"),
        lambda: rsa_key().jwk(use="enc"),
        lambda: rsa_key().jwk(key_ops=["encrypt"], use=None),
        lambda: rsa_key().jwk(d="AQAB"),
    ],
)
def test_an_edge_case_of_a_key_is_no_key(jwk: Callable[[], dict[str, Any]]) -> None:
    found = parse_key_set({"keys": [jwk()]})
    assert not any(found.matching(None, alg) for alg in ("RS256", "ES256", "EdDSA"))


P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493


def as_der(signature: bytes) -> bytes:
    half = len(signature) // 2
    return encode_dss_signature(*(int.from_bytes(part) for part in (signature[:half], signature[half:])))


def with_greater_s(signature: bytes) -> bytes:
    """The same Ed25519 signature, whose second half is not reduced (RFC 8032, section 5.1.7)."""
    greater = int.from_bytes(signature[32:], "little") + ED25519_ORDER
    return signature[:32] + greater.to_bytes(32, "little")


@pytest.mark.requirement("V1")
@pytest.mark.parametrize(
    ("key", "spoil"),
    [
        (RSA, lambda good: bytes(len(good))),
        (RSA, lambda good: bytes(len(good) - 1) + b"\1"),
        (RSA, lambda good: b"\xff" * len(good)),
        (RSA, lambda good: b"\0" + good),
        (RSA, lambda good: good[:-1]),
        (ec_key(), lambda _: bytes(64)),
        (ec_key(), lambda good: bytes(32) + good[32:]),
        (ec_key(), lambda good: good[:32] + bytes(32)),
        (ec_key(), lambda _: P256_ORDER.to_bytes(32) * 2),
        (ec_key(), as_der),
        (ec_key(), lambda good: good + b"\0"),
        (ed_key(), lambda _: bytes(64)),
        (ed_key(), with_greater_s),
        (ed_key(), lambda good: good[:63]),
    ],
    ids=range(14),
)
def test_an_edge_case_of_a_signature_is_no_signature(key: Key, spoil: Callable[[bytes], bytes]) -> None:
    signed, _, signature = token(key).rpartition(".")
    assert read(f"{signed}.{signature}", key, algorithms=(key.alg,))
    spoilt = spoil(base64.urlsafe_b64decode(signature + "=="))
    assert refused(f"{signed}.{base64url(spoilt)}", key, algorithms=(key.alg,)) == "token_signature"


# What comes with the token


@pytest.mark.requirement("N2.6.13")
@pytest.mark.parametrize(
    ("key", "digest"),
    [(RSA, "sha256"), (rsa_key(2, alg="RS384"), "sha384"), (ec_key("ES512"), "sha512"), (ed_key(), "sha512")],
    ids=lambda value: getattr(value, "alg", value),
)
def test_at_hash_is_of_the_algorithms_own_hash(key: Key, digest: str) -> None:
    settings: dict[str, Any] = {"algorithms": (key.alg,), "access_token": "the-token"}
    assert read(token(key, at_hash=at_hash("the-token", digest)), key, **settings)
    assert refused(token(key, at_hash=at_hash("other", digest)), key, **settings) == "token_at_hash"
    wrong = "sha384" if digest != "sha384" else "sha256"
    assert refused(token(key, at_hash=at_hash("the-token", wrong)), key, **settings) == "token_at_hash"


@pytest.mark.requirement("N2.6.15")
@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "other"},
        {"aud": ["client", "other"]},
        {"aud": []},
        {"azp": "other"},
        {"aud": LEFT_OUT, "azp": "other"},
        {"iss": "https://evil.example"},
    ],
)
def test_signed_userinfo_for_another_client_or_of_another_issuer_is_refused(changes: dict[str, Any]) -> None:
    def userinfo(text: str) -> dict[str, Any]:
        keys = parse_key_set({"keys": [RSA.jwk()]}).matching
        return validate_userinfo(
            text, TokenValidator(provider_settings(issuer=ISSUER), ProviderMetadata(), keys)
        )

    assert userinfo(token())["sub"] == "user-1"
    # It need not say so, for it came for our access token.
    assert userinfo(token(aud=LEFT_OUT, iss=LEFT_OUT))["sub"] == "user-1"
    with pytest.raises(TokenError):
        userinfo(token(**changes))


# What a person sees of it


@pytest.fixture
def site_and_provider() -> Any:
    with StandIn(client_id="app") as provider, guarded(issuer=provider.issuer) as site:
        yield site, provider


@pytest.mark.requirement("3i.5")
def test_one_page_tells_of_every_check_that_failed(site_and_provider: tuple[Guarded, StandIn]) -> None:
    site, provider = site_and_provider
    pages = set()
    for change in (
        {"claims": {"aud": "other"}},
        {"claims": {"nonce": "other"}},
        {"claims": {"iss": "https://evil.example"}},
        {"claims": {"exp": 1}},
        {"header": {"alg": "HS256"}},
        {"header": {"kid": "unknown"}},
        {"key": Key(rsa_key(9).private, "RS256", provider.key.kid), "jwks": [provider.key.jwk()]},
    ):
        for name, value in {"claims": {}, "header": {}, **change}.items():
            setattr(provider, name, value)
        page = site.browser().navigate(site.url + "/")
        assert page.status == 400
        pages.add(page.visible_text.replace(site.audit[-1].partition("ref=")[2][:8], "REFERENCE"))
    assert len(pages) == 1
    assert len({line.partition("code=")[2].split()[0] for line in site.audit}) >= 5


@pytest.mark.requirement("3f.14")
def test_no_address_inside_claims_is_visited(site_and_provider: tuple[Guarded, StandIn]) -> None:
    site, provider = site_and_provider
    bait = provider.url + "/bait"
    provider.header = {"jku": bait, "x5u": bait}
    provider.claims = {
        "picture": bait,
        "profile": bait,
        "_claim_names": {"groups": "src1", "email": "src2"},
        "_claim_sources": {"src1": {"endpoint": bait, "access_token": "x"}, "src2": {"JWT": token()}},
    }
    provider.userinfo.update(picture=bait, website=bait)
    browser = site.browser()
    assert browser.navigate(site.url + "/").json()["user"] == "jane"
    assert provider.asked("/bait") == []


@pytest.mark.requirement("N2.1.20")
def test_an_access_token_is_never_opened(site_and_provider: tuple[Guarded, StandIn]) -> None:
    site, provider = site_and_provider
    for strange in (
        token(iss="https://evil.example", exp=1),
        "a.b.c",
        "eyJhbGciOiJub25lIn0.e30.",
        "~" * 4000,
    ):
        provider.answers = {
            "token": lambda good, strange=strange: {
                **good,
                "access_token": strange,
                "id_token": provider.key.sign(
                    {
                        **jwt.decode(good["id_token"], options={"verify_signature": False}),
                        "at_hash": at_hash(strange),
                    }
                ),
            },
            "userinfo": lambda good: good,
        }
        provider.claims = {name: value for name, value in provider.userinfo.items() if name != "sub"}
        provider._access_tokens.add(strange)
        page = site.browser().navigate(site.url + "/")
        assert page.status == 200, site.audit


@pytest.mark.requirement("N2.5.5")
def test_an_issuer_is_all_that_a_provider_needs(site_and_provider: tuple[Guarded, StandIn]) -> None:
    site, provider = site_and_provider
    site.browser().navigate(site.url + "/", follow=False)
    assert [request.path for request in provider.requests] == ["/.well-known/openid-configuration"]


@pytest.mark.requirement("N2.6.10")
def test_the_answer_of_an_earlier_attempt_does_not_fit_a_later_one(
    site_and_provider: tuple[Guarded, StandIn],
) -> None:
    site, provider = site_and_provider
    answers: list[dict[str, Any]] = []

    def keep(answer: dict[str, Any]) -> dict[str, Any]:
        answers.append(answer)
        return answer

    provider.answers["token"] = keep
    site.browser().navigate(site.url + "/")
    provider.answers["token"] = lambda good: {**good, "id_token": answers[0]["id_token"]}
    page = site.browser().navigate(site.url + "/")
    assert page.status == 400
    assert "code=token_nonce" in site.audit[-1]


@pytest.mark.requirement("3h.8")
def test_a_hundred_thousand_groups_are_refused_quickly(site_and_provider: tuple[Guarded, StandIn]) -> None:
    site, provider = site_and_provider
    provider.userinfo["groups"] = [f"g{number}" for number in range(100_000)]
    started = time.monotonic()
    page = site.browser().navigate(site.url + "/")
    assert time.monotonic() - started < 5
    assert page.status == 502
    assert site.app.calls == 0
    assert len(site.audit) == 1
