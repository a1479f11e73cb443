"""Every input worth keeping, through its target, as an ordinary test; and that the targets would notice."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oauth2_mw.session.cookies import RequestCookies
from tests.fuzz import wsgi
from tests.fuzz.targets import TARGETS

SEEDS = Path(__file__).with_name("seeds")


def test_every_target_has_seeds_and_every_seed_a_target() -> None:
    assert {folder.name for folder in SEEDS.iterdir() if any(folder.iterdir())} == set(TARGETS)


@pytest.mark.every_case
@pytest.mark.parametrize("target", sorted(TARGETS))
def test_no_seed_breaks_anything(target: str) -> None:
    for seed in sorted((SEEDS / target).iterdir()):
        try:
            TARGETS[target](seed.read_bytes())
        except Exception as error:
            error.add_note(f"the seed is {seed.name}")
            raise


def always(value: Any) -> Callable[..., Any]:
    return lambda *_args, **_options: value


#: target, one of its seeds, a check, and what stands in for it
SWITCHED_OFF = [
    ("path", "encoded-dots", "boundary.is_ambiguous_path", always(value=False)),
    ("destination", "thrice", "boundary._is_harmful", always(value=False)),
    ("destination", "own-encoded", "boundary._decoded_path", lambda path, _own: path),
    ("query", "cut-escape", "boundary._BAD_ESCAPE", re.compile("(?!)")),
    ("query", "twice", "boundary.strict_query", always({"code": "b"})),
    ("form", "query", "web.http.form_fields._of_query", lambda body: iter([body])),
    ("form", "kept", "session.kept_forms.KeptForm.from_payload", always(None)),
    ("fragment", "quote", "boundary.quote", lambda text, **_safe: text),
    ("grammar", "rule-invisible", "settings.grammar.is_ambiguous_path", always(value=False)),
    (
        "key_file",
        "printable",
        "settings.keys._MAKE_ONE",
        "this is none: Y29ycmVjdCBob3JzZSBiYXR0ZXJ5IHN0YXBsZSEhISE",
    ),
    ("cookies", "long", "session.cookies.Cookies.read", lambda _self, header: RequestCookies({}, header)),
    ("sealing", "text", "session.sealing.Sealer._additional_data", always(b"")),
    ("documents", "twice-escaped", "provider.http.documents._object", dict),
    ("documents", "surrogate", "provider.http.documents._check_sizes", always(None)),
    ("documents", "too-deep", "provider.http.documents._check_depth", always(None)),
    ("metadata", "userinfo", "provider.discovery.metadata.endpoint_problem", always(None)),
    ("metadata", "loopback", "provider.discovery.metadata._is_plain_http", always(value=False)),
    ("metadata", "backslash", "provider.discovery.metadata.endpoint_problem", always(None)),
    ("keys", "weak", "provider.jose.jwks.MIN_RSA_BITS", 512),
    ("token", "other-user", "provider.jose.jws._verify_signature", always(None)),
    ("claims", "iat-future", "provider.tokens.id_token.check_times", always(None)),
    ("claims", "nonce-number", "provider.tokens.id_token._check_nonce", always(None)),
    ("claims", "typ-at", "provider.jose.jws._check_header", always("EdDSA")),
    ("claims", "aud-two", "provider.tokens.validator.check_audience", always(None)),
    ("claims", "at-hash-sha256", "provider.tokens.id_token._check_at_hash", always(None)),
    ("logout_token", "no-event", "provider.tokens.logout_token._check_events", always(None)),
    ("logout_token", "aud-two", "provider.tokens.validator.check_audience", always(None)),
    ("logout_token", "iat-old", "provider.tokens.logout_token.check_times", always(None)),
    ("logout_token", "sid-long", "provider.tokens.logout_token.is_identifier", always(value=True)),
    ("logout_token", "typ-at", "provider.jose.jws._check_header", always("EdDSA")),
    ("logout_token", "other-event", "provider.tokens.logout_token.EVENT", "http://op.example/event/other"),
    ("token_response", "token-crlf", "provider.endpoints.token._token_text", lambda value, *_others: value),
    (
        "token_response",
        "expires-true",
        "provider.endpoints.token._expires_in",
        lambda value, _response: value,
    ),
    ("refresh", "sub-other", "provider.claims.ClaimsReader._check_same_subject", always(None)),
    ("refresh", "auth-time", "provider.tokens.id_token._check_same_auth_time", always(None)),
    ("refresh", "iss-other", "provider.tokens.validator.check_issuer", always(None)),
    ("scrub", "dashes", "settings.proxy_headers.normalised_key", lambda key: key),
    ("scrub", "families", "identity.environ.IDENTITY_FAMILIES", ("NOTHING",)),
    ("writer", "crlf", "identity.environ.contains_control", always(value=False)),
    ("middleware", "public-dots", "access.rules.is_ambiguous_path", always(value=False)),
    ("middleware", "signed-in-public", "identity.environ.Scrubber.__call__", always(None)),
    (
        "middleware",
        "callback-live",
        "web.http.urls.Urls.to_destination",
        lambda _self, destination: destination,
    ),
]


@pytest.mark.parametrize(
    ("target", "seed", "check", "instead"), SWITCHED_OFF, ids=[f"{row[0]}-{row[2]}" for row in SWITCHED_OFF]
)
def test_a_target_notices_that_a_check_is_switched_off(
    target: str, seed: str, check: str, instead: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"oauth2_mw.{check}", instead)
    # What was decided with the check must not answer for what is decided without it, nor the other way round.
    wsgi.begin_anew()
    with pytest.raises(Exception):  # noqa: B017  whatever it is, it would be a finding
        TARGETS[target]((SEEDS / target / seed).read_bytes())
    wsgi.begin_anew()
