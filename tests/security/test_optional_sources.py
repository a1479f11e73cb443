"""Userinfo that cannot be used, seen from outside: who can do without it gets in, and nobody else does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.security.hostile import (
    JWKS,
    USERINFO,
    Case,
    accepted,
    answered,
    assert_signed_in,
    both,
    claims,
    members_of,
    refused,
    stage,
)
from tests.support.providers.standin import LEFT_OUT, Answer

NAMED = claims(preferred_username="jane")
COMPLETE = claims(preferred_username="jane", name="Jane", email="jane@example.com")
PROVEN = claims(preferred_username="jane", name="Jane", email="jane@example.com", email_verified=True)
BY_DOMAIN = {"allow": "email_domain:example.com"}

UNUSABLE: dict[str, tuple[Any, str]] = {
    "refusal": (Answer(b"{}", 403), "userinfo_refused"),
    "fault": (Answer(b"", 500), "provider_unavailable"),
    "page": (Answer(b"<html>", content_type="text/html"), "userinfo"),
    "list": (b"[]", "userinfo"),
    "object about nobody": (b'{"preferred_username": "admin"}', "userinfo"),
    "encrypted token": (Answer(b"a.b.c.d.e", content_type="application/jwt"), "token_malformed"),
}
_STATUS = {"provider_unavailable": 503, "token_malformed": 400}


@pytest.mark.requirement("R-needed")
@pytest.mark.parametrize(("answer", "code"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_who_has_a_name_gets_in_without_userinfo_and_one_line_says_so(
    answer: Any, code: str, tmp_path: Path
) -> None:
    with stage(tmp_path) as there:
        both(NAMED, answered("userinfo", answer))(there.provider)
        page = there.sign_in()
        line = there.site.audit.pop(0)
        assert line.startswith("event=userinfo_unusable ref=")
        assert f" code={code} " in line
        assert_signed_in(there, page)


CASES = [
    *(
        refused(
            "R-needed",
            f"a {what} where an address decides",
            both(COMPLETE, answered("userinfo", answer)),
            code,
            status=_STATUS.get(code, 502),
            until=USERINFO,
            **BY_DOMAIN,
        )
        for what, (answer, code) in UNUSABLE.items()
    ),
    accepted(
        "R-needed",
        "an address that the ID token proves",
        both(PROVEN, answered("userinfo", Answer(b"", 403))),
        **BY_DOMAIN,
    ),
    accepted(
        "R-needed",
        "addresses that a setting proves",
        both(COMPLETE, answered("userinfo", Answer(b"", 403))),
        email_verified="always",
        **BY_DOMAIN,
    ),
    refused(
        "R-needed",
        "somebody else, although nothing is needed",
        both(NAMED, members_of("userinfo", sub="user-2")),
        "userinfo_subject",
        until=USERINFO,
    ),
    refused(
        "R-needed",
        "no name",
        answered("userinfo", Answer(b"", 403)),
        "userinfo_refused",
        status=502,
        until=USERINFO,
    ),
    refused(
        "R-needed",
        "never asked, no name",
        claims(preferred_username=LEFT_OUT),
        "no_username",
        status=502,
        until=JWKS,
        userinfo="never",
    ),
]


@pytest.mark.parametrize("case", CASES)
def test_what_decides_must_be_known(case: Case, tmp_path: Path) -> None:
    case.run(tmp_path)
