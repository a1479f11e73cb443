"""The presets: data that starts with the fewest keys, and gives way to what is written."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from oauth2_mw.provider.quirks import QUIRKS
from oauth2_mw.settings import icons, presets
from oauth2_mw.settings.model import Settings
from oauth2_mw.settings.presets import QuirkName
from oauth2_mw.settings.warnings import warnings
from tests.support.settings.minimal import oauth, oidc, only_problem, problems, service

CLIENT = {"client_id": "app", "client_secret": "s3cret"}


#: A username of one person alone, of which nobody is warned.
UNIQUE = {"attribute_map": {"username": "login", "groups": "groups"}}


def with_preset(name: str, **more: str) -> dict[str, object]:
    if name in presets.names() and presets.read(name, Path()).unique_usernames is False:
        more = {"directory": "sqlite:///users.db", **more}
    return service(preset=name, allow="*", **CLIENT, **more)


def examples(name: str, base: Path) -> dict[str, str]:
    """What the preset says that every user writes, in words that can be read."""
    found = presets.read(name, base).examples
    return {
        key: text.replace("YOUR-", "my-").replace("TENANT-ID", "0a1b").replace("REGION", "eu")
        for key, text in found.items()
    }


@pytest.mark.parametrize("name", presets.names())
def test_a_preset_starts_with_client_id_secret_and_what_it_asks_for(name: str, tmp_path: Path) -> None:
    provider = Settings.from_mapping(with_preset(name, **examples(name, tmp_path))).providers["default"]
    assert provider.icon is not None
    assert provider.is_oidc or (
        provider.authorization_endpoint and provider.token_endpoint and provider.userinfo_endpoint
    )
    assert "username" in provider.attribute_map
    assert provider.quirk is None or provider.quirk in QUIRKS


@pytest.mark.parametrize("name", presets.names())
def test_a_preset_says_where_to_register_what_to_set_there_and_what_its_tokens_hold(name: str) -> None:
    notes = presets.read(name, Path()).notes
    assert tuple(notes) == presets.NOTES
    assert notes["Documentation"].startswith("https://")
    assert " " not in notes["Documentation"]
    for label in ("Register", "Set there", "Token"):
        assert notes[label].endswith((".", ").")), label


def test_the_notes_of_a_preset_may_be_longer_than_a_line_or_missing(tmp_path: Path) -> None:
    own = tmp_path / "own.ini"
    comment = "# Mine.\n# Register: there\n#   and: there.\n# Documentation:\n# https://id.example/\n"
    own.write_text(f"{comment}[provider]\n# Token: no\n")
    assert presets.read("own.ini", tmp_path).notes == {
        "Register": "there and: there.",
        "Documentation": "https://id.example/",
    }
    own.write_text("[provider]\n")
    assert presets.read("own.ini", tmp_path).notes == {}


@pytest.mark.parametrize("name", presets.names())
def test_a_preset_says_what_is_missing_in_its_own_words(name: str, tmp_path: Path) -> None:
    example = presets.read(name, tmp_path).examples.get("issuer")
    if example is not None:
        assert example in only_problem(with_preset(name))


def test_the_endpoints_of_an_oauth_provider_are_asked_for_by_example() -> None:
    found = problems(with_preset("oauth2", token_endpoint="https://id.example.com/t"))
    assert any("like https://id.example.com/oauth2/authorize" in line for line in found)


def test_the_github_preset() -> None:
    provider = Settings.from_mapping(with_preset("github")).providers["default"]
    assert provider.label == "GitHub"
    assert provider.authorization_endpoint == "https://github.com/login/oauth/authorize"
    assert provider.token_endpoint == "https://github.com/login/oauth/access_token"
    assert provider.userinfo_endpoint == "https://api.github.com/user"
    assert provider.scope == ("read:user", "user:email")
    assert provider.subject.text == "id"
    assert {local: path.text for local, path in provider.attribute_map.items()} == {
        "username": "login",
        "name": "name",
        "email": "email",
    }
    assert provider.quirk == "github"
    assert provider.public
    assert provider.user_issuers == ("https://github.com",)


@pytest.mark.parametrize(
    "name", "apple bitbucket dingtalk discord facebook github gitlab google line linkedin wechat x".split()
)
def test_what_anyone_can_join_is_public(name: str) -> None:
    assert Settings.from_mapping(with_preset(name)).providers["default"].public


def test_personal_microsoft_accounts_are_public_and_a_tenant_is_not() -> None:
    personal = "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0"
    tenant = "https://login.microsoftonline.com/0a1b/v2.0"
    assert Settings.from_mapping(with_preset("microsoft", issuer=personal)).providers["default"].public
    assert not Settings.from_mapping(with_preset("microsoft", issuer=tenant)).providers["default"].public


@pytest.mark.parametrize(
    ("name", "unchanging", "more"),
    [
        ("microsoft", "oid", {"issuer": "https://login.microsoftonline.com/0a1b/v2.0"}),
        ("discord", "id", {"allow": "*"}),
    ],
)
def test_a_preset_whose_provider_promises_no_unique_names_needs_a_directory(
    name: str, unchanging: str, more: dict[str, str]
) -> None:
    mapping = service(preset=name, **CLIENT, **more)
    assert "set directory" in only_problem(mapping)
    Settings.from_mapping({**mapping, "attribute_map": {"username": unchanging}})


@pytest.mark.parametrize("name", sorted({*presets.names()} - {"hydra", "lemonldap", "oauth2", "oidc"}))
def test_a_preset_says_of_its_usernames_whether_they_are_one_persons_alone(name: str, tmp_path: Path) -> None:
    """Left out are those whose claims are the operator's own."""
    provider = Settings.from_mapping(with_preset(name, **examples(name, tmp_path))).providers["default"]
    is_verified_address = provider.attribute_map["username"].text == "email"
    assert (presets.read(name, tmp_path).unique_usernames is None) == is_verified_address


