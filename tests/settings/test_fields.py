"""The declaration table: every setting once, with its default, its meaning and its type."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.identity.mapping import Attributes
from oauth2_mw.identity.model import Identity
from oauth2_mw.settings import load
from oauth2_mw.settings.converters import LOCAL_FIELDS
from oauth2_mw.settings.document import variable_name
from oauth2_mw.settings.environ_keys import IDENTITY_SOURCES
from oauth2_mw.settings.examples import EXAMPLES
from oauth2_mw.settings.fields import ACCESS, FIELDS, GLOBAL, PROVIDER, describe
from oauth2_mw.settings.model import ProviderSettings, Settings
from tests.support.settings.keys import text_key

# Fields that are no setting, or have another name than their key.
OF_A_SERVICE = {"doubts", "environ", "environ_forms", "providers"}
OF_A_PROVIDER = {
    "name",
    "label",
    "rules",
    "has_written_map",
    "quirk",
    "dialect",
    "public",
    "unique_usernames",
    "selects_account",
}
# Keys that are of use while settings are read, and no longer. The last two a service has for its providers.
ONLY_READ = {"enabled", "preset", "provider", "session_lifetime", "session_idle"}


def test_the_local_fields_are_those_that_are_mapped() -> None:
    assert tuple(field.name for field in dataclasses.fields(Attributes)) == LOCAL_FIELDS


def test_the_sources_of_environ_are_the_fields_of_an_identity() -> None:
    names = {field.name for field in dataclasses.fields(Identity)}
    assert set(IDENTITY_SOURCES) == names - {"claims"}


def test_every_key_is_declared_once_with_one_sentence() -> None:
    names = [field.name for field in FIELDS]
    assert len(names) == len(set(names))
    for field in FIELDS:
        assert field.help.endswith((".", "..."))
        assert set(GLOBAL) | set(PROVIDER) | {"rules"} == set(names)


def test_every_setting_has_an_example_that_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(text_key())
    (tmp_path / "client-secret").write_text("s3cret")
    (tmp_path / "client.pem").write_text("a PEM")
    assert set(EXAMPLES) == {field.name for field in FIELDS}
    for field in FIELDS:
        example = EXAMPLES[field.name]
        assert example != field.default, field.name
        assert field.read(example.strip(), tmp_path) is not None, field.name


def test_every_default_can_be_read(tmp_path: Path) -> None:
    for field in FIELDS:
        if field.default is not None:
            field.read(field.default, tmp_path)


def test_the_reference_says_where_a_key_stands_and_its_default() -> None:
    rows = {row.key: row for row in describe()}
    assert rows["session_lifetime"] == type(rows["session_lifetime"])(
        "[oauth2_mw], provider", "session_lifetime", "8h", "How long a sign-in lasts at most.", "12h"
    )
    assert rows["public_url"].default == "required"
    assert rows["rules"].where == "[access]"


names = st.from_regex(r"[a-z][a-z0-9-]{0,31}", fullmatch=True)
places = st.tuples(names, st.sampled_from(sorted(PROVIDER))) | st.tuples(
    st.just(""), st.sampled_from(sorted({*GLOBAL, *PROVIDER}))
)


@given(places, places)
def test_two_keys_never_share_an_environment_variable(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (variable_name(*one) == variable_name(*other)) == (one == other)


def test_every_field_of_the_settings_is_declared() -> None:
    service = {field.name for field in dataclasses.fields(Settings)}
    provider = {field.name for field in dataclasses.fields(ProviderSettings)}
    assert service - set(GLOBAL) - set(ACCESS) == OF_A_SERVICE
    assert provider - set(PROVIDER) == OF_A_PROVIDER


def test_every_setting_that_is_available_becomes_a_field() -> None:
    service = {field.name for field in dataclasses.fields(Settings)}
    provider = {field.name for field in dataclasses.fields(ProviderSettings)}
    assert set(GLOBAL) - service <= ONLY_READ
    assert set(PROVIDER) - provider <= ONLY_READ


def test_a_setting_is_named_in_a_third_place_only_if_its_value_is_made_there() -> None:
    """What is converted as ``fields`` declares it goes into the classes of ``model`` without being named again."""
    tree = ast.parse(Path(load.__file__).read_text(encoding="utf-8"))
    named = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    named |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg}
    made_there = """
        directory session keep_tokens enabled provider issuer authorization_endpoint scope attribute_map subject icon
        allow username_prefix session_lifetime session_idle logout_request rules token_issuers
        logo templates title public_url
    """
    assert named & {field.name for field in FIELDS} == set(made_there.split())
