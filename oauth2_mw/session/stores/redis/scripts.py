"""The scripts that run inside the server in one step, on one key or on each of several: nothing else runs meanwhile.

A script measures a value before it sends any of it: a list or a gigabyte that somebody else wrote never reaches a
worker. Numbers that are only kept stay texts, because Lua writes large ones with an exponent.

The fields of a session: ``v`` version, ``d`` data, ``s`` summary, ``n`` seen, ``e`` expires, ``l`` lease; ``i`` its
indexes, separated by spaces; ``h`` until when those list it at least.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha1

from oauth2_mw.session.stores.record import MAX_DATA, MAX_SUMMARY

#: Octets of the field ``i``: far more indexes than a session has.
MAX_INDEXES = 1000
#: Octets of a member of an index, which is the key of a session.
MAX_MEMBER = 200


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and the digest by which a server remembers it."""

    source: bytes
    digest: bytes = field(init=False)

    def __post_init__(self) -> None:
        # EVALSHA names scripts by their SHA-1; nothing is secured by it.
        digest = sha1(self.source, usedforsecurity=False).hexdigest()
        object.__setattr__(self, "digest", digest.encode("ascii"))

    def for_each(self) -> Script:
        """Return a script that does the same to each of its keys, and returns a list of what came of it."""
        return _script(
            "local function one(KEYS)",
            self.source.decode("ascii"),
            "end",
            "local answers = {}",
            "for number = 1, #KEYS do answers[number] = one({KEYS[number]}) or false end",
            "return answers",
        )


def _script(*parts: str) -> Script:
    return Script("\n".join(parts).encode("ascii"))


#: ``session()`` returns nil, a text that says what is wrong with the value, or its fields.
_SESSION = f"""
local limits = {{v = 16, d = {MAX_DATA}, s = {MAX_SUMMARY}, n = 16, e = 16, l = 16, i = {MAX_INDEXES}, h = 16}}
local function session()
  local kind = redis.call('TYPE', KEYS[1]).ok
  if kind == 'none' then return nil end
  if kind ~= 'hash' then return 'it is of the type ' .. kind end
  for name, limit in pairs(limits) do
    if redis.call('HSTRLEN', KEYS[1], name) > limit then return 'its field ' .. name .. ' is too long' end
  end
  return redis.call('HMGET', KEYS[1], 'v', 'd', 's', 'n', 'e', 'l', 'i', 'h')
end
local function living(found, now)
  if type(found) ~= 'table' then return false end
  local expires = tonumber(found[5])
  return expires ~= nil and expires > tonumber(now)
end
"""

#: -> nil, [what is wrong], or the eight fields
READ = _script(
    _SESSION, "local found = session()", "if type(found) == 'string' then return {found} end", "return found"
)

#: version, data, summary, seen, expires, lease, indexes, until when those list it, seconds to live -> 1
ADD = _script("""
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'v', ARGV[1], 'd', ARGV[2], 's', ARGV[3], 'n', ARGV[4], 'e', ARGV[5], 'l', ARGV[6],
  'i', ARGV[7], 'h', ARGV[8])
redis.call('EXPIRE', KEYS[1], ARGV[9])
return 1
""")

#: now, seen, expires, step, seconds to live, indexes to add, and perhaps the summary
#: -> as READ, after the change; nil if it has expired
TOUCH = _script(
    _SESSION,
    """
local found = session()
if type(found) == 'string' then return {found} end
if not living(found, ARGV[1]) then return false end
local seen = tonumber(found[4])
if seen and tonumber(ARGV[2]) - seen >= tonumber(ARGV[4]) then
  found[4] = ARGV[2]
  redis.call('HSET', KEYS[1], 'n', ARGV[2])
  if tonumber(ARGV[3]) > tonumber(found[5]) then
    found[5] = ARGV[3]
    redis.call('HSET', KEYS[1], 'e', ARGV[3])
    redis.call('EXPIRE', KEYS[1], ARGV[5])
  end
end
if ARGV[7] then
  found[3] = ARGV[7]
  redis.call('HSET', KEYS[1], 's', ARGV[7])
end
local indexes = found[7] or ''
for name in string.gmatch(ARGV[6], '%S+') do
  if not string.find(' ' .. indexes .. ' ', ' ' .. name .. ' ', 1, true) then
    indexes = indexes .. ' ' .. name
  end
end
if indexes ~= (found[7] or '') and #indexes <= limits.i then
  found[7] = indexes
  redis.call('HSET', KEYS[1], 'i', indexes)
end
return found
""",
)

