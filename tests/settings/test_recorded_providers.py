"""Every preset signs somebody in, and out, at what its provider's documentation shows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote_plus, urlencode, urlsplit

import pytest
import time_machine

from oauth2_mw.settings import presets
from tests.support.providers import recorded
from tests.support.providers.recorded import RecordedWorld
from tests.support.providers.visitor import PREFIX, Visitor
from tests.support.settings.minimal import CLIENT_SECRET, ORIGIN

FIELDS = ("subject", "name", "email", "phone", "groups")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordedWorld]:
    with recorded.recorded_world(tmp_path_factory.mktemp("providers")) as world:
        yield world


def test_a_code_under_another_name_is_no_longer_than_one_under_its_own(
    world: RecordedWorld, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    visitor = Visitor(world, recorded.read("dingtalk"), tmp_path)
    request = dict(parse_qsl(urlsplit(visitor.visit().header("Location") or "").query))
    query = urlencode({"authCode": "x" * 4097, "state": request["state"]})
    assert visitor.visit(f"{PREFIX}/login/callback/", QUERY_STRING=query).status == 400
    assert "code=too_long " in caplog.text


def test_every_preset_is_tried() -> None:
    assert list(presets.names()) == recorded.names()


@pytest.mark.requirement("R-dialects")
@pytest.mark.parametrize("name", recorded.names())
def test_a_preset_signs_in_and_out_as_its_provider_documents(
    world: RecordedWorld, name: str, tmp_path: Path
) -> None:
    recording = recorded.read(name)
    visitor = Visitor(world, recording, tmp_path)
    answer = visitor.sign_in()
    assert answer.status == 303, answer.text
    assert visitor.visit().status == 200
    assert visitor.environ is not None
    identity = visitor.environ["oauth2_mw.identity"]
    found = {name: getattr(identity, name) for name in FIELDS}
    expected = {"groups": [], **recording.members["expected"]}
    assert {"REMOTE_USER": visitor.environ["REMOTE_USER"], **found} == {
        **dict.fromkeys(FIELDS),
        **expected,
        "groups": tuple(expected["groups"]),
    }
    secret = quote_plus(CLIENT_SECRET)
    is_in_address = any(secret in query for query in visitor.provider.queries)
    assert is_in_address == (recording.members.get("dialect") in ("wechat", "wecom"))
    location = visitor.sign_out()
    logout = recording.members["logout"]
    if logout is None:
        assert location in ("", f"{ORIGIN}{PREFIX}/logout/done/")
    else:
        address, _, query = location.partition("?")
        assert address == logout["address"]
        assert sorted(key for key, _ in parse_qsl(query)) == sorted(logout["parameters"])
    assert visitor.visit().status == 303


REFRESHES = [name for name in recorded.names() if "refresh" in recorded.read(name).members]


@pytest.mark.parametrize("name", REFRESHES)
def test_a_preset_refreshes_as_its_provider_documents(
    world: RecordedWorld, name: str, tmp_path: Path
) -> None:
    recording = recorded.read(name)
    long = {"session_lifetime": "365d", "session_idle": "365d", "keep_tokens": "id refresh"}
    with time_machine.travel(1_800_000_000, tick=False) as clock:
        visitor = Visitor(world, recording, tmp_path, **long, **recording.members["refresh_settings"])
        assert visitor.sign_in().status == 303
        assert visitor.visit().status == 200
        address = recording.addresses.get("refresh_endpoint", recording.addresses["token_endpoint"])
        before = visitor.provider.calls.count(address)
        token = recording.members["token"]
        clock.shift(int(token.get("expires_in") or token["expireIn"]))
        assert visitor.visit().status == 200
        assert visitor.provider.calls.count(address) == before + 1
        assert visitor.environ is not None
        assert visitor.environ["REMOTE_USER"] == recording.members["expected"]["REMOTE_USER"]


ELSEWHERE = [name for name in recorded.names() if "groups" in recorded.read(name).members]


def test_groups_of_further_addresses_are_tried() -> None:
    assert ELSEWHERE == ["discord", "entra-multitenant", "github", "microsoft"]


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_preset_reads_groups_where_its_provider_documents_them(
    world: RecordedWorld, name: str, tmp_path: Path
) -> None:
    recording = recorded.read(name)
    groups = recording.members["groups"]
    changes = {"id_token": groups["id_token"]} if "id_token" in groups else {}
    visitor = Visitor(world, recording.changed(changes), tmp_path, **groups["settings"])
    assert visitor.sign_in().status == 303
    assert visitor.visit().status == 200
    assert visitor.environ is not None
    assert sorted(visitor.environ["oauth2_mw.identity"].groups) == sorted(groups["expected"])
    assert visitor.provider.scope == groups["scope"]
    # Without a setting that reads them, nobody asks for them.
    called = {url.partition("?")[0] for url in recording.members["more"]} & set(visitor.provider.calls)
    visitor = Visitor(world, recording, tmp_path)
    assert visitor.sign_in().status == 303
    assert visitor.provider.scope == recording.members["scope"]
    assert called - set(visitor.provider.calls)


REFUSED = [
    pytest.param(name, case, id=f"{name}-{number}")
    for name in recorded.names()
    for number, case in enumerate(recorded.read(name).members.get("refused", ()))
]


@pytest.mark.requirement("R-dialects")
@pytest.mark.parametrize(("name", "case"), REFUSED)
def test_a_preset_refuses_what_its_provider_does_not_vouch_for(
    world: RecordedWorld, name: str, case: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    changes = {member: value for member, value in case.items() if member != "code"}
    visitor = Visitor(world, recorded.read(name).changed(changes), tmp_path)
    assert visitor.sign_in().status >= 400
    assert f"code={case['code']} " in caplog.text
    assert visitor.visit().status == 303
