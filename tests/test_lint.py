"""What the code of the package may not say: rules over its syntax tree, each shown to bite on a sample first."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator

import pytest

from tests.support.source import PACKAGE, nodes_of, trees

#: Where the headers of our responses are written.
RESPONSES = "web/http/responses.py"
#: What else goes along with a response of the application: whose a cookie is that it sets, the renewed session cookie,
#: and what keeps caches from it. The hot path does not import WebOb, and such a response is no object of ours.
ALONGSIDE = {
    ("session/app_cookies.py", "_owner_headers"): ["'Set-Cookie'"],
    ("shared_caches.py", "personal_headers"): [
        *["'Cache-Control'", "'Vary'", "'Set-Cookie'"],
        # Where the application has written them as well.
        *["'Cache-Control'", "'Vary'"],
    ],
}
#: Where a ``Location`` is made.
URLS = "web/http/urls.py"

_WRITING = frozenset({"add", "extend", "update", "setdefault", "pop", "popall", "clear", "remove"})
#: Attributes and methods by which WebOb's response writes a header.
_RESPONSE_FIELDS = frozenset(
    {"location", "headerlist", "cache_control", "www_authenticate", "set_cookie", "delete_cookie"}
)
_HEADER_NAMES = re.compile(
    r"location|set-cookie|refresh|content-security-policy|cache-control|vary|referrer-policy|x-[a-z-]+|link"
    r"|www-authenticate|retry-after|allow|content-disposition|access-control-[a-z-]+",
    re.IGNORECASE,
)
_MUTABLE = (ast.Dict, ast.List, ast.Set, ast.DictComp, ast.ListComp, ast.SetComp)
_MAKERS = frozenset({"dict", "list", "set", "defaultdict", "deque", "OrderedDict", "Counter", "bytearray"})
_CHANGING = frozenset(
    {
        "append",
        "add",
        "extend",
        "insert",
        "update",
        "setdefault",
        "pop",
        "popitem",
        "remove",
        "discard",
        "clear",
    }
)

#: What a process must have made itself, and the constructors that may run in its parent.
_OF_A_PROCESS = frozenset(
    {
        "Lock",
        "RLock",
        "Event",
        "Condition",
        "Semaphore",
        "BoundedSemaphore",
        "Barrier",
        "Thread",
        "Timer",
        "local",
        "allocate_lock",
        "Queue",
        "LifoQueue",
        "PriorityQueue",
        "SimpleQueue",
        "ThreadPoolExecutor",
        "ProcessPoolExecutor",
    }
)
_THEIR_MODULES = frozenset({"threading", "_thread", "queue", "multiprocessing", "concurrent.futures"})
_CONSTRUCTORS = frozenset({"__init__", "__new__", "__post_init__", "__init_subclass__", "__set_name__"})

#: Columns that the formatter keeps code to; prose in a literal may go on to the limit of E501.
_WIDTH = 110
#: A piece of an implicit concatenation that has a line of its own.
_PIECE = re.compile(r"""(f?)(["'])(.*)\2""")
_TRIPLE_QUOTED = re.compile(r"""\w*(?:\"{3}|'{3})""")
_WORD = re.compile(r"\S+ ?")
_F_STRING_WORD = re.compile(r"(?:\{[^{}]*\}|[^\s{}])+ ?")

Rule = Callable[[ast.Module], Iterator[ast.AST]]


def headers_written(tree: ast.Module) -> Iterator[ast.AST]:
    """Headers written on a response, or spelt out in a list for ``start_response``."""
    for node in nodes_of(tree):
        match node:
            case ast.Assign(targets=targets):
                yield from (target for target in targets if _is_header_target(target))
            case ast.AugAssign(target=target) | ast.AnnAssign(target=target) if _is_header_target(target):
                yield target
            case ast.Delete(targets=targets):
                yield from (target for target in targets if _is_header_target(target))
            case ast.Call(func=ast.Attribute(value=ast.Attribute(attr="headers"), attr=attr)) if (
                attr in _WRITING
            ):
                yield node
            case ast.Call(func=ast.Attribute(attr=("set_cookie" | "delete_cookie" | "unset_cookie"))):
                yield node
            case ast.Call(keywords=keywords) if any(
                keyword.arg in ("headerlist", "location") for keyword in keywords
            ):
                yield node
            case ast.Tuple(elts=[ast.Constant(value=str(name)), _]) if _HEADER_NAMES.fullmatch(name):
                yield node
            case _:
                pass


def _is_header_target(target: ast.expr) -> bool:
    match target:
        case ast.Subscript(value=ast.Attribute(attr="headers")) | ast.Subscript(value=ast.Name(id="headers")):
            return True
        case ast.Attribute(attr="headers"):
            # An object of our own that keeps a provider's headers says so in its class, not by assignment.
            return True
        case ast.Attribute(attr=attr):
            return attr in _RESPONSE_FIELDS
        case _:
            return False


def locations_made(tree: ast.Module) -> Iterator[ast.AST]:
    """Calls of the type of addresses that a browser may be sent to."""
    for node in nodes_of(tree):
        match node:
            case ast.Call(func=ast.Name(id="Location") | ast.Attribute(attr="Location")):
                yield node
            case ast.Call(func=ast.Name(id="cast"), args=[ast.Name(id="Location"), *_]):
                yield node
            case _:
                pass


def redirects_by_exception(tree: ast.Module) -> Iterator[ast.AST]:
    """WebOb's exceptions write a ``Location`` of their own."""
    for node in nodes_of(tree):
        match node:
            case ast.ImportFrom(module=str(module)) if module.startswith("webob.exc"):
                yield node
            case ast.ImportFrom(module="webob", names=names) if any(alias.name == "exc" for alias in names):
                yield node
            case ast.Import(names=names) if any(alias.name.startswith("webob.exc") for alias in names):
                yield node
            case _:
                pass


def dangerous_words(tree: ast.Module) -> Iterator[ast.AST]:
    """Code from bytes, connections without a check, and addresses made from what a client says."""
    for node in nodes_of(tree):
        match node:
            case ast.Import(names=names) if any(_is_unsafe_module(alias.name) for alias in names):
                yield node
            case ast.ImportFrom(module=str(module)) if _is_unsafe_module(module):
                yield node
            case ast.Call(func=ast.Name(id=("eval" | "exec" | "compile" | "__import__"))):
                yield node
            case ast.keyword(
                arg=("verify" | "check_hostname" | "assert_hostname"), value=ast.Constant(value=False)
            ):
                yield node
            case ast.keyword(arg="cert_reqs", value=ast.Constant()):
                yield node
            case ast.Attribute(attr=("CERT_NONE" | "_create_unverified_context")):
                yield node
            case ast.Assign(
                targets=[ast.Attribute(attr=("verify" | "check_hostname"))], value=ast.Constant(value=False)
            ):
                yield node
            case ast.Attribute(
                attr=("path_url" | "host_url" | "application_url" | "relative_url" | "path_qs")
            ):
                yield node
            case ast.Attribute(
                value=ast.Name(id=("request" | "req")), attr=("url" | "host" | "domain" | "scheme")
            ):
                yield node
            case ast.Constant(value=str(text)) if text.upper() in ("HTTP_HOST", "WSGI.URL_SCHEME"):
                yield node
            case ast.Constant(value=str(text)) if (
                text.upper().startswith("HTTP_X_FORWARDED_") and "USER" not in text
            ):
                yield node
            case _:
                pass


def _is_unsafe_module(name: str) -> bool:
    return name.partition(".")[0] in ("pickle", "cPickle", "marshal", "shelve", "dill", "yaml")


def shared_state(tree: ast.Module) -> Iterator[ast.AST]:
    """Module-level collections that are no constants, and constants that a function changes."""
    for node in tree.body:
        match node:
            case ast.Assign(targets=targets, value=value) if _is_mutable(value):
                yield from (target for target in targets if not _is_constant(target))
            case ast.AnnAssign(target=target, value=ast.expr() as value) if _is_mutable(value):
                if not _is_constant(target):
                    yield target
            case _:
                pass
    constants = {name.id for name in nodes_of(tree) if isinstance(name, ast.Name) and name.id.isupper()}
    for part in nodes_of(tree):
        match part:
            case ast.Global():
                yield part
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=attr)) if (
                name in constants and attr in _CHANGING
            ):
                yield part
            case ast.Assign(targets=[ast.Subscript(value=ast.Name(id=name))]) if name in constants:
                yield part
            case ast.Delete(targets=[ast.Subscript(value=ast.Name(id=name))]) if name in constants:
                yield part
            case _:
                pass