def test_usernames_in_a_preset_are_unique_or_shared(tmp_path: Path) -> None:
    (tmp_path / "own.ini").write_text("[provider]\nusernames = often\n")
    with pytest.raises(ValueError, match="unique or shared"):
        presets.read("own.ini", tmp_path)


# Presets written by hand

CARELESS = """
[provider]
provider = Careless
authorization_endpoint = https://id.example.com/authorize
token_endpoint = https://id.example.com/token
userinfo_endpoint = http://id.example.com/user
public = https://id.example.com
pkce = off
subject = emails[0].value
email_verified = {verified}
attribute_map = {map}
"""


@pytest.mark.parametrize(
    ("verified", "mapped", "has_fault"),
    [
        ("claim", "email", "no"),
        ("claim", "mail", "yes"),
        *((verified, "email", "yes") for verified in ("never", "always", "true", "null", "[]", "1")),
    ],
)
def test_every_fault_of_a_preset_is_said_at_once_and_where_it_comes_from(
    tmp_path: Path, verified: str, mapped: str, has_fault: str
) -> None:
    mapping = f'{{"username": "{mapped}", "email": "email"}}'
    (tmp_path / "own.ini").write_text(CARELESS.format(verified=verified, map=mapping))
    found = problems(service(preset="own.ini", **CLIENT), base=tmp_path)
    of_preset = {"userinfo_endpoint", "pkce", "subject"} | (
        {"email_verified"} if has_fault == "yes" else set()
    )
    assert {line.split(": ")[0].removeprefix("[oauth2_mw] ") for line in found} == {"allow", *of_preset}
    assert sum("it comes from the preset own.ini" in line for line in found) == len(of_preset)


# Providers that refuse PKCE


@pytest.mark.requirement("R-pkce")
@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "client_secret_jwt"])
def test_without_an_issuer_pkce_is_not_switched_off(method: str) -> None:
    found = problems(service(**oauth(pkce="off", client_auth_method=method, client_secret="s" * 32)))
    assert [line.split(": ")[0] for line in found] == ["[oauth2_mw] pkce"]
    assert "take pkce = off out" in found[0]
    also_without_a_secret = problems(
        service(**oauth(pkce="off", client_auth_method=method, client_secret="env:"))
    )
    assert found[0] in also_without_a_secret
    assert len(also_without_a_secret) == 2


@pytest.mark.requirement("R-pkce")
@pytest.mark.parametrize(
    "name",
    [
        name
        for name in presets.names()
        if not presets.read(name, Path()).refuses_pkce and not presets.read(name, Path()).examples
    ],
)
def test_a_preset_whose_provider_takes_pkce_keeps_it(name: str) -> None:
    found = with_preset(name, pkce="off")
    if "issuer" in presets.read(name, Path()).values:
        assert not Settings.from_mapping(found).providers["default"].pkce
    else:
        assert any("pkce: " in line for line in problems(found))


