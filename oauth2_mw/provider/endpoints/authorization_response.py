"""The authorization response: a code, or what an error in its place means (RFC 6749, sections 4.1.2 and 4.1.2.1).

The errors of OAuth 2.0 and OpenID Connect stand in one table, with the words that providers use beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType

from oauth2_mw.errors import (
    BadRequestError,
    OAuth2Error,
    ProviderError,
    ProviderUnavailableError,
    SignInDeclinedError,
)

#: The parameters that are read (RFC 6749, 4.1.2; RFC 9207; OpenID Connect Session Management). The two tokens belong to
#: another flow (OAuth 2.0 Multiple Response Types, section 3), which is never asked for; the last is DingTalk's code.
PARAMETERS = frozenset(
    "code state iss error error_description error_uri session_state access_token id_token authCode".split()
)
#: Those that are prose for people, in which line breaks are accepted because some providers wrap it.
PROSE = frozenset({"error_description"})
#: Characters of the provider's own words that a message quotes.
_MAX_QUOTED = 200


class Meaning(Enum):
    """What an error asks for."""

    #: the person, or the provider for them, said no
    DECLINED = auto()
    #: nothing is wrong: the person only has to sign in at the provider once more
    ANEW = auto()
    #: the same once more, if the request had ``prompt=none``; or else the provider is at fault
    INTERACTION = auto()
    #: the provider cannot do it now
    LATER = auto()
    #: the client, its registration or the provider has to be set up in another way
    CONFIGURATION = auto()


_MEANINGS: Mapping[str, Meaning] = MappingProxyType(
    {
        # RFC 6749, section 4.1.2.1
        "access_denied": Meaning.DECLINED,
        "invalid_request": Meaning.CONFIGURATION,
        "unauthorized_client": Meaning.CONFIGURATION,
        "unsupported_response_type": Meaning.CONFIGURATION,
        "invalid_scope": Meaning.CONFIGURATION,
        "server_error": Meaning.LATER,
        "temporarily_unavailable": Meaning.LATER,
        # OpenID Connect Core, section 3.1.2.6
        "interaction_required": Meaning.INTERACTION,
        "login_required": Meaning.INTERACTION,
        "account_selection_required": Meaning.INTERACTION,
        "consent_required": Meaning.INTERACTION,
        "invalid_request_uri": Meaning.CONFIGURATION,
        "invalid_request_object": Meaning.CONFIGURATION,
        "request_not_supported": Meaning.CONFIGURATION,
        "request_uri_not_supported": Meaning.CONFIGURATION,
        "registration_not_supported": Meaning.CONFIGURATION,
        # OpenID Connect Unmet Authentication Requirements 1.0: the person cannot prove what acr_values asks for
        "unmet_authentication_requirements": Meaning.DECLINED,
        # LinkedIn, and Apple the second
        "user_cancelled_login": Meaning.DECLINED,
        "user_cancelled_authorize": Meaning.DECLINED,
        # Facebook and drafts of OAuth 2.0
        "user_denied": Meaning.DECLINED,
        # Auth0: a rule or action of the tenant refused the person
        "unauthorized": Meaning.DECLINED,
        # Keycloak: its login page was open for too long, or the person signed in in another tab meanwhile
        "authentication_expired": Meaning.ANEW,
    }
)
#: What some providers write into ``error_description`` under a standard error, of which it is the truth. Keycloak sends
#: ``temporarily_unavailable`` with the one here.
_DESCRIPTIONS: Mapping[str, Meaning] = MappingProxyType({"authentication_expired": Meaning.ANEW})

_ADVICE: Mapping[str, str] = MappingProxyType(
    {
        "unauthorized_client": "allow the authorization code flow for this client at the provider",
        "unsupported_response_type": "allow the authorization code flow for this client at the provider",
        "invalid_scope": "compare scope with what this client may ask for",
        "interaction_required": "ask the provider why it needs the person and did not show them a page",
        "login_required": "ask the provider why it needs the person and did not show them a page",
        "account_selection_required": "ask the provider why it needs the person and did not show them a page",
        "consent_required": "let an administrator consent for this client at the provider",
    }
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An authorization response without a code."""

    error: OAuth2Error
    #: whether the sign-in may begin once more without the person having to ask for it
    can_begin_anew: bool = False
    #: whether it may do so without the ``prompt`` that no setting asks for
    at_prompt: bool = False


def with_standard_code(params: Mapping[str, str]) -> Mapping[str, str]:
    """Return *params* with the code under its standard name, whatever the provider calls it."""
    code = params.get("code") or params.get("authCode")
    return {**params, "code": code} if code else params


def read_authorization_response(
    params: Mapping[str, str], *, silent: bool, prompted: bool = False
) -> str | Refusal:
    """Return the code, or why there is none.

    :param params: those of :data:`PARAMETERS` that came. An empty one counts as missing (RFC 6749, section 3.1).
    :param silent: whether the request had ``prompt=none``, so that the provider could not show the person anything.
    :param prompted: whether it had a ``prompt`` that no setting asks for, which the provider may not know.
    :raises BadRequestError: ``error_and_code``.
    """
    error, code = params.get("error"), params.get("code")
    if error and code:
        raise BadRequestError("the answer carries both an error and a code", code="error_and_code")
    if code:
        return code
    if error:
        return _refusal(error, params, silent=silent, prompted=prompted)
    if params.get("access_token") or params.get("id_token"):
        return Refusal(
            ProviderError(
                "the answer carries tokens in place of a code: check the client's flow", code="code_missing"
            )
        )
    # WeChat and others come back so from a person who has declined.
    return Refusal(SignInDeclinedError("the answer carries neither a code nor an error: the person declined"))


def _refusal(error: str, params: Mapping[str, str], *, silent: bool, prompted: bool) -> Refusal:
    said = quote_error(params)
    meaning = _DESCRIPTIONS.get(
        params.get("error_description", "").strip(), _MEANINGS.get(error, Meaning.CONFIGURATION)
    )
    if meaning is Meaning.DECLINED:
        return Refusal(SignInDeclinedError(said))
    if meaning in (Meaning.ANEW, Meaning.LATER):
        unavailable = ProviderUnavailableError(
            said, message="The sign-in service could not sign you in just now. Please try again in a moment."
        )
        return Refusal(unavailable, can_begin_anew=meaning is Meaning.ANEW)
    if meaning is Meaning.INTERACTION and silent:
        return Refusal(ProviderError(said, code="error_response"), can_begin_anew=True)
    advice = _ADVICE.get(error)
    at_prompt = prompted and error == "invalid_request"
    return Refusal(
        ProviderError(f"{said}: {advice}" if advice else said, code="error_response"),
        can_begin_anew=at_prompt,
        at_prompt=at_prompt,
    )


def quote_error(params: Mapping[str, str]) -> str:
    """Return a clause for the log about the error that a provider's answer carries, or an empty text without one.

    What stands there is anybody's: it is cut here, and escaped where it is written.
    """
    error, description = params.get("error"), params.get("error_description")
    if not error:
        return ""
    said = f"the provider answered {_cut(error)}"
    return f"{said} ({_cut(description)})" if description else said


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_QUOTED else text[: _MAX_QUOTED - 3] + "..."