def _is_mutable(value: ast.expr) -> bool:
    match value:
        case ast.Call(func=ast.Name(id=name)) | ast.Call(func=ast.Attribute(attr=name)):
            return name in _MAKERS
        case _:
            return isinstance(value, _MUTABLE)


def _is_constant(target: ast.expr) -> bool:
    return isinstance(target, ast.Name) and (target.id.isupper() or target.id == "__all__")


def made_too_early(tree: ast.Module) -> Iterator[ast.AST]:
    """Locks, threads and pools that a module, a class or a constructor makes, or holds on to the maker of."""
    for statement in tree.body:
        yield from _made_early(statement)


def _made_early(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.ImportFrom(module=str(module), names=names) if module in _THEIR_MODULES:
            # The name would keep what it meant in the parent.
            if any(alias.name in _OF_A_PROCESS for alias in names):
                yield node
        case ast.Attribute(attr=name) if name in _OF_A_PROCESS:
            yield node
        case ast.Lambda(args=arguments):
            yield from _made_early(arguments)
        case ast.FunctionDef(name=name, args=arguments, body=body, decorator_list=decorators):
            for part in (arguments, *decorators, *(body if name in _CONSTRUCTORS else ())):
                yield from _made_early(part)
        case ast.arguments(defaults=defaults, kw_defaults=others):
            for default in (*defaults, *filter(None, others)):
                yield from _made_early(default)
        case ast.AnnAssign(value=value):
            if value is not None:
                yield from _made_early(value)
        case _:
            for child in ast.iter_child_nodes(node):
                yield from _made_early(child)


def packed_tuples(tree: ast.Module) -> Iterator[ast.AST]:
    """Literals that are unpacked into another, which keeps the formatter from giving each element a line."""
    for node in nodes_of(tree):
        match node:
            case ast.Starred(value=ast.Tuple() | ast.List() | ast.Set()):
                yield node
            case _:
                pass


def early_breaks(code: str, tree: ast.Module) -> Iterator[int]:
    """Lines that end a piece of prose although the next piece's first word had room there.

    Only pieces with a blank between them are prose; a literal that ends its lines with ``\\n`` is a text with lines.
    """
    lines = code.split("\n")
    for node in nodes_of(tree):
        if not isinstance(node, ast.JoinedStr | ast.Constant):
            continue
        if node.lineno == node.end_lineno:
            continue
        if isinstance(node, ast.Constant) and not isinstance(node.value, str):
            continue
        if _TRIPLE_QUOTED.match(lines[node.lineno - 1].encode()[node.col_offset :].decode()):
            continue
        for number in range(node.lineno, node.end_lineno or 0):
            start = node.col_offset if number == node.lineno else 0
            left = _PIECE.fullmatch(lines[number - 1].encode()[start:].decode().strip())
            right = _PIECE.match(lines[number].strip())
            if left is None or right is None or left[2] != right[2]:
                continue
            word = (_F_STRING_WORD if right[1] else _WORD).match(right[3])
            if word and left[3].endswith(" ") and len(lines[number - 1]) + len(word[0]) <= _WIDTH:
                yield number


def found(rule: Rule, *, but: frozenset[str] = frozenset()) -> list[str]:
    """Where the package breaks a rule."""
    return [
        f"{name}:{getattr(node, 'lineno', '?')}: {ast.unparse(node)}"
        for name, tree in trees().items()
        if name not in but
        for node in rule(tree)
    ]


# Each rule bites


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        (headers_written, "response.headers['X-User'] = claim"),
        (headers_written, "headers = response.headers\nheaders['X'] = claim"),
        (headers_written, "response.headers.add('Set-Cookie', value)"),
        (headers_written, "response.headers.update(found)"),
        (headers_written, "response.headers = found"),
        (headers_written, "response.location = target"),
        (headers_written, "response.headerlist += [x]"),
        (headers_written, "response.set_cookie('a', 'b')"),
        (headers_written, "Response(location=target)"),
        (headers_written, "Response(headerlist=found)"),
        (headers_written, "start_response('302 Found', [('Location', target)])"),
        (headers_written, "[('location', x)]"),
        (headers_written, "[('X-Remote-User', x)]"),
        (headers_written, "del response.headers['Vary']"),
        (locations_made, "Location(url)"),
        (locations_made, "urls.Location(url)"),
        (locations_made, "cast(Location, url)"),
        (redirects_by_exception, "from webob.exc import HTTPFound"),
        (redirects_by_exception, "from webob import exc"),
        (redirects_by_exception, "import webob.exc"),
        (dangerous_words, "import pickle"),
        (dangerous_words, "from marshal import loads"),
        (dangerous_words, "eval(text)"),
        (dangerous_words, "exec(text)"),
        (dangerous_words, "session.get(url, verify=False)"),
        (dangerous_words, "session.verify = False"),
        (dangerous_words, "ssl.CERT_NONE"),
        (dangerous_words, "request.url"),
        (dangerous_words, "request.path_url"),
        (dangerous_words, "request.host"),
        (dangerous_words, "environ['HTTP_HOST']"),
        (dangerous_words, "environ.get('HTTP_X_FORWARDED_PROTO')"),
        (dangerous_words, "environ['wsgi.url_scheme']"),
        (packed_tuples, "NAMES = (*('a', 'b'), *('c', 'd'))"),
        (packed_tuples, "NAMES = {*['a', 'b']}"),
        (made_too_early, "lock = threading.Lock()"),
        (made_too_early, "from threading import Lock"),
        (made_too_early, "from concurrent.futures import ThreadPoolExecutor"),
        (made_too_early, "class A:\n    lock = threading.RLock()"),
        (made_too_early, "class A:\n    def __init__(self):\n        self.lock = threading.Lock()"),
        (
            made_too_early,
            "class A:\n    def __init__(self):\n        self.lock = ProcessLocal(threading.Lock)",
        ),
        (made_too_early, "class A:\n    def __post_init__(self):\n        self.done = threading.Event()"),
        (
            made_too_early,
            "class A:\n    def __init__(self):\n        if x:\n            self.t = threading.Timer(1, f)",
        ),
        (made_too_early, "class A:\n    lock: object = field(default_factory=threading.Lock)"),
        (made_too_early, "class A:\n    def f(self, lock=threading.Lock()):\n        pass"),
        (shared_state, "cache = {}"),
        (shared_state, "seen: set[str] = set()"),
        (shared_state, "lines = []"),
        (shared_state, "found = defaultdict(list)"),
        (shared_state, "CACHE = {}\ndef put(x):\n    CACHE[x] = 1"),
        (shared_state, "SEEN = set()\ndef put(x):\n    SEEN.add(x)"),
        (shared_state, "count = 0\ndef up():\n    global count\n    count += 1"),
    ],
)
def test_a_rule_finds_what_it_is_about(rule: Rule, code: str) -> None:
    assert list(rule(ast.parse(code)))


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        (headers_written, "response.headers.get('content-type')"),
        (headers_written, "location = headers['Location']"),
        (headers_written, "sent = {'Accept': 'application/json', **headers}"),
        (headers_written, "('code', 'state')"),
        (dangerous_words, "session.get(url, verify=bundle)"),
        (dangerous_words, "response.url"),
        (packed_tuples, "NAMES = (*FIRST, *map(str, second), 'c')"),
        (made_too_early, "import threading\nfrom threading import current_thread"),
        (made_too_early, "class A:\n    def __init__(self):\n        self.x: threading.Timer | None = None"),
        (
            made_too_early,
            "class A:\n    def __init__(self):\n        self.x = ProcessLocal(lambda: threading.Lock())",
        ),
        (made_too_early, "class A:\n    def start(self):\n        self.done = threading.Event()"),
        (shared_state, "NAMES = {'a': 1}\n__all__ = ['x']\ndef f():\n    names = []\n    names.append(1)"),
    ],
)
def test_a_rule_leaves_the_rest_alone(rule: Rule, code: str) -> None:
    assert not list(rule(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        """f(\n    "a short piece "\n    "and another"\n)""",
        """f(\n    f"{name}: a short piece "\n    f"{shown(name, 1)} and another"\n)""",
        """raise Error(\n    "one that "\n    f"{name} goes on "\n    "for long"\n)""",
    ],
)
def test_prose_that_breaks_early_is_noticed(code: str) -> None:
    assert list(early_breaks(code, ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        f"""f(\n    "{"long " * 20}"\n    "enough"\n)""",
        """f(\n    "a line\\n"\n    "another"\n)""",
        """f(\n    r"[a-z]+"\n    r"[0-9]+"\n)""",
        """f(\n    "one argument ",\n    "another"\n)""",
        '"""A docstring\n"with quotes "\n"in it"\n"""',
    ],
)
def test_other_literals_may_break_where_they_do(code: str) -> None:
    assert not list(early_breaks(code, ast.parse(code)))


