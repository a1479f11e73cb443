"""What a kept form tells of itself, and what stands behind ``#``."""

from __future__ import annotations

from urllib.parse import parse_qsl

import ada_url

from oauth2_mw.boundary import MAX_FRAGMENT, safe_fragment
from oauth2_mw.session.kept_forms import KeptForm
from oauth2_mw.web.http.form_fields import MAX_FIELDS, field_names
from tests.fuzz.boundary import ORIGIN, any_text

_QUERY = "application/x-www-form-urlencoded"


def form(data: bytes) -> None:
    """The names of a form's fields are names; a form that is kept comes back as it was, and nothing else is one."""
    head, _, body = data.partition(b"\n")
    content_type = head.decode("latin-1")
    names = field_names(content_type, body)
    assert len(names) == len(set(names)) <= MAX_FIELDS
    pairs = parse_qsl(body.decode("latin-1"), keep_blank_values=True, encoding="latin-1")
    known = {name.encode("latin-1").decode("utf-8", "replace") for name, _ in pairs}
    assert known.issuperset(field_names(_QUERY, body)), "what is shown is no name"
    kept = KeptForm("https://id.example", "42", "/x", content_type, content_type, content_type, body, 1)
    assert KeptForm.from_payload(kept.to_payload()) == kept
    other = KeptForm.from_payload(data)
    assert other is None or KeptForm.from_payload(other.to_payload()) == other


def fragment(data: bytes) -> None:
    """What is accepted stays behind the address that it is put to, and is accepted unchanged a second time."""
    built = safe_fragment(any_text(data))
    if built is None:
        return
    assert len(built) <= MAX_FRAGMENT
    assert safe_fragment(built) == built
    url = ada_url.URL(f"{ORIGIN}/page?x=1#{built}")
    assert (url.origin, url.pathname, url.search) == (ORIGIN, "/page", "?x=1")
    assert url.hash == f"#{built}"