@pytest.mark.requirement("R-pkce")
def test_a_preset_may_say_that_its_provider_refuses_pkce_and_check_says_what_that_means() -> None:
    settings = Settings.from_mapping(with_preset("linkedin"))
    assert not settings.providers["default"].pkce
    (line,) = (line for line in warnings(settings) if "PKCE" in line)
    assert "provider default" in line
    assert "steals a code" in line
    enabled_there = Settings.from_mapping(with_preset("linkedin", pkce="S256"))
    assert not any("PKCE" in line for line in warnings(enabled_there))


@pytest.mark.requirement("R-pkce")
def test_a_copy_of_such_a_preset_says_it_too_or_does_not_start(tmp_path: Path) -> None:
    text = (Path(presets.__file__).parent / "linkedin.ini").read_text()
    (tmp_path / "own.ini").write_text(text)
    Settings.from_mapping(with_preset("own.ini"), base=tmp_path)
    (tmp_path / "own.ini").write_text(text.replace("refuses = pkce\n", ""))
    assert "pkce: " in only_problem(with_preset("own.ini"), base=tmp_path)


def test_what_a_preset_refuses_is_pkce_alone_and_only_a_preset_says_it(tmp_path: Path) -> None:
    (tmp_path / "own.ini").write_text("[provider]\nrefuses = PKCE\n")
    with pytest.raises(ValueError, match="refuses in a preset is pkce"):
        presets.read("own.ini", tmp_path)
    found = problems(service(**oauth(pkce="off", refuses="pkce")))
    assert any("refuses: unknown key" in line for line in found)
    assert any("pkce: without an issuer" in line for line in found)


@pytest.mark.requirement("R-dialects", "R-pkce")
@pytest.mark.parametrize("name", ["wechat", "wecom", "dingtalk"])
def test_a_provider_that_knows_no_pkce_says_so(name: str) -> None:
    mapping = with_preset(name, **AGENT)
    assert any("refuses PKCE" in line for line in warnings(Settings.from_mapping(mapping)))
    assert only_problem({**mapping, "pkce": "S256"}).endswith("knows no PKCE: take it out")


@pytest.mark.requirement("R-dialects")
@pytest.mark.parametrize("name", presets.names())
def test_a_secret_in_an_address_is_warned_of(name: str) -> None:
    preset = presets.read(name, Path())
    if preset.dialect is None:
        return
    lines = warnings(Settings.from_mapping(with_preset(name, **AGENT)))
    assert any("in the address of a request" in line for line in lines) == (name in ("wechat", "wecom"))


AGENT = {"auth_params": '{"agentid": "1000002"}'}


def test_what_a_dialect_does_not_know_is_refused_all_at_once() -> None:
    mapping = with_preset(
        "wecom", issuer="https://id.example.com", client_auth_method="client_secret_basic", pkce="S256"
    )
    found = [line for line in problems(mapping) if "WeCom knows" in line or "agentid" in line]
    assert [line.split(": ")[0].split()[-1] for line in found] == [
        "issuer",
        "client_auth_method",
        "pkce",
        "auth_params",
    ]
    assert '{"agentid": "1000002"}' in found[-1]


def test_a_preset_of_ones_own_may_name_a_dialect_that_there_is(tmp_path: Path) -> None:
    (tmp_path / "own.ini").write_text((Path(presets.__file__).parent / "lark.ini").read_text())
    own = Settings.from_mapping(with_preset("own.ini"), base=tmp_path).providers["default"]
    assert own.dialect == "feishu"
    (tmp_path / "own.ini").write_text("[provider]\ndialect = qq\n")
    with pytest.raises(ValueError, match="the dialect 'qq'; there are dingtalk, feishu, wechat, wecom"):
        presets.read("own.ini", tmp_path)
    assert "dialect: unknown key" in only_problem(with_preset("lark", dialect="wechat"))


@pytest.mark.requirement("R-pkce")
def test_with_an_issuer_a_nonce_takes_its_place() -> None:
    provider = Settings.from_mapping(service(**oidc(pkce="off"))).providers["default"]
    assert not provider.pkce
    assert "openid is missing" in only_problem(service(**oidc(pkce="off", scope="profile")))


def test_a_written_key_wins_over_the_preset() -> None:
    provider = Settings.from_mapping(with_preset("github", provider="Ours", scope="", icon="")).providers[
        "default"
    ]
    assert (provider.label, provider.scope, provider.icon) == ("Ours", (), None)


