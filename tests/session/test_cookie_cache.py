"""What is remembered of session cookies never shows: a worker that remembers answers as one that opens each anew."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.identity.model import Identity
from oauth2_mw.session.clocks import Clocks
from oauth2_mw.session.cookie_cache import SessionCache
from oauth2_mw.session.manager import SessionManager
from oauth2_mw.session.model import SignInDetails
from oauth2_mw.session.revocation import session_name, user_name
from oauth2_mw.session.sealing import DISTINCT_CHARACTERS
from oauth2_mw.session.stores.sql import SqlStore
from oauth2_mw.settings.grammar import KeyEntry, Secret, format_key_line
from oauth2_mw.sql import Database
from oauth2_mw.sql.revocations import Revocation
from tests.support.clock import Clock
from tests.support.hosts.guarded import new_session
from tests.support.settings.keys import raw_key
from tests.support.settings.minimal import make_settings

ISSUER = "https://id.example"
NAME = "__Host-oauth2_mw"
JANE, JOHN = (Identity(f"u{n}", "default", ISSUER, str(n), name) for n, name in enumerate(("jane", "john")))


class Forgetful(SessionManager):
    """A worker that opens the cookies of every request anew."""

    def at_hand(self, cookie_header: str) -> None:
        """Nothing is."""

    def resolve(self, cookie_header: str) -> object:  # type: ignore[override]
        self._cache = SessionCache(self.cookies)
        return super().resolve(cookie_header)


@dataclass
class Shared:
    """The list that all workers share, and who is disabled; it can be away."""

    away: bool = False
    rows: list[Revocation] = field(default_factory=list)
    disabled: frozenset[str] = frozenset()

    def revocations(self, since: int) -> Sequence[Revocation]:
        self._reach()
        return [row for row in self.rows if row.row > since]

    def revoke(self, name: str, *, moment: int, expires: int) -> None:
        self._reach()
        self.rows.append(Revocation(len(self.rows) + 1, name, moment, expires))

    def delete(self, key: str) -> bool:
        return False

    def disabled_ids(self) -> frozenset[str]:
        self._reach()
        return self.disabled

    def _reach(self) -> None:
        if self.away:
            raise StoreUnavailableError("the directory is away")


class Pair:
    """Two workers of one application, of which one remembers, under one clock and beside one directory."""

    def __init__(self, folder: Path, *, stored: bool) -> None:
        self.clock = Clock()
        self.shared = Shared()
        self.key_file = folder / "keys"
        self.keys = [0]
        self.write_keys()
        self.settings = make_settings(
            issuer=ISSUER,
            secret_keys=f"file:{self.key_file}",
            session_lifetime="1000",
            session_idle="200",
            keep_tokens="id",
            revocation_sync="5",
            **({"session": f"sqlite:///{folder}/sessions.db"} if stored else {}),
        )
        self.database = Database(Secret.literal(f"sqlite:///{folder}/sessions.db")) if stored else None
        self.quick, self.slow = self._worker(SessionManager), self._worker(Forgetful)

    def _worker(self, kind: type[SessionManager]) -> SessionManager:
        clocks = Clocks(self.clock, self.clock)
        if self.database is None:
            return kind(self.settings, shared=self.shared, disabled=self.shared.disabled_ids, clocks=clocks)
        store = SqlStore(self.database, app=self.settings.public_url, clock=self.clock)
        return kind(self.settings, store=store, disabled=self.shared.disabled_ids, clocks=clocks)

    def write_keys(self) -> None:
        lines = [format_key_line(KeyEntry(f"k{n}", 1_700_000_000 + n, raw_key(n))) for n in self.keys]
        new = self.key_file.with_name("new")
        new.write_text("\n".join(lines) + "\n")
        new.replace(self.key_file)

    def sign_in(self, identity: Identity, token: str) -> list[str]:
        """Return the pairs of a new session's cookies."""
        details = SignInDetails(int(self.clock()))
        return new_session(self.quick, identity, {"id_token": token}, details).split("; ")

    def seen(self, sessions: SessionManager, header: str) -> object:
        try:
            # As the middleware asks; who forgets has nothing at hand.
            current = sessions.at_hand(header) or sessions.resolve(header)
        except StoreUnavailableError:
            return "unavailable"
        if current is None:
            return None
        rest = current.remaining_cookies, sessions.remaining_cookies(header), current.cookies, current.invalid
        if current.session is None:
            return rest
        environ = dict(current.environ)
        assert environ.pop("oauth2_mw.session") is current.session
        if self.database is not None:
            # Whoever asks the store second finds there that the first has just used the session.
            return *rest, replace(current.session, last_used_at=0), environ, current.needs_new_cookie
        return *rest, current.session, environ, current.needs_new_cookie, current.renew_at

    def check(self, header: str) -> None:
        assert self.seen(self.quick, header) == self.seen(self.slow, header)