# The package keeps them


@pytest.mark.requirement("W4", "V26")
def test_one_module_writes_the_headers_of_our_responses() -> None:
    alongside = []
    for (module, function), names in ALONGSIDE.items():
        (allowed,) = (
            node
            for node in nodes_of(trees()[module])
            if isinstance(node, ast.FunctionDef) and node.name == function
        )
        written = [f"{module}:{node.lineno}: {ast.unparse(node)}" for node in headers_written_in(allowed)]
        assert [line.partition("(")[2].partition(",")[0] for line in written] == names
        alongside += written
    assert found(headers_written, but=frozenset({RESPONSES})) == alongside


def headers_written_in(function: ast.FunctionDef) -> list[ast.expr]:
    return [node for node in headers_written(ast.Module([function], [])) if isinstance(node, ast.expr)]


@pytest.mark.requirement("N2.1.13", "V26")
def test_one_module_decides_where_a_browser_may_be_sent() -> None:
    assert found(locations_made, but=frozenset({URLS})) == []
    assert found(redirects_by_exception) == []


@pytest.mark.requirement("N2.1.16", "W5", "3d.17")
def test_nothing_dangerous_is_written_anywhere() -> None:
    # A warning about names in [environ] that begin so, the URL of a request that goes to a provider, and what a test
    # client must say of itself.
    allowed = {
        "testing/flow.py": "'wsgi.url_scheme'",
        "testing/provider.py": "request.url",
        "settings/warnings.py": "'HTTP_X_FORWARDED_'",
        "provider/http/http_client.py": "request.url",
        "web/http/peers.py": "'HTTP_X_FORWARDED_FOR'",
        "web/http/readers.py": "'HTTP_X_FORWARDED_FOR'",
    }
    hits = [
        f"{name}:{getattr(node, 'lineno', '?')}: {ast.unparse(node)}"
        for name, tree in trees().items()
        for node in dangerous_words(tree)
        if ast.unparse(node) != allowed.get(name)
    ]
    assert hits == []


