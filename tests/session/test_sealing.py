"""Sealed texts: what was sealed for one use opens for that use alone."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.session.keyring import Keyring
from oauth2_mw.session.sealing import Sealer, sealed_length
from oauth2_mw.settings.grammar import Secret
from tests.support.settings.keys import raw_key, text_key

KEY = text_key(0)
OTHER = text_key(1)
APP = "https://app.example"


def sealer(keys: str = KEY, app: str = APP) -> Sealer:
    return Sealer(Keyring(Secret.literal(keys), sync=5), app_id=app)


@given(st.binary(max_size=300))
def test_what_was_sealed_opens(payload: bytes) -> None:
    text = sealer().seal("session", "name", payload)
    assert sealer().open("session", "name", text) == payload
    assert len(text) == sealed_length(len(payload))


def test_a_text_is_laid_out_and_bound_as_it_says() -> None:
    """Opened by hand, so that no two mistakes of sealing and opening make up for each other."""

    def derived(info: bytes, length: int) -> bytes:
        return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(raw_key(0))

    raw = base64.urlsafe_b64decode(sealer().seal("session", "name", b"12345678"))
    header, nonce, sealed = raw[:9], raw[9:21], raw[21:]
    assert header == b"\x01" + derived(b"oauth2_mw key id", 8)
    bound = header + b"\0\0\0\x13https://app.example" + b"\0\0\0\x07session" + b"name"
    cipher = AESGCM(derived(b"oauth2_mw seal session", 32))
    assert cipher.decrypt(nonce, sealed, bound) == b"12345678"
    assert len(sealed) == 8 + 16


@pytest.mark.requirement("3c.1", "V40")
@given(st.data())
def test_a_text_changed_in_any_character_does_not_open(data: st.DataObject) -> None:
    box = sealer()
    text = box.seal("session", "name", b"payload")
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(max_codepoint=0x17F).filter(lambda c: c != text[at]))
    assert box.open("session", "name", text[:at] + other + text[at + 1 :]) is None


@pytest.mark.requirement("3c.1")
def test_a_text_cut_short_or_carried_on_does_not_open() -> None:
    box = sealer()
    text = box.seal("session", "name", b"payload")
    for changed in (
        *(text[:n] for n in range(len(text))),
        text + "A",
        text + "AAAA",
        text + "=",
        " " + text,
        text + "\n",
    ):
        assert box.open("session", "name", changed) is None


@pytest.mark.requirement("3b.23")
def test_only_one_spelling_of_a_text_opens() -> None:
    box = sealer()
    texts = [box.seal("session", "name", bytes(size)) for size in range(6)]
    for text in texts:
        for last in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=":
            if last != text[-1]:
                assert box.open("session", "name", text[:-1] + last) is None


@pytest.mark.requirement("3c.4")
def test_a_text_opens_for_its_own_purpose_name_and_application_only() -> None:
    text = sealer().seal("attempt", "a", b"payload")
    assert sealer().open("session", "a", text) is None
    assert sealer().open("attempt", "b", text) is None
    assert sealer(app="https://other.example").open("attempt", "a", text) is None
    assert sealer().open("attempt", "a", text) == b"payload"


@pytest.mark.requirement("3c.3")
def test_the_first_key_seals_and_every_key_opens() -> None:
    old = sealer(OTHER).seal("session", "name", b"old")
    both = sealer(f"{KEY} {OTHER}")
    assert both.open("session", "name", old) == b"old"
    assert sealer(KEY).open("session", "name", both.seal("session", "name", b"new")) == b"new"


@pytest.mark.requirement("3c.3")
def test_a_text_of_a_key_that_was_taken_away_does_not_open() -> None:
    assert sealer(KEY).open("session", "name", sealer(OTHER).seal("session", "name", b"x")) is None


@pytest.mark.requirement("3c.12")
def test_a_text_of_another_version_does_not_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sealed with our key and in our way, so that nothing but the octet in front tells it apart."""
    box = sealer()
    with monkeypatch.context() as patch:
        patch.setattr("oauth2_mw.session.sealing.VERSION", b"\x02")
        text = box.seal("session", "name", b"12345")
        assert box.open("session", "name", text) == b"12345"
    assert box.open("session", "name", text) is None


@pytest.mark.requirement("3c.2")
def test_the_same_payload_never_seals_to_the_same_text() -> None:
    box = sealer()
    assert len({box.seal("session", "name", b"x") for _ in range(500)}) == 500


@pytest.mark.parametrize("text", ["", "A", "ä" * 80, "\x00" * 80, "=" * 80, "-" * 79], ids=range(6))
def test_rubbish_does_not_open(text: str) -> None:
    assert sealer().open("session", "name", text) is None


def test_no_repr_of_a_key_shows_it() -> None:
    ring = Keyring(Secret.literal(KEY), sync=5)
    assert KEY not in repr(ring.sealing_key()) + repr(vars(ring).get("_source"))


def test_a_text_is_current_while_its_key_is_the_one_that_seals() -> None:
    text = sealer(KEY).seal("session", "name", b"payload")
    assert sealer(KEY).is_current(text)
    assert sealer(f"{KEY} {OTHER}").is_current(text)
    # By keys whose ids sort before and after that of the text.
    for other in (OTHER, text_key(2), text_key(3), text_key(4)):
        assert not sealer(f"{other} {KEY}").is_current(text)


@pytest.mark.parametrize("text", ["", "A", "=", "not base64url!"])
def test_what_is_not_a_sealed_text_is_not_current(text: str) -> None:
    assert not sealer().is_current(text)
