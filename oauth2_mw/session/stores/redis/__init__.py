"""Sessions in Redis or Valkey: one server, one behind Sentinels, or a cluster.

redis-py is an extra: it is imported when a store is used, not with :class:`RedisStore`.
"""

from oauth2_mw.session.stores.redis.store import RedisStore

__all__ = ["RedisStore"]
