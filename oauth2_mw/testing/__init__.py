"""For the tests of applications: somebody is signed in without a provider, or through the real flow without a network.

>>> from oauth2_mw.testing import signed_in
>>> app = signed_in(app, username="jane", groups=["staff"])  # doctest: +SKIP

Nothing of the package outside this folder imports it, and no setting leads here.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oauth2_mw.testing.flow import sign_in
    from oauth2_mw.testing.person import signed_in, signed_in_environ
    from oauth2_mw.testing.provider import DevelopmentProvider

__all__ = ["DevelopmentProvider", "sign_in", "signed_in", "signed_in_environ"]

_MODULES = {"DevelopmentProvider": "provider", "sign_in": "flow"}


def __getattr__(name: str) -> Any:
    # The plugin is in this folder, and every pytest where the package is installed loads it.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'person')}"), name)
