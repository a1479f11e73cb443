"""How tests talk to the counterparts that are scripts of ours: JSON over loopback, under ``/_test/``."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit


def control(origin: str, method: str, path: str, value: Any = None) -> Any:
    """One control request; an answer that is not 200 fails the test with what it says."""
    connection = HTTPConnection("127.0.0.1", urlsplit(origin).port, timeout=30)
    headers = {"Content-Type": "application/json"}
    try:
        connection.request(method, path, body=None if value is None else json.dumps(value), headers=headers)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    assert response.status == 200, f"{method} {path}: {response.status} {body[:2000]!r}"
    return json.loads(body)