def test_the_keys_of_a_preset_alone_cannot_be_written() -> None:
    assert "public: unknown key" in only_problem(with_preset("github", public="false"))


# A preset of one's own

OWN = """
[provider]
provider = Example
issuer = https://id.example.com
icon = picture.svg
quirk = ok-flag
public = https://id.example.com https://other.example.com

[example]
client_id = 123
"""


def test_a_preset_may_be_a_file_with_paths_relative_to_itself(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "own.ini").write_text(OWN)
    (tmp_path / "sub" / "picture.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    provider = Settings.from_mapping(with_preset("sub/own.ini"), base=tmp_path).providers["default"]
    assert provider.label == "Example"
    assert provider.icon is not None
    assert provider.quirk == "ok-flag"
    assert provider.public


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read: No such file"),
        (b"[provider]\nprovider = \xff\n", "not UTF-8"),
        (b"provider = x\n", "cannot be read"),
        (b"[provider]\nscope = a\nscope = b\n", "cannot be read"),
        (b"[example]\nissuer = x\n", "sections [provider]"),
        (b"[provider]\n[environ]\n", "sections [provider]"),
        (b"[provider]\nissure = x\n", "holds issure, which is not a key of a provider"),
        (b"[provider]\npreset = github\n", "holds preset"),
        (b"[provider]\npublic_url = https://x.example.com\n", "holds public_url"),
        (
            b"[provider]\nquirk = gihtub\n",
            "quirk 'gihtub'; there are adfs, apple, discord, entra, github, hydra, lemonldap, ok-flag",
        ),
    ],
)
def test_a_preset_that_is_none_is_explained(tmp_path: Path, content: bytes | None, why: str) -> None:
    if content is not None:
        (tmp_path / "own.ini").write_bytes(content)
    assert why in only_problem(service(preset="own.ini", **oidc()), base=tmp_path)


def test_a_wrong_value_names_the_preset_that_it_comes_from(tmp_path: Path) -> None:
    (tmp_path / "own.ini").write_text("[provider]\nleeway = soon\n")
    found = only_problem(service(preset="own.ini", **oidc()), base=tmp_path)
    assert found.endswith("(it comes from the preset own.ini)")


def test_an_empty_preset_means_no_preset() -> None:
    assert Settings.from_mapping(service(preset="", **oidc())).providers["default"].quirk is None


# Icons

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20
SVG = b"<svg xmlns='http://www.w3.org/2000/svg'><path d=''/></svg>"


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0 a picture", "image/jpeg"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "image/webp"),
        (SVG, "image/svg+xml"),
        (
            b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- drawn - by hand -->\n<!-- twice -->" + SVG,
            "image/svg+xml",
        ),
    ],
)
def test_the_type_of_an_icon_is_what_its_bytes_say(tmp_path: Path, data: bytes, content_type: str) -> None:
    (tmp_path / "icon.png").write_bytes(data)
    icon = icons.load("icon.png", tmp_path)
    assert (icon.content_type, icon.data) == (content_type, data)
    assert "data" not in repr(icon)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (PNG + b"\0" * icons.MAX_BYTES, "256 KiB"),
        (b"GIF89a", "not a PNG, SVG"),
        (b"<html><svg></svg></html>", "not a PNG, SVG"),
        (b"RIFF\x10\0\0\0WAVEfmt ", "not a PNG, SVG"),
        ("<svg/>".encode("utf-16"), "not a PNG, SVG"),
        (b"<!DOCTYPE svg>" + SVG, "<!DOCTYPE"),
        (b"<!doctype svg [<!ENTITY a 'b'>]>" + SVG, "<!doctype"),
        (b"<svg><script>alert(1)</script></svg>", "<script"),
        (b"<svg xmlns:s='x'><s:SCRIPT/></svg>", "<s:SCRIPT"),
        (b"<svg><foreignObject/></svg>", "<foreignObject"),
        (b"<?xml-stylesheet href='x'?>" + SVG, "<?xml-stylesheet"),
        (b"<!-- a -->" * 2000 + b"no picture", "not a PNG, SVG"),
    ],
)
def test_what_is_no_picture_is_refused(tmp_path: Path, data: bytes, why: str) -> None:
    (tmp_path / "icon.svg").write_bytes(data)
    with pytest.raises(ValueError, match=r".") as caught:
        icons.load("./icon.svg", tmp_path)
    assert why in str(caught.value)


