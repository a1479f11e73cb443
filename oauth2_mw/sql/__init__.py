"""The SQL database: one engine per process, one schema, one kind of failure.

The user directory and sessions in SQL share it. SQLAlchemy, 1.4 or 2, is an extra and takes long to import: these
modules and those that build on them are imported only when a database is configured (``session.opening``,
``session.stores.open_store``).
"""

from oauth2_mw.sql.administration import DatabaseAdministration
from oauth2_mw.sql.database import Database

__all__ = ["Database", "DatabaseAdministration"]