#: now, the version that must be there, version, data, summary, seen, expires, lease, seconds to live
#: -> 0, [what is wrong], or [indexes, until when those list it]
REPLACE = _script(
    _SESSION,
    """
local found = session()
if type(found) == 'string' then return {found} end
if not living(found, ARGV[1]) or found[1] ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'v', ARGV[3], 'd', ARGV[4], 's', ARGV[5], 'n', ARGV[6], 'e', ARGV[7], 'l', ARGV[8])
redis.call('EXPIRE', KEYS[1], ARGV[9])
return {found[7], found[8]}
""",
)

#: now -> 0 if there was nothing or it had expired; otherwise [indexes]. Any value is deleted.
DELETE = _script(
    _SESSION,
    """
local found = session()
redis.call('DEL', KEYS[1])
if type(found) == 'string' then return {''} end
if not living(found, ARGV[1]) then return 0 end
return {found[7]}
""",
)

#: until when the indexes list the session -> 1. A session that is gone stays gone.
SET_LISTED_UNTIL = _script("""
if redis.call('TYPE', KEYS[1]).ok == 'hash' then redis.call('HSET', KEYS[1], 'h', ARGV[1]) end
return 1
""")

#: now less the slack, member, until when it is listed, seconds to live -> 1
LIST = _script("""
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'zset' and kind ~= 'none' then redis.call('DEL', KEYS[1]) end
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[1])
if redis.call('TTL', KEYS[1]) < tonumber(ARGV[4]) then redis.call('EXPIRE', KEYS[1], ARGV[4]) end
return 1
""")

#: member -> 1
UNLIST = _script("""
if redis.call('TYPE', KEYS[1]).ok == 'zset' then redis.call('ZREM', KEYS[1], ARGV[1]) end
return 1
""")

#: cursor, how many at a time, now -> [next cursor, [members]]
LISTED = _script(f"""
if redis.call('TYPE', KEYS[1]).ok ~= 'zset' then return {{'0', {{}}}} end
local page = redis.call('ZSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local members = {{}}
for number = 1, #page[2], 2 do
  if #page[2][number] <= {MAX_MEMBER} and tonumber(page[2][number + 1]) > tonumber(ARGV[3]) then
    table.insert(members, page[2][number])
  end
end
return {{page[1], members}}
""")

#: seconds to live -> 1 for the first use, otherwise 0
USE = _script("""
if redis.call('SET', KEYS[1], '1', 'NX', 'EX', ARGV[1]) then return 1 end
return 0
""")

#: ``revocation()``: kept as "moment expires". -> nil, [moment, expires], or [what is wrong]
_REVOCATION = """
local function revocation()
  local kind = redis.call('TYPE', KEYS[1]).ok
  if kind == 'none' then return nil end
  if kind ~= 'string' then return {'it is of the type ' .. kind} end
  local moment, expires = string.match(redis.call('GETRANGE', KEYS[1], 0, 40), '^(%d+) (%d+)$')
  if not moment or #moment > 16 or #expires > 16 then return {'it is not a revocation'} end
  return {moment, expires}
end
"""

REVOKED = _script(_REVOCATION, "return revocation()")

#: moment, expires, now less the slack, seconds to live -> 1, or [what was wrong with the value that was there]
REVOKE = _script(
    _REVOCATION,
    """
local found = revocation()
local moment, expires, seconds = ARGV[1], ARGV[2], tonumber(ARGV[4])
if found and found[2] and tonumber(found[2]) >= tonumber(ARGV[3]) then
  if tonumber(found[1]) > tonumber(moment) then moment = found[1] end
  if tonumber(found[2]) > tonumber(expires) then expires = found[2] end
  seconds = math.max(seconds, redis.call('TTL', KEYS[1]))
end
redis.call('SET', KEYS[1], moment .. ' ' .. expires, 'EX', string.format('%.0f', seconds))
if found and not found[2] then return found end
return 1
""",
)