#: What a drawing program writes that runs and loads nothing.
DRAWING = b"""<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<!-- Created by hand: onload= and <script> are words here -->
<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:cc="http://cc.example/ns#"
  xmlns:tool="http://tool.example/ns" width="64" height="64" viewBox="0 0 64 64" tool:file="C:\\pictures\\a.svg">
  <?xpacket begin=""?>
  <title>A key: javascript is not meant</title>
  <metadata><cc:license resource="https://creativecommons.org/licenses/by/4.0/"/></metadata>
  <style type="text/css"><![CDATA[ .a { fill: url("#shade"); filter: url( #blur ) } ]]></style>
  <defs><linearGradient id="shade"><stop offset="0" style="stop-color:#fff"/></linearGradient></defs>
  <g clip-path="url(#clip)"><use xlink:href="#shade"/><path class="a" d="M0 0h64"/></g>
  <text font-family="serif">once @import, \\ and url(http://a.example) are text</text>
  <circle r="4"><animate attributeName="r" values="4;8"/></circle>
</svg>"""


def test_a_drawing_that_runs_and_loads_nothing_is_a_picture(tmp_path: Path) -> None:
    (tmp_path / "icon.svg").write_bytes(DRAWING)
    assert icons.load("icon.svg", tmp_path).data == DRAWING


@pytest.mark.parametrize(
    ("drawn", "why"),
    [
        ("<script/>", "<script"),
        ("<ScRiPt href='#a'/>", "<ScRiPt"),
        ("<a:b:script xmlns:a='x'/>", "not well-formed|<a:b:script"),
        ("<g xmlns='http://www.w3.org/1999/xhtml'/>", "HTML"),
        ("<h:img xmlns:h=' http://www.w3.org/1999/xhtml'/>", "HTML"),
        ("<foreignobject/>", "<foreignobject"),
        ("<iframe/>", "<iframe"),
        ("<s:handler xmlns:s='http://www.w3.org/2000/svg'/>", "<s:handler"),
        ("<g onclick='a()'/>", "onclick="),
        ("<g ONLOAD='a()'/>", "ONLOAD="),
        ("<g e:onload='a()' xmlns:e='x'/>", "e:onload="),
        ("<set attributeName='onload' to='a()'/>", "changes onload"),
        ("<set attributeName='href' to='javascript:a()'/>", "changes href"),
        ("<animate attributeName=' x:HREF ' values='#a;javascript:a()'/>", "changes href"),
        ("<a href='javascript:a()'><path d=''/></a>", "javascript:"),
        ("<a href='java&#10;script:a()'><path d=''/></a>", "href="),
        ("<a l:href=' &#x6A;avascript:a()' xmlns:l='http://www.w3.org/1999/xlink'/>", "javascript:"),
        ("<a href='https://a.example/'/>", "https://a.example/"),
        ("<use href='other.svg#a'/>", "other.svg#a"),
        ("<use href='//a.example/a.svg#a'/>", "//a.example"),
        ("<use href='data:image/svg+xml,%3Csvg/%3E'/>", "data:image"),
        ("<image href='data:image/png;base64,AA=='/>", "data:image"),
        ("<image src='a.png'/>", "src="),
        ("<g xml:base='https://a.example/'/>", "xml:base"),
        ("<path fill='url(https://a.example/a.svg#a)'/>", "url("),
        ("<path fill='url(#a) url( \"a.svg#b\")'/>", "url("),
        ("<path style='fill:URL(//a.example)'/>", "URL("),
        ("<path style='fill:u\\72l(//a.example)'/>", "\\"),
        ("<path style='background:image-set(\"a.png\" 1x)'/>", "image-set("),
        ("<style>@import 'a.css';</style>", "@import"),
        ("<style><![CDATA[@im]]>port 'a.css';</style>", "@import"),
        ("<style>@\\69mport 'a.css';</style>", "\\"),
        ("<style>@import 'a.css';<style/></style>", "@import"),
        ("<style><style/>@import 'a.css';</style>", "@import"),
        ("<style>@font-face { src: url(a.woff) }</style>", "url("),
        ("<s:STYLE xmlns:s='x'>@import 'a.css';</s:STYLE>", "@import"),
        ("<?xml-stylesheet href='a.css'?>", "<?xml-stylesheet"),
        ("<?XML-Stylesheet href='a.css'?>", "<?XML-Stylesheet"),
        ("<path", "not well-formed"),
        ("&a;", "not well-formed"),
        ("<path d='' d=''/>", "not well-formed"),
    ],
)
def test_a_drawing_that_runs_or_loads_something_is_refused(tmp_path: Path, drawn: str, why: str) -> None:
    (tmp_path / "icon.svg").write_text(f"<svg xmlns='http://www.w3.org/2000/svg'><g>{drawn}</g></svg>")
    with pytest.raises(ValueError, match=r"\A(the SVG contains|the SVG is not)") as caught:
        icons.load("icon.svg", tmp_path)
    assert any(reason in str(caught.value) for reason in why.split("|"))


