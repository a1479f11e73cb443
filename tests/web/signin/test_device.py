"""The browser of a sign-in, in words that its owner recognises."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.web.signin.device import device

CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.5 Mobile/15E148 Safari/604.1"
)


@pytest.mark.parametrize(
    ("user_agent", "words"),
    [
        (CHROME, "Chrome 140 on Windows"),
        (f"{CHROME} Edg/140.0.0.0", "Edge 140 on Windows"),
        (FIREFOX, "Firefox 140 on Linux"),
        (SAFARI, "Safari 18 on iPhone"),
        (
            "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36",
            "Chrome 140 on Android",
        ),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/18.5 Safari/605.1.15",
            "Safari 18 on macOS",
        ),
        (f"{CHROME} EdgA/", "Edge on Windows"),
        ("Mozilla/5.0 (X11; Linux x86_64) Firefox/99999999", "Firefox on Linux"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X) Safari/605.1.15", "Safari on macOS"),
        ("curl/8.5.0", "curl"),
        ("python-requests/2.32", "python-requests"),
        ("Mozilla/5.0", None),
        ("<script>alert(1)</script>", None),
        ("", None),
        (None, None),
        ("Mozilla/5.0 (X11; Linux x86_64)", "Linux"),
    ],
)
def test_a_browser_is_called_what_its_owner_calls_it(user_agent: str | None, words: str | None) -> None:
    assert device(user_agent) == words


@given(st.text(max_size=2000))
def test_whatever_a_user_agent_says_the_words_are_short_and_plain(user_agent: str) -> None:
    words = device(user_agent)
    assert words is None or (0 < len(words) <= 60 and words.isascii() and words.isprintable())
