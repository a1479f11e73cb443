"""What a WSGI application is wrapped in and made of, as far as its objects say."""

from __future__ import annotations

from collections.abc import Iterator

#: What leads to the application inside: Flask's ``test_client()``, WebTest's ``TestApp``, Flask and Dash, and what
#: middlewares call it.
_INNER = ("application", "wsgi_app", "server", "app")


def layers(app: object) -> Iterator[object]:
    """Yield *app* and what stands inside it, the outermost first."""
    seen: list[object] = []
    waiting = [app]
    while waiting:
        layer = waiting.pop(0)
        if any(layer is each for each in seen):
            continue
        seen.append(layer)
        yield layer
        # What an object makes up on demand is no layer of it.
        inner = (getattr(layer, name, None) for name in _INNER if _has(layer, name))
        waiting += [each for each in inner if callable(each)]


def _has(layer: object, name: str) -> bool:
    return name in getattr(layer, "__dict__", {}) or hasattr(type(layer), name)
