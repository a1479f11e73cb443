"""Sessions in Redis or Valkey: one server, one behind Sentinels, or a cluster.

redis-py is an extra: this package is imported only when a store in Redis is configured.
"""

from oauth2_mw.session.stores.redis.store import RedisStore

__all__ = ["RedisStore"]
