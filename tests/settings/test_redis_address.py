"""URLs of Redis: what they mean, and what is said when they cannot be read."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oauth2_mw.settings.redis_address import Host, Kind, RedisAddress, parse

HOSTS = (Host("a", 26379), Host("b", 1), Host("::1", 2))


def refusal(text: str) -> str:
    with pytest.raises(ValueError) as caught:
        parse(text)
    return str(caught.value)


# What a URL means


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("redis://localhost", RedisAddress(Kind.SINGLE, (Host("localhost", 6379),))),
        ("redis://localhost/", RedisAddress(Kind.SINGLE, (Host("localhost", 6379),))),
        ("redis://LocalHost:7/3", RedisAddress(Kind.SINGLE, (Host("localhost", 7),), database=3)),
        ("redis://127.0.0.1/3/", RedisAddress(Kind.SINGLE, (Host("127.0.0.1", 6379),), database=3)),
        ("redis://[::1]", RedisAddress(Kind.SINGLE, (Host("::1", 6379),))),
        ("redis://[0:0::1]:7", RedisAddress(Kind.SINGLE, (Host("::1", 7),))),
        ("redis://:pw@h", RedisAddress(Kind.SINGLE, (Host("h", 6379),), password="pw")),
        ("redis://me:pw@h", RedisAddress(Kind.SINGLE, (Host("h", 6379),), user="me", password="pw")),
        (
            "redis://m%40e:p%2Fw%3A%C3%A9@h",
            RedisAddress(Kind.SINGLE, (Host("h", 6379),), user="m@e", password="p/w:é"),
        ),
        ("redis://h?wait_replicas=2", RedisAddress(Kind.SINGLE, (Host("h", 6379),), wait_replicas=2)),
        ("rediss://h", RedisAddress(Kind.SINGLE, (Host("h", 6379),), tls=True)),
        (
            "rediss://h/1?ca_bundle=/etc/my%20ca.pem",
            RedisAddress(Kind.SINGLE, (Host("h", 6379),), database=1, tls=True, ca_bundle="/etc/my ca.pem"),
        ),
        (
            "redis+sentinel://a,b:1,[::1]:2/main",
            RedisAddress(Kind.SENTINEL, HOSTS, service="main", wait_replicas=1),
        ),
        (
            "redis+sentinel://me:pw@a,b:1,[::1]:2,a/my.Main-1/5?wait_replicas=0&sentinel_user=s&sentinel_password=t%26",
            RedisAddress(
                Kind.SENTINEL,
                HOSTS,
                service="my.Main-1",
                database=5,
                user="me",
                password="pw",
                sentinel_user="s",
                sentinel_password="t&",
            ),
        ),
        (
            "redis+sentinel://a/main?tls=1&ca_bundle=/ca.pem",
            RedisAddress(
                Kind.SENTINEL, (Host("a", 26379),), "main", tls=True, ca_bundle="/ca.pem", wait_replicas=1
            ),
        ),
        (
            "redis+cluster://:pw@a,b:7",
            RedisAddress(Kind.CLUSTER, (Host("a", 6379), Host("b", 7)), password="pw", wait_replicas=1),
        ),
        ("redis://h?pool_size=7", RedisAddress(Kind.SINGLE, (Host("h", 6379),), pool_size=7)),
        (
            "rediss://h?tls_cert=/c.pem&tls_key=/k.pem",
            RedisAddress(Kind.SINGLE, (Host("h", 6379),), tls=True, tls_cert="/c.pem", tls_key="/k.pem"),
        ),
        ("unix:///run/redis.sock", RedisAddress(Kind.SINGLE, (Host("/run/redis.sock", 0),))),
        (
            "unix://me:p%40w@/run/my%20redis.sock?db=3&pool_size=5",
            RedisAddress(
                Kind.SINGLE,
                (Host("/run/my redis.sock", 0),),
                database=3,
                user="me",
                password="p@w",
                pool_size=5,
            ),
        ),
        ("redis+cluster://a/0?tls=0", RedisAddress(Kind.CLUSTER, (Host("a", 6379),), wait_replicas=1)),
    ],
)
def test_a_url_is_read(text: str, expected: RedisAddress) -> None:
    assert parse(text) == expected


@given(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1),
)
def test_any_user_and_password_can_be_written_percent_encoded(user: str, password: str) -> None:
    address = parse(f"redis://{quote(user, safe='')}:{quote(password, safe='')}@h/1")
    assert (address.user, address.password, address.hosts) == (user, password, (Host("h", 6379),))


@given(st.ip_addresses(), st.integers(1, 65535))
def test_any_address_and_port_can_be_written(address: IPv4Address | IPv6Address, port: int) -> None:
    written = f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
    assert parse(f"redis://{written}").hosts == (Host(str(address), port),)
    assert str(parse(f"redis+cluster://x,{written}")) == f"redis+cluster://x:6379,{written}"


# What cannot be read


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "does not name a Redis server; write redis://"),
        ("cookie", "does not name a Redis server"),
        ("http://h", "does not name a Redis server"),
        ("REDIS://h", "does not name a Redis server"),
        ("redis:h", "does not name a Redis server"),
        ("rediss+sentinel://h/main", "does not name a Redis server"),
        ("redis+unix:///run/redis.sock", "does not name a Redis server"),
        ("valkey://h", "write redis://"),
        ("valkeys://h", "write redis:// or rediss://"),
        # hosts
        ("redis://", "has a host that cannot be read"),
        ("redis:///0", "has a host that cannot be read"),
        ("redis://:6379", "has a host that cannot be read"),
        ("redis://a,b", "redis+cluster://HOSTS"),
        ("redis+cluster://a,", "has a host that cannot be read"),
        ("redis+cluster://a,,b", "has a host that cannot be read"),
        ("redis://h:0", "1 to 65535"),
        ("redis://h:65536", "1 to 65535"),
        ("redis://h:", "1 to 65535"),
        ("redis://h:x", "1 to 65535"),
        ("redis://h:1:2", "IPv6 in brackets"),
        ("redis://::1", "IPv6 in brackets"),
        ("redis://[::1", "IPv6 in brackets"),
        ("redis://[::1]x", "IPv6 in brackets"),
        ("redis://[h]", "not an IPv6 address"),
        ("redis://[fe80::1%25eth0]", "not an IPv6 address"),
        ("redis://127.1", "not an IPv4 address"),
        ("redis://-h", "not a valid host name"),
        ("redis://h%2e", "not a valid host name"),
        # user and password
        ("redis://canary@h", "user:password@host"),
        ("redis://canary:@h", "user:password@host"),
        ("redis://@h", "user:password@host"),
        ("redis://:can@ary@h", "%40"),
        ("redis://:can:ary@h", "%3A"),
        ("redis://:can/ary@h", "%2F"),
        ("redis://:can?ary@h", "%3F"),
        ("redis://:can#ary@h", "%23"),
        ("redis://:can%ary@h", "%25"),
        ("redis://:canary%@h", "%25"),
        ("redis://:can ary@h", "percent-encoded"),
        ("redis://:canaryé@h", "percent-encoded"),
        ("redis://:canary\n@h", "percent-encoded"),
        ("redis://:canary%ff@h", "not UTF-8"),
        ("redis://:canary%00@h", "%00"),
        # database and service
        ("redis://h/x", "number of a database"),
        ("redis://h/-1", "number of a database"),
        ("redis://h/1/2", "number of a database"),
        ("redis://h//1", "number of a database"),
        ("redis://h/100000", "number of a database"),
        ("redis+sentinel://h", "/SERVICE"),
        ("redis+sentinel://h/", "/SERVICE"),
        ("redis+sentinel://h//0", "/SERVICE"),
        ("redis+sentinel://h/a%2Fb", "/SERVICE"),
        ("redis+sentinel://h/main/x", "number of a database"),
        ("redis+sentinel://h/main/0/1", "number of a database"),
        ("redis+cluster://h/1", "a cluster has no others"),
        # the query
        ("redis://h?canary=1", "only ca_bundle, wait_replicas"),
        ("redis://h?tls=1", "rediss://"),
        ("rediss://h?tls=1", "rediss://"),
        ("redis+cluster://h?sentinel_password=canary", "only ca_bundle, wait_replicas, tls"),
        ("redis+cluster://h?tls=yes", "1 or 0"),
        ("redis+cluster://h?tls=1&tls=1", "each once"),
        ("redis://h?wait_replicas=10", "0 to 9"),
        ("redis://h?wait_replicas=-1", "0 to 9"),
        ("redis://h?wait_replicas=", "with a value"),
        ("redis://h?wait_replicas", "with a value"),
        ("redis://h?&wait_replicas=1", "with a value"),
        ("redis://h?ca_bundle=/ca.pem", "rediss://"),
        ("redis+cluster://h?ca_bundle=/ca.pem&tls=0", "add tls=1"),
        ("rediss://h?ca_bundle=ca.pem", "not an absolute path"),
        ("redis://h?tls_cert=/c.pem", "names a tls_cert but no TLS"),
        ("rediss://h?tls_key=/k.pem", "a tls_key without a tls_cert"),
        ("rediss://h?tls_cert=c.pem", "not an absolute path"),
        ("redis://h?pool_size=0", "pool_size than 1 to 1000"),
        ("redis://h?pool_size=1001", "pool_size than 1 to 1000"),
        ("redis://h?pool_size=x", "pool_size than 1 to 1000"),
        ("redis://h?db=1", "only ca_bundle, wait_replicas"),
        ("unix://run/redis.sock", "unix:///run/redis/redis.sock"),
        ("unix://", "unix:///run/redis/redis.sock"),
        ("unix:///run/redis.sock?db=x", "number of a database"),
        ("unix:///run/redis.sock?tls_cert=/c.pem", "only db, wait_replicas, pool_size"),
        ("redis+sentinel://h/main?sentinel_user=canary", "without a sentinel_password"),
    ],
)
def test_a_url_that_cannot_be_read_is_explained_and_not_quoted(text: str, part: str) -> None:
    message = refusal(text)
    assert part in message
    assert "canary" not in message


@given(st.one_of(st.text(), st.text("redis+sentinel://:@[],0a?=&%#", max_size=30).map("redis".__add__)))
@example("redis://[::1]]")
@example("redis://[")
@example("redis+sentinel://a@b@c/d")
def test_whatever_is_written_is_read_or_explained(text: str) -> None:
    try:
        address = parse(text)
    except ValueError as error:
        assert str(error)
    else:
        assert address.hosts
        assert all(host.name and 0 < host.port < 65536 for host in address.hosts)


# What may be shown


def test_no_repr_and_no_text_shows_a_user_or_a_password() -> None:
    address = parse("redis+sentinel://canary1:canary2@h/s?sentinel_user=canary3&sentinel_password=canary4")
    assert "canary" not in repr(address) + str(address)
    assert str(address) == "redis+sentinel://h:26379/s/0"


def test_a_message_of_somebody_else_loses_the_passwords() -> None:
    address = parse("redis+sentinel://u:p%40ss%20w@h/s?sentinel_password=other")
    message = "AUTH p@ss w, p%40ss%20w, p%40ss+w, other: refused"
    assert address.without_secrets(message) == "AUTH ***, ***, ***, ***: refused"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://u:p@h", "redis://h:6379/0"),
        ("rediss://[::1]:1/2", "rediss://[::1]:1/2"),
        ("redis+cluster://a,b?tls=1", "redis+cluster://a:6379,b:6379"),
        ("redis+sentinel://a,b/main/3", "redis+sentinel://a:26379,b:26379/main/3"),
    ],
)
def test_an_address_is_named_in_messages(text: str, shown: str) -> None:
    assert str(parse(text)) == shown