def test_a_drawing_says_no_other_encoding_than_the_one_that_it_is_read_in(tmp_path: Path) -> None:
    (tmp_path / "icon.svg").write_bytes(b"<?xml version='1.0' encoding='UTF-7'?>" + SVG)
    with pytest.raises(ValueError, match="'UTF-7': save it in UTF-8"):
        icons.load("icon.svg", tmp_path)


def test_every_built_in_icon_passes_the_check_of_a_users_own(tmp_path: Path) -> None:
    for name in icons.names():
        drawn = icons.load(name, tmp_path)
        (tmp_path / "copy.svg").write_bytes(drawn.data)
        assert icons.load("copy.svg", tmp_path) == drawn


# What is allowed and seldom meant


def test_ordinary_settings_give_no_warning() -> None:
    assert warnings(Settings.from_mapping(service(**oidc(**UNIQUE)))) == ()


def test_a_session_that_servers_may_not_take_is_warned_of() -> None:
    keys = oidc(**UNIQUE)
    (found,) = warnings(Settings.from_mapping(service(session_max_bytes="6001", **keys)))
    assert "limit_request_field_size" in found
    assert warnings(Settings.from_mapping(service(session_max_bytes="6000", **keys))) == ()
    store = service(session_max_bytes="7000", session="redis://127.0.0.1/0", **keys)
    assert warnings(Settings.from_mapping(store)) == ()


def test_trust_in_any_audience_is_put_in_words() -> None:
    zitadel = Settings.from_mapping(service(**oidc(preset="zitadel", issuer="https://a.example", **UNIQUE)))
    assert zitadel.providers["default"].trusted_audiences == ("*",)
    (found,) = warnings(zitadel)
    assert (
        "trusted_audiences of provider default: * accepts ID tokens that other applications may use too"
        in found
    )
    named = service(**oidc(preset="zitadel", trusted_audiences="crm", issuer="https://a.example", **UNIQUE))
    assert warnings(Settings.from_mapping(named)) == ()


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"allow": "group:staff"}, 1),
        ({"allow": "group:staff", "refresh_needs_id_token": "true"}, 0),
        ({"allow": "group:staff", "keep_tokens": "id"}, 0),
        ({"allow": "*"}, 0),
        ({"allow": "organization:A"}, 0),
    ],
)
def test_claims_that_a_refresh_may_leave_as_they_were_are_warned_of(
    tmp_path: Path, keys: dict[str, str], expected: int
) -> None:
    more = {"keep_tokens": "id refresh", "directory": "sqlite:///u.db", "group_sync": "always", **keys}
    found = warnings(Settings.from_mapping(service(**oidc(**UNIQUE), **more), base=tmp_path))
    assert len(found) == expected
    assert all(
        "reads groups of provider default: if a refresh brings no ID token" in sentence for sentence in found
    )


@pytest.mark.parametrize("preset", ["adfs", "authelia", "hydra", "microsoft", "okta"])
def test_assertions_are_for_the_token_endpoint_where_the_provider_takes_no_other(preset: str) -> None:
    settings = service(
        **oidc(preset=preset, directory="sqlite:///u.db", client_auth_method="client_secret_basic")
    )
    provider = Settings.from_mapping(settings).providers["default"]
    assert provider.client_assertion_audience == "token_endpoint"
    # What is written wins; Entra documents PS256.
    assert provider.client_assertion_algorithm == ("PS256" if preset == "microsoft" else None)