def forged(pair: str) -> str:
    """The cookie as somebody changes it who wants to be taken for its owner: it begins alike."""
    return pair[:-4] + ("AAAA" if not pair.endswith("AAAA") else "BBBB")


def quoted(pair: str) -> str:
    name, _, value = pair.partition("=")
    return f'{name}="{value}"'


CHANGES: tuple[Callable[[str], str], ...] = (
    forged,
    quoted,
    lambda pair: pair[: len(NAME) + 1 + DISTINCT_CHARACTERS],
    lambda pair: pair + "AAAA",
    lambda pair: pair.replace("=", " = ", 1),
    lambda pair: pair.replace(NAME, f"{NAME}.1", 1),
    lambda pair: f"x{pair}",
)
BESIDE = ["theme=dark", "a=1", "=x", "", f"{NAME}-a-a=A", f"{NAME}.1=B", f"{NAME}x=1", f"a={NAME}=b"]
BESIDE += [
    f"{NAME}-p=corp",
    f"{NAME}-p=corp",
    f'{NAME}-p="b"',
    f"{NAME}-p = a=b",
    f"{NAME}-pp=a",
    f"x{NAME}-p=a",
]
BESIDE += [f"{name}=AU{'x' * 60}" for name in ("oauth2_mw", "oauth2_mw_other", "__Host-oauth2_mw-wiki")]


@pytest.mark.parametrize("stored", [False, True])
@given(seed=st.integers(0, 2**32))
def test_it_never_shows_what_is_remembered(
    tmp_path_factory: pytest.TempPathFactory, seed: int, *, stored: bool
) -> None:
    random = Random(seed)
    pair = Pair(tmp_path_factory.mktemp("pair"), stored=stored)
    people = [JANE, JOHN]
    issued = [pair.sign_in(person, random.choice(["t", "t" * 4000])) for person in people]
    headers: list[str] = []
    for _ in range(60):
        step = random.randrange(40)
        if step < 5:
            issued.append(pair.sign_in(random.choice(people), random.choice(["t", "t" * 4000])))
        elif step < 10:
            pair.clock.now += random.choice([1, 6, 6, 61, 190])
        elif step < 12:
            pair.shared.away = not pair.shared.away and random.random() < 0.5
        elif step < 13:
            pair.shared.disabled ^= {random.choice(people).id}
        elif step < 15:
            revoke(pair, random)
        elif step < 17:
            pair.keys = random.choice([[*pair.keys, pair.keys[-1] + 1], pair.keys[-1:]])
            pair.write_keys()
        else:
            again = headers[-6:] if random.random() < 0.5 else []
            headers.append(random.choice(again) if again else header_of(issued[-4:], random))
            pair.check(headers[-1])
        # When each of them next looks at the keys is not what this is about.
        for worker in (pair.quick, pair.slow):
            worker._keyring.look()


def revoke(pair: Pair, random: Random) -> None:
    """End one session or all of a user, at a worker or at another host."""
    known = [each.known.opened.session for each in pair.quick._cache._entries.values()]
    if not known:
        return
    session = random.choice(known)
    now, expires = int(pair.clock()), session.expires_at
    if pair.database is not None:
        pair.quick.end(session)
        pair.slow.revocations.revoke(session.id, expires=expires)
    elif not pair.shared.away:
        name = random.choice([session_name(session.id), user_name(session.identity.id)])
        pair.shared.revoke(name, moment=now, expires=expires)


def header_of(issued: list[list[str]], random: Random) -> str:
    pairs = random.choices(BESIDE, k=random.randrange(4))
    for _ in range(random.choice([1, 1, 1, 2, 3, 4])):
        for each in random.choice(issued):
            changed = random.choice(CHANGES)(each) if random.random() < 0.2 else each
            pairs.insert(random.randrange(len(pairs) + 1), changed)
    return random.choice(["; ", ";", " ;  "]).join(pairs)


def test_two_cookies_that_begin_alike_stay_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Pair(tmp_path, stored=False)
    monkeypatch.setattr(os, "urandom", bytes)
    [jane], [john] = pair.sign_in(JANE, "t"), pair.sign_in(JOHN, "t")
    length = len(NAME) + 1 + DISTINCT_CHARACTERS
    assert jane[:length] == john[:length] and jane != john
    for _ in range(3):
        for cookie, person in ((jane, JANE), (john, JOHN)):
            current = pair.quick.resolve(f"a=1; {cookie}")
            assert current is not None and current.session is not None
            assert current.session.identity == person


