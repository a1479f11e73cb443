"""A composite for PasteDeploy that mounts applications under paths, as ``egg:Paste#urlmap`` does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


def composite_factory(loader: Any, global_conf: dict[str, str], **mounts: str) -> WSGIApplication:
    """``paste.composite_factory``: each key is a path, each value the name of an application."""
    apps = {path.rstrip("/"): loader.get_app(name, global_conf=global_conf) for path, name in mounts.items()}

    def urlmap(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        for mount in sorted(apps, key=len, reverse=True):
            if path == mount or path.startswith(mount + "/"):
                environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + mount
                environ["PATH_INFO"] = path[len(mount) :]
                mounted: WSGIApplication = apps[mount]
                return mounted(environ, start_response)
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"nothing is mounted here"]

    return urlmap
