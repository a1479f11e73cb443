"""The security core: what must never happen is kept from happening in these modules.

Each has a test file that holds it in place: ``make mutation`` puts faults into the module and asks that file. And each
is run through to the last line and the last branch by the in-process tests: ``python -m tests.security.core`` reads
what the last run of pytest with ``--cov`` has measured, and fails for whatever it left out.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import coverage

PACKAGE = Path(__file__).parents[2] / "oauth2_mw"

#: module -> the tests that must notice its faults
CORE = {
    "encoding": ("tests/test_encoding.py", "tests/session/test_sealing.py"),
    "session/sealing": ("tests/session/test_sealing.py",),
    "web/signin/attempt": ("tests/web/signin/test_attempt.py",),
    "session/cookies": ("tests/session/test_cookies.py",),
    "session/app_cookies": ("tests/session/test_app_cookies.py",),
    "session/keyring": ("tests/session/test_keyring.py",),
    "access/allow": ("tests/access/test_allow.py",),
    "access/rules": ("tests/access/test_rules.py",),
    "access/terms": (
        "tests/access/test_terms.py",
        "tests/access/test_allow.py",
        "tests/access/test_rules.py",
    ),
    "settings/access_rules": ("tests/settings/test_access_rules.py", "tests/settings/test_rule_coverage.py"),
    "provider/jose/jws": ("tests/provider/tokens/test_id_token.py",),
    "provider/tokens/claim_checks": (
        "tests/provider/tokens/test_id_token.py",
        "tests/provider/tokens/test_logout_token.py",
        "tests/provider/tokens/test_validator.py",
    ),
    "provider/tokens/id_token": ("tests/provider/tokens/test_id_token.py", "tests/provider/test_refresh.py"),
    "provider/tokens/logout_token": ("tests/provider/tokens/test_logout_token.py",),
    "provider/tokens/userinfo": ("tests/provider/tokens/test_userinfo.py",),
    "provider/tokens/validator": ("tests/provider/tokens/test_validator.py",),
    "identity/environ": ("tests/identity/test_environ.py",),
    "boundary": ("tests/test_boundary.py", "tests/access/test_rules.py"),
    "settings/attribute_path": ("tests/settings/test_attribute_path.py", "tests/settings/test_grammar.py"),
    "settings/grammar": ("tests/settings/test_grammar.py", "tests/settings/test_access_rules.py"),
    "settings/keys": ("tests/settings/test_grammar.py", "tests/settings/test_ended_lines.py"),
    "settings/secret": ("tests/settings/test_grammar.py",),
    "settings/text": ("tests/settings/test_text.py", "tests/settings/test_grammar.py"),
    "middleware": (
        "tests/test_middleware.py",
        "tests/test_middleware_sessions.py",
        "tests/test_middleware_rules.py",
        "tests/test_middleware_bearer.py",
        "tests/test_middleware_programs.py",
        "tests/test_middleware_pep3333.py",
        "tests/web/signin/test_kept_forms.py",
    ),
    "web/token_gate": ("tests/test_middleware_bearer.py", "tests/test_middleware_tokens.py"),
    "credentials/access_tokens": ("tests/test_middleware_bearer.py",),
    "credentials/introspections": (
        "tests/credentials/test_introspections.py",
        "tests/test_middleware_bearer.py",
    ),
    "credentials/strangers": ("tests/credentials/test_strangers.py", "tests/test_middleware_bearer.py"),
    "provider/tokens/access_token": ("tests/provider/tokens/test_access_token.py",),
    "web/signin/login": (
        "tests/web/signin/test_login_answers.py",
        "tests/web/signin/test_kept_fragments.py",
        "tests/web/signin/test_initiated_login.py",
        "tests/web/signin/test_step_up.py",
        "tests/web/signin/test_another_account.py",
        "tests/web/signin/test_destinations.py",
        "tests/web/signin/test_last_provider.py",
    ),
    "web/signin/callback": (
        "tests/web/signin/test_callback.py",
        "tests/web/signin/test_authorization_errors.py",
    ),
    "web/signin/step_up": ("tests/web/signin/test_demands.py",),
    "web/http/peers": ("tests/web/http/test_peers.py",),
    "web/programs/forward_auth": ("tests/web/programs/test_forward_auth.py",),
    "web/programs/original_request": ("tests/web/programs/test_forward_auth.py",),
    "web/signout/logout": ("tests/web/signout/test_logout.py",),
    "web/signout/backchannel": ("tests/web/signout/test_backchannel_answers.py",),
    "session/model": ("tests/session/test_model.py",),
    "session/manager": (
        "tests/session/test_manager_sessions.py",
        "tests/session/test_manager.py",
        "tests/session/test_renewal.py",
    ),
    "session/renewal": ("tests/session/test_renewal.py", "tests/session/test_manager.py"),
    "session/revocation": ("tests/session/test_revocation.py", "tests/session/test_untold.py"),
    "session/registry": ("tests/session/test_registry.py", "tests/session/stores/test_full.py"),
    "session/refresh": ("tests/session/test_refresher.py",),
    "session/token_refresh": ("tests/session/test_token_refresh.py",),
    "identity/mapping": ("tests/identity/test_mapping.py",),
    "identity/unknown_claims": ("tests/identity/test_unknown_claims.py",),
    "identity/verification": ("tests/identity/test_verification.py",),
    "settings/tenants": ("tests/settings/test_tenants.py",),
    "credentials/fetch_metadata": ("tests/credentials/test_fetch_metadata.py",),
    "credentials/token_text": ("tests/credentials/test_token_text.py",),
    "identity/admission": (
        "tests/identity/test_admission.py",
        "tests/identity/test_arrivals.py",
        "tests/identity/test_linking.py",
    ),
    "provider/jose/jwks": ("tests/provider/jose/test_jwks.py", "tests/provider/jose/test_weak_keys.py"),
    "provider/discovery/metadata": ("tests/provider/discovery/test_metadata.py",),
    "provider/discovery/metadata_cache": (
        "tests/provider/discovery/test_metadata.py",
        "tests/provider/discovery/test_metadata_cache.py",
    ),
    "provider/claims": ("tests/provider/test_claims.py",),
    "provider/claim_sources": ("tests/provider/test_claim_sources.py",),
    "provider/wanted_claims": ("tests/provider/test_wanted_claims.py",),
    "provider/dialects/dialect": ("tests/provider/dialects/test_dialect.py", "tests/provider/test_client.py"),
    **{
        f"provider/dialects/{name}": ("tests/provider/dialects/test_dialects.py",)
        for name in ("dingtalk", "feishu", "wechat", "wecom")
    },
    "provider/dialects/vocabulary": ("tests/provider/dialects/test_vocabulary.py",),
    "provider/http/transport": ("tests/provider/http/test_transport.py",),
    "provider/http/http_client": (
        "tests/provider/http/test_transport.py",
        "tests/provider/http/test_kept_connections.py",
    ),
    "provider/http/connection": (
        "tests/provider/http/test_kept_connections.py",
        "tests/provider/http/test_answer.py",
        "tests/provider/http/test_transport.py",
    ),
    "provider/http/streams": (
        "tests/provider/http/test_kept_connections.py",
        "tests/provider/http/test_transport.py",
        "tests/provider/http/test_waiting.py",
    ),
    "provider/http/answer": (
        "tests/provider/http/test_answer.py",
        "tests/provider/http/test_kept_connections.py",
    ),
    "provider/http/kept_connections": ("tests/provider/http/test_kept_connections.py",),
    "provider/http/route": ("tests/provider/http/test_kept_connections.py",),
    "provider/http/trust": ("tests/provider/http/test_kept_connections.py",),
    "provider/http/deadline": (
        "tests/provider/http/test_waiting.py",
        "tests/provider/http/test_kept_connections.py",
    ),
}


def holes(measured: Mapping[str, Any], modules: Iterable[str] = CORE) -> list[str]:
    """What was left out, a line for each module.

    :param measured: the JSON report of coverage.
    """
    files = {Path(name).as_posix(): found for name, found in measured["files"].items()}
    left_out = []
    for module in modules:
        path = f"{PACKAGE.name}/{module}.py"
        found = files.get(path)
        if found is None or "missing_branches" not in found:
            left_out.append(f"{path}: not measured, or without branches")
            continue
        missing = [
            *map(str, found["missing_lines"]),
            *(f"{start}->{'exit' if end < 0 else end}" for start, end in found["missing_branches"]),
        ]
        if missing:
            left_out.append(f"{path}: {' '.join(missing)}")
    return left_out


def measure() -> Any:
    """The JSON report of the last run.

    :raises coverage.CoverageException: when there was none.
    """
    data = coverage.Coverage(config_file=str(PACKAGE.with_name("pyproject.toml")))
    data.load()
    with TemporaryDirectory() as folder:
        path = Path(folder, "coverage.json")
        data.json_report(outfile=str(path))
        return json.loads(path.read_text(encoding="utf-8"))


def main() -> int:
    try:
        left_out = holes(measure())
    except coverage.CoverageException as error:
        left_out = [*CORE]
        print(error)
    print(*left_out, sep="\n", end="\n" if left_out else "")
    print(f"{len(CORE) - len(left_out)} of {len(CORE)} modules of the security core are covered")
    return 1 if left_out else 0


if __name__ == "__main__":
    sys.exit(main())