def test_a_forged_cookie_that_begins_like_a_remembered_one_signs_nobody_in(tmp_path: Path) -> None:
    pair = Pair(tmp_path, stored=False)
    [jane] = pair.sign_in(JANE, "t")
    for cookie, is_jane in ((jane, True), (forged(jane), False), (jane, True), (f"{jane}A", False)):
        current = pair.quick.resolve(cookie)
        assert current is not None
        assert (current.session is not None) is is_jane


@pytest.mark.parametrize("ending", ["A", " ", '"', "\t; a=2", ",a=2", "=; a=2", ";a=2", "; "])
def test_a_remembered_cookie_that_goes_on_is_read_as_if_it_were_unknown(tmp_path: Path, ending: str) -> None:
    pair = Pair(tmp_path, stored=False)
    [jane] = pair.sign_in(JANE, "t")
    pair.check(jane)
    for header in (f"a=1; {jane}{ending}", f"{NAME}-p=corp; {jane}{ending}"):
        pair.check(header)
        pair.check(header)


@pytest.mark.parametrize("kind", ["last", "three copies", "garbage", "somebody else's beside it"])
def test_a_jar_of_fifty_cookies_is_read_alike_the_first_time_and_later(tmp_path: Path, kind: str) -> None:
    pair = Pair(tmp_path, stored=False)
    [jane], [john] = pair.sign_in(JANE, "t"), pair.sign_in(JOHN, "t")
    jar = [f"cookie{number}={'v' * 150}" for number in range(50)]
    header = {
        "last": "; ".join([*jar, jane]),
        "three copies": "; ".join([jane, *jar[:25], jane, *jar[25:], jane]),
        "garbage": f"{NAME}={'=;' * 2000}\xff, {NAME}\t=; {jane[:-2]}",
        "somebody else's beside it": "; ".join([jane, *jar, john]),
    }[kind]
    for _ in range(3):
        pair.check(header)
    current = pair.quick.resolve(header)
    assert current is not None
    is_jane = kind in ("last", "three copies")
    assert (current.session.identity if current.session else None) == (JANE if is_jane else None)


def test_ten_thousand_cookies_stay_within_the_bounds(tmp_path: Path) -> None:
    pair = Pair(tmp_path, stored=False)
    [jane] = pair.sign_in(JANE, "t")
    current = pair.quick.resolve(jane)
    assert current is not None and current.known is not None
    cache = pair.quick._cache
    for number in range(10_000):
        known = replace(current.known, sealed=(1, f"A{number:028}{'x' * 900}"))
        header = f"a=1; {NAME}={known.sealed[1]}"
        cache.remember(replace(current, known=known, header=header))
        assert cache.find_header(header) is not None
    assert len(cache) <= cache.max_entries
    assert cache._cost <= cache.max_cost
    assert cache._cost == sum(cache._cost_of(key, entry) for key, entry in cache._entries.items())
    # The first has been forgotten, and is opened as it was.
    assert cache.find_header(jane) is None
    pair.check(jane)


def test_what_is_at_hand_is_left_to_the_long_way_where_anything_is_in_doubt(tmp_path: Path) -> None:
    pair = Pair(tmp_path, stored=False)
    [jane] = pair.sign_in(JANE, "t")
    sessions = pair.quick
    assert sessions.at_hand(jane) is None
    known = sessions.resolve(jane)
    assert sessions.at_hand(jane) is known is not None
    sessions._keyring.generation += 1
    assert sessions.at_hand(jane) is None
    assert sessions.resolve(jane) == sessions.at_hand(jane)
    sessions.revocations._disabled = frozenset({JANE.id})
    assert sessions.at_hand(jane) is None
    sessions.revocations._disabled = frozenset()
    assert sessions.at_hand(jane) is not None
    sessions.cut_offs.learn({"begun:*": int(pair.clock())})
    assert sessions.at_hand(jane) is None


def test_what_was_sealed_for_a_neighbour_is_cut_beside_a_remembered_cookie_too(tmp_path: Path) -> None:
    pair = Pair(tmp_path, stored=False)
    [jane] = pair.sign_in(JANE, "t")
    pair.check(jane)
    for header in (f"a=1; {jane}; oauth2_mw=AU{'x' * 60}", f"oauth2_mw_wiki=AU{'x' * 60}; {jane}; a=1"):
        current = pair.quick.resolve(header)
        assert current is not None and current.session is not None
        assert current.remaining_cookies == "a=1" == pair.quick.remaining_cookies(header)
        pair.check(header)


def test_the_provider_used_last_is_told_by_one_look_too(tmp_path: Path) -> None:
    pair = Pair(tmp_path, stored=False)
    [jane] = pair.sign_in(JANE, "t")
    pair.check(jane)
    for header in (f"{NAME}-p=corp; a=1; {jane}", f"{jane}; {NAME}-p=corp; a=2"):
        assert pair.quick._cache.find_header(header) is not None
        pair.check(header)
