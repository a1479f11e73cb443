"""What a signed-in request costs, as a ratio to what it must cost (``make bench``).

A null application is called in the same process with and without a filter in front of it; what a filter adds is the
difference. Processor time is counted, and all variants take turns within every round: what else the machine does falls
on all of them alike. The goals are compared with the smallest and the middle ratio over the rounds.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.limits import COOKIE, Limit
from oauth2_mw.identity.model import Identity
from oauth2_mw.middleware import OAuth2Middleware
from oauth2_mw.settings.model import Settings

Environ = dict[str, Any]

#: (variant, measured against, the most that the ratio may be)
GOALS = (
    ("opened", "opened limit", 3.0),
    ("sealed", "sealed limit", 2.0),
    ("public", "opened limit", 1.0),
    ("10 rules", "opened", 1.5),
    ("100 rules", "opened", 1.5),
    ("1000 rules", "opened", 1.5),
)
SETTINGS = {
    "public_url": "https://app.example",
    "secret_keys": "FL9BPkFxvGWLCCcEkVJqIcv0-wfGKfNpDMnRyXsyXlw",
    "issuer": "https://id.example",
    "client_id": "bench",
    "client_secret": "bench",
    "public_paths": "/static/ /robots.txt",
    "revocation_sync": "60s",
}


def null_app(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """The least that an application can do."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b""]


def start_response(status: str, headers: Any, exc_info: Any = None) -> None:
    """A server that throws everything away."""


def environ_of(cookie: str, *, path: str = "/reports/2026") -> Environ:
    """A request of forty keys, as gunicorn behind nginx builds them."""
    headers = {
        "HTTP_HOST": "app.example",
        "HTTP_USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36",
        "HTTP_ACCEPT": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        "HTTP_ACCEPT_LANGUAGE": "en,de;q=0.7",
        "HTTP_ACCEPT_ENCODING": "gzip, deflate, br",
        "HTTP_SEC_FETCH_DEST": "document",
        "HTTP_SEC_FETCH_MODE": "navigate",
        "HTTP_SEC_FETCH_SITE": "same-origin",
        "HTTP_SEC_CH_UA": '"Chromium";v="140"',
        "HTTP_SEC_CH_UA_MOBILE": "?0",
        "HTTP_SEC_CH_UA_PLATFORM": '"Linux"',
        "HTTP_UPGRADE_INSECURE_REQUESTS": "1",
        "HTTP_REFERER": "https://app.example/",
        "HTTP_CONNECTION": "close",
        "HTTP_X_FORWARDED_FOR": "192.0.2.1",
        "HTTP_X_FORWARDED_PROTO": "https",
        "HTTP_X_REQUEST_ID": "0123456789abcdef",
        "HTTP_DNT": "1",
        "HTTP_CACHE_CONTROL": "max-age=0",
        "HTTP_COOKIE": f"theme=dark; {COOKIE}={cookie}; lang=en",
    }
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "page=2",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "gunicorn",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "40000",
        "RAW_URI": path,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.input": sys.stdin,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": list,
        "gunicorn.socket": None,
        **headers,
    }


def rules(count: int) -> str:
    """Return rules of which the last decides about the path that is measured."""
    others = [f"required /app/{number}/ if group:admins" for number in range(count - 1)]
    return "\n".join([*others, "required /reports/"])


def variants() -> dict[str, tuple[Callable[[Environ, Any], object], Environ]]:
    """Return what is measured: name -> (callable, the environ that each call gets a copy of)."""
    middleware = OAuth2Middleware(null_app, Settings.from_mapping(SETTINGS))
    sessions = middleware._sessions
    identity = Identity(
        id="0hJ2v7YtXw5sRkq1bN8cZg",
        provider="default",
        issuer="https://id.example",
        subject="248289761001",
        username="jane",
        name="Jane Doe",
        email="jane@example.com",
        groups=("staff", "admins"),
        claims={"preferred_username": "jane", "locale": "en", "email_verified": True},
    )
    provider = middleware._settings.providers["default"]
    [header] = sessions.create(provider, identity, {"id_token": "e" * 600}, sessions.cookies.read(""))
    cookie = header.partition(";")[0].partition("=")[2]
    current = sessions.resolve(header.partition(";")[0])
    assert current is not None and current.session is not None
    ruled = {}
    for count in (10, 100, 1000):
        settings = Settings.from_mapping({**SETTINGS, "access": {"rules": rules(count)}})
        ruled[f"{count} rules"] = (OAuth2Middleware(null_app, settings), environ_of(cookie))
    limit = Limit(null_app, current.session.to_payload())

    opened = sessions._cache

    def unopened(environ: Environ, start: Any) -> object:
        opened._entries.clear()
        opened._cost = 0
        return middleware(environ, start)

    return {
        "null": (null_app, environ_of(cookie)),
        "opened limit": (limit.opened, environ_of(limit.cookie)),
        "opened": (middleware, environ_of(cookie)),
        "sealed limit": (limit.sealed, environ_of(limit.cookie)),
        "sealed": (unopened, environ_of(cookie)),
        **ruled,
        "public": (middleware, environ_of(cookie, path="/static/app.css")),
    }


def measure(calls: int, rounds: int) -> dict[str, list[float]]:
    """Return the microseconds that one call takes, for each variant and round."""
    timings: dict[str, list[float]] = {}
    measured = variants()
    for function, environ in measured.values():
        function(environ.copy(), start_response)
    for _ in range(rounds):
        for name, (function, environ) in measured.items():
            begin = time.thread_time()
            for _ in range(calls):
                function(environ.copy(), start_response)
            timings.setdefault(name, []).append((time.thread_time() - begin) / calls * 1e6)
    return timings


def main() -> int:
    """Measure, print the table, write ``results.json``; 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    timings = measure(options.calls, options.rounds)
    added = {
        name: [value - null for value, null in zip(values, timings["null"], strict=True)]
        for name, values in timings.items()
        if name != "null"
    }
    print(f"{'':14}{'added, us (min)':>18}{'(median)':>12}")
    for name, values in added.items():
        print(f"{name:14}{min(values):18.2f}{statistics.median(values):12.2f}")
    print()
    print(f"{'ratio':32}{'min':>8}{'median':>10}{'goal':>8}")
    results = {}
    missed = False
    for name, against, goal in GOALS:
        ratios = [one / other for one, other in zip(added[name], added[against], strict=True)]
        least, middle = min(ratios), statistics.median(ratios)
        missed |= middle > goal
        print(f"{name + ' / ' + against:32}{least:8.2f}{middle:10.2f}{goal:8.1f}")
        results[f"{name} / {against}"] = {"min": round(least, 3), "median": round(middle, 3), "goal": goal}
    document = {
        "python": platform.python_version(),
        "cryptography": version("cryptography"),
        "calls": options.calls,
        "rounds": options.rounds,
        "added_microseconds_median": {name: round(statistics.median(v), 3) for name, v in added.items()},
        "ratios": results,
    }
    Path(__file__).with_name("results.json").write_text(json.dumps(document, indent=2) + "\n")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
