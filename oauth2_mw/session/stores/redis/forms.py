"""Forms that wait for their senders to sign in: a hash for each owner, with two fields for each form.

``e:ID`` is when it expires, in seconds since the epoch, and ``d:ID`` the sealed form, which goes when it is taken. Each
operation is one script on one key, as in :mod:`oauth2_mw.session.stores.redis.scripts`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

from oauth2_mw.session.stores.record import MAX_FORM, check_name
from oauth2_mw.session.stores.redis import values
from oauth2_mw.session.stores.redis.scripts import Script

#: Fields of one hash; far more than forms of one owner. A longer one was not written here.
MAX_FIELDS = 1000
#: Seconds for which the server keeps what has expired: its clock may be behind.
GRACE = 60
_KEPT: dict[int, Literal["kept", "taken", "full"]] = {0: "full", 1: "kept", 2: "taken"}

#: ``expires(ID)`` returns a number, or nil for none and for a value that was not written here.
_FORMS = f"""
local kind = redis.call('TYPE', KEYS[1]).ok
if (kind ~= 'hash' and kind ~= 'none') or (kind == 'hash' and redis.call('HLEN', KEYS[1]) > {MAX_FIELDS}) then
  redis.call('DEL', KEYS[1])
end
local function expires(id)
  if redis.call('HSTRLEN', KEYS[1], 'e:' .. id) > 16 then return nil end
  return tonumber(redis.call('HGET', KEYS[1], 'e:' .. id) or '')
end
local function living(id)
  local at = expires(id)
  return at ~= nil and at > tonumber(ARGV[1]) and redis.call('HSTRLEN', KEYS[1], 'd:' .. id) <= {MAX_FORM}
end
local function live_for(seconds)
  if redis.call('TTL', KEYS[1]) < tonumber(seconds) then redis.call('EXPIRE', KEYS[1], seconds) end
end
"""


def _script(source: str) -> Script:
    return Script((_FORMS + source).encode("ascii"))


#: now, id, expires, data, the most that may wait, seconds to live -> 0 full, 1 kept, 2 taken before
KEEP = _script("""
local waiting = 0
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  local id = string.sub(field, 3)
  if not living(id) then
    redis.call('HDEL', KEYS[1], field)
  elseif string.sub(field, 1, 2) == 'd:' then
    waiting = waiting + 1
  end
end
local waits = redis.call('HEXISTS', KEYS[1], 'd:' .. ARGV[2]) == 1
if not waits and living(ARGV[2]) then return 2 end
if not waits and waiting >= tonumber(ARGV[5]) then return 0 end
redis.call('HSET', KEYS[1], 'e:' .. ARGV[2], ARGV[3], 'd:' .. ARGV[2], ARGV[4])
live_for(ARGV[6])
return 1
""")

#: now, id -> nil, or the form, which is empty when it was taken
READ = _script("""
if not living(ARGV[2]) then return false end
return redis.call('HGET', KEYS[1], 'd:' .. ARGV[2]) or ''
""")

#: now, id, until when the id is remembered, seconds to live -> as READ
TAKE = _script("""
if not living(ARGV[2]) then return false end
local data = redis.call('HGET', KEYS[1], 'd:' .. ARGV[2])
if not data then return '' end
redis.call('HDEL', KEYS[1], 'd:' .. ARGV[2])
redis.call('HSET', KEYS[1], 'e:' .. ARGV[2], ARGV[3])
live_for(ARGV[4])
return data
""")

#: now, id -> 1
DROP = _script("""
redis.call('HDEL', KEYS[1], 'e:' .. ARGV[2], 'd:' .. ARGV[2])
return 1
""")


class Run(Protocol):
    """Runs a script on the key of an owner."""

    def __call__(self, name: str, script: Script, *arguments: str | int, durable: bool = False) -> object: ...


class RedisForms:
    """A :class:`~oauth2_mw.session.stores.FormStore` on Redis or Valkey.

    :param now: returns whole seconds since the epoch.
    """

    def __init__(self, run: Run, *, now: Callable[[], int]) -> None:
        self._run = run
        self._now = now

    def keep(
        self, owner: str, form_id: str, data: str, *, expires: int, most: int
    ) -> Literal["kept", "taken", "full"]:
        """Keep a form, unless it was taken."""
        arguments = (self._now(), check_name(form_id), expires, data, most, self._ttl(expires))
        answer = self._run(check_name(owner), KEEP, *arguments, durable=True)
        if not isinstance(answer, int) or answer not in _KEPT:
            raise values.unexpected_answer()
        return _KEPT[answer]

    def read(self, owner: str, form_id: str) -> str | None:
        """Return a form; an empty text if it was taken; ``None`` if there is none or it has expired."""
        return _text(self._run(check_name(owner), READ, self._now(), check_name(form_id)))

    def take(self, owner: str, form_id: str, *, expires: int) -> str | None:
        """Take a form, in one step."""
        arguments = (self._now(), check_name(form_id), expires, self._ttl(expires))
        return _text(self._run(check_name(owner), TAKE, *arguments, durable=True))

    def drop(self, owner: str, form_id: str) -> None:
        """Forget a form and its id."""
        values.require_done(
            self._run(check_name(owner), DROP, self._now(), check_name(form_id), durable=True)
        )

    def _ttl(self, expires: int) -> int:
        return max(expires - self._now(), 0) + GRACE


def _text(answer: object) -> str | None:
    if answer is None:
        return None
    text = values.text(answer)
    if text is None:
        raise values.unexpected_answer()
    return text