def test_a_key_or_secret_that_every_user_can_read_is_warned_of(tmp_path: Path) -> None:
    for name, mode in (("key", 0o644), ("secret", 0o600)):
        (tmp_path / name).write_text("x" * 32)
        (tmp_path / name).chmod(mode)
    by_key = oidc(client_auth_method="private_key_jwt", client_secret="", client_key="file:key")
    by_secret = oidc(client_secret="file:secret")
    mapping = service(
        **{
            "provider:k": {**by_key, **UNIQUE, "username_prefix": "k:"},
            "provider:s": {**by_secret, **UNIQUE, "username_prefix": "s:", "same_users_as": "k"},
        }
    )
    (found,) = warnings(Settings.from_mapping(mapping, base=tmp_path))
    assert found == f"client_key of provider k: every user of this machine can read {tmp_path / 'key'}"


@pytest.mark.parametrize(("sync", "expected"), [("first", 1), ("always", 0)])
def test_group_rules_under_group_sync_first_are_warned_of(tmp_path: Path, sync: str, expected: int) -> None:
    mapping = service(**oidc(group_sync=sync), allow="group:staff", directory="sqlite:///u.db")
    found = warnings(Settings.from_mapping(mapping, base=tmp_path))
    assert len(found) == expected
    assert all("group:staff" in sentence and "group_sync = always" in sentence for sentence in found)


def test_an_issuer_that_anyone_can_join_is_warned_of() -> None:
    (found,) = warnings(
        Settings.from_mapping(service(**oidc(issuer="https://accounts.google.com", **UNIQUE)))
    )
    assert "anyone on earth can join https://accounts.google.com" in found


@pytest.mark.requirement("R-scrub")
def test_each_header_that_is_kept_is_warned_of() -> None:
    settings = Settings.from_mapping(
        service(**oidc(**UNIQUE), keep_headers="X-Forwarded-Email Remote-Groups")
    )
    first, second = warnings(settings)
    assert "X-Forwarded-Email" in first
    assert "Remote-Groups" in second


def test_secret_files_that_everybody_can_read_are_warned_of(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("k1 2026-11-23T18:00:00Z nU8cC-eiU4bR8Ll-LEpoUxvgnXf0yKE2XgLLlK9teBM")
    (tmp_path / "secret").write_text("x")
    (tmp_path / "keys").chmod(0o644)
    (tmp_path / "secret").chmod(0o644)
    settings = Settings.from_mapping(
        service(**oidc(client_secret="file:secret", **UNIQUE), secret_keys="file:keys"), base=tmp_path
    )
    found = warnings(settings)
    assert [sentence.split(":")[0] for sentence in found] == [
        "client_secret of provider default",
        "secret_keys",
    ]
    (tmp_path / "keys").chmod(0o600)
    (tmp_path / "secret").unlink()
    assert warnings(settings) == ()


@pytest.mark.parametrize(
    ("shared", "expected"),
    [({}, 1), ({"directory": "sqlite:///u.db"}, 0), ({"session": "sqlite:///s.db"}, 0)],
)
def test_refresh_tokens_that_nothing_keeps_from_being_used_twice_are_warned_of(
    tmp_path: Path, shared: dict[str, str], expected: int
) -> None:
    found = warnings(
        Settings.from_mapping(service(**oidc(**UNIQUE), keep_tokens="refresh", **shared), base=tmp_path)
    )
    assert len(found) == expected
    assert all("keep_tokens" in sentence and "directory" in sentence for sentence in found)


def test_settings_that_are_allowed_and_seldom_meant_are_warned_of() -> None:
    mapping = service(
        enabled="false",
        insecure_http="true",
        environ={"HTTP_X_FORWARDED_HOST": "name", "HTTP_X_FORWARDED_USER": "username"},
    )
    found = warnings(Settings.from_mapping(mapping))
    assert [sentence.split(":")[0] for sentence in found] == [
        "[environ] HTTP_X_FORWARDED_HOST",
        "insecure_http",
        "no provider is enabled",
    ]


def test_every_quirk_that_a_preset_may_ask_for_exists() -> None:
    assert QUIRKS.keys() == set(get_args(QuirkName))


def test_cognito_is_warned_about_until_its_logout_endpoint_is_written(tmp_path: Path) -> None:
    written = with_preset("cognito", **examples("cognito", tmp_path))
    bare = {name: value for name, value in written.items() if name != "logout_endpoint"}
    assert any("logout_endpoint" in sentence for sentence in warnings(Settings.from_mapping(bare)))
    assert not any("logout_endpoint" in sentence for sentence in warnings(Settings.from_mapping(written)))
    here = {**bare, "sync_logout": "false"}
    assert not any("logout_endpoint" in sentence for sentence in warnings(Settings.from_mapping(here)))
