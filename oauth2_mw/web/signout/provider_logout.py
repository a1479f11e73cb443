"""What the two ways have in common by which a provider signs people out, the back channel and the front channel."""

from __future__ import annotations

from collections.abc import Collection

from oauth2_mw.audit import audit
from oauth2_mw.session.registry import SessionInfo


def audit_logout(provider: str, ended: Collection[SessionInfo], *, how: str) -> None:
    """Write the audit line of the sessions that a provider has ended."""
    audit(
        "logout_by_provider",
        provider=provider,
        user=sorted({info.user_id for info in ended}) or None,
        username=sorted({info.username for info in ended}) or None,
        count=len(ended),
        how=how,
    )