def test_no_literal_is_packed_against_the_formatter() -> None:
    assert found(packed_tuples) == []


def test_prose_in_literals_fills_its_lines() -> None:
    hits = [
        f"{path}:{number}"
        for path, tree in trees().items()
        if path != "sql/schema.py"  # SQL breaks between columns
        for number in early_breaks((PACKAGE / path).read_text(encoding="utf-8"), tree)
    ]
    assert hits == []


def test_no_constructor_makes_what_belongs_to_a_process() -> None:
    assert found(made_too_early) == []


def test_no_module_holds_state() -> None:
    assert found(shared_state) == []


@pytest.mark.requirement("3c.10")
def test_what_proves_something_is_compared_in_constant_time() -> None:
    """All other secrets are opened by an authenticated cipher, which compares by itself."""
    functions = {
        node.name: node
        for node in nodes_of(trees()["provider/tokens/id_token.py"])
        if isinstance(node, ast.FunctionDef)
    }
    for name in ("_check_nonce", "_check_at_hash"):
        nodes = nodes_of(functions[name])
        assert any(isinstance(node, ast.Attribute) and node.attr == "compare_digest" for node in nodes)
        assert not any(
            isinstance(op, ast.Eq | ast.NotEq) for node in nodes for op in getattr(node, "ops", ())
        )
    secret = re.compile(
        r"nonce|code_verifier|verifier|digest|at_hash|signature|csrf_token|seed|secret", re.IGNORECASE
    )
    hits = [
        f"{name}:{node.lineno}: {ast.unparse(node)}"
        for name, tree in trees().items()
        for node in nodes_of(tree)
        if isinstance(node, ast.Compare)
        and any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops)
        and any(
            secret.fullmatch(getattr(side, "id", getattr(side, "attr", "")))
            for side in (node.left, *node.comparators)
        )
    ]
    assert hits == []


@pytest.mark.requirement("3c.11")
def test_nothing_is_compressed() -> None:
    """What a length gives away of a secret cannot be given away (CRIME); ``zlib`` only unpacks answers, capped."""
    compressing = [
        f"{name}:{node.lineno}"
        for name, tree in trees().items()
        for node in nodes_of(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("compress", "compressobj")
    ]
    users = [
        name
        for name, tree in trees().items()
        for node in nodes_of(tree)
        if isinstance(node, ast.Import)
        and {alias.name for alias in node.names} & {"zlib", "gzip", "bz2", "lzma"}
    ]
    assert compressing == []
    assert users == ["provider/http/transport.py"]
