"""All targets by name. Each takes bytes and raises when a property of the package is broken.

Whatever is raised is a finding: a target catches the exceptions that the code documents, and no others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from tests.fuzz import boundary, forms, provider, session, settings, tokens, wsgi

TARGETS: Mapping[str, Callable[[bytes], None]] = MappingProxyType(
    {
        "path": boundary.path,
        "destination": boundary.destination,
        "query": boundary.query,
        "form": forms.form,
        "fragment": forms.fragment,
        "grammar": settings.grammar,
        "key_file": settings.key_file,
        "fields": settings.fields,
        "cookies": session.cookies,
        "sealing": session.sealing,
        "attempt": session.attempt,
        "other_version": session.other_version,
        "documents": provider.documents,
        "metadata": provider.metadata,
        "keys": provider.keys,
        "token": tokens.token,
        "claims": tokens.claims,
        "logout_token": tokens.logout_token,
        "token_response": provider.token_response,
        "refresh": provider.refresh,
        "userinfo": provider.userinfo,
        "scrub": wsgi.scrub,
        "writer": wsgi.writer,
        "middleware": wsgi.middleware,
    }
)
