"""Providers that speak OAuth 2.0 with words of their own, one module each: a preset names the dialect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from oauth2_mw.provider.dialects.dialect import Dialect
from oauth2_mw.provider.dialects.dingtalk import DingTalk
from oauth2_mw.provider.dialects.feishu import Feishu
from oauth2_mw.provider.dialects.wechat import WeChat
from oauth2_mw.provider.dialects.wecom import WeCom
from oauth2_mw.settings.presets import DialectName

_STATELESS: Mapping[DialectName | None, type[Dialect]] = MappingProxyType(
    {None: Dialect, "dingtalk": DingTalk, "feishu": Feishu, "wechat": WeChat}
)


def make_dialect(name: DialectName | None, clock: Callable[[], float]) -> Dialect:
    """Return the dialect of that name, for one client; ``None`` is the specification.

    :param clock: seconds since the epoch.
    """
    return WeCom(clock) if name == "wecom" else _STATELESS[name]()
