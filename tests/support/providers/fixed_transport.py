"""A transport without a network."""

from __future__ import annotations

from typing import Any

from oauth2_mw.provider.http.messages import Response
from oauth2_mw.provider.http.transport import Transport


class FixedTransport(Transport):
    """Answers every request with one response, and keeps the latest form."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response
        self.form = ""

    def get_json(self, url: str, **_options: Any) -> Response:
        return self.response

    def get_hiding_query(self, url: str, **_options: Any) -> Response:
        return self.response

    def post_json(self, url: str, **_options: Any) -> Response:
        return self.response

    def post_form(self, url: str, *, body: str, **_options: Any) -> Response:
        self.form = body
        return self.response
