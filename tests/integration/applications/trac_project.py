"""Trac as it stands, which reads ``REMOTE_USER`` at ``/login`` alone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from trac.env import Environment
from trac.web.main import dispatch_request


def app_factory(_global_conf: Mapping[str, Any]) -> Any:
    """PasteDeploy's ``app_factory``; Trac's files are where ``TRAC_FOLDER`` says."""
    folder = os.environ["TRAC_FOLDER"]
    if not Path(folder).exists():
        Environment(folder, create=True).shutdown()

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        answer: Iterable[bytes] = dispatch_request({**environ, "trac.env_path": folder}, start_response)
        return answer

    return app
