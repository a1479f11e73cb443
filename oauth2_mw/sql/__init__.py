"""The one door to a SQL database: one engine per process, one schema, one kind of failure.

Shared by the user directory and by sessions in SQL. SQLAlchemy 1.4 and 2 both work; it is an extra, and
heavy, so it is imported when a :class:`Database` is made and not with these modules.
"""

from oauth2_mw.sql.database import REVOCATION_LOCK, Database

__all__ = ["REVOCATION_LOCK", "Database"]
