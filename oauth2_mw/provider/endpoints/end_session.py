"""The logout endpoint: the request that the browser carries there (RP-Initiated Logout 1.0, section 2)."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit

from oauth2_mw.provider.quirks import logout_quirk
from oauth2_mw.settings.model import ProviderSettings

#: Characters of an ID token that still fit into an address.
_MAX_HINT = 3000


def logout_url(
    provider: ProviderSettings, endpoint: str, *, id_token: str | None, redirect_uri: str, state: str
) -> str | None:
    """Return the URL to send the browser to, or ``None`` if the provider would only refuse the request.

    What the endpoint's own query holds is left as it is written, and nothing is added that it has already.

    :param endpoint: the logout endpoint, with its query if it has one.
    :param id_token: the session's, if it was kept. One that is too long for an address is left out: it is recommended,
        not required.
    :param redirect_uri: our own page to which the person may come back.
    """
    if provider.logout_request == "plain":
        return endpoint
    parameters = {
        "client_id": provider.client_id,
        "post_logout_redirect_uri": redirect_uri,
        "state": state,
    }
    if id_token is not None and len(id_token) <= _MAX_HINT:
        parameters["id_token_hint"] = id_token
    else:
        match logout_quirk(provider.quirk).without_hint:
            case "bare":
                return endpoint
            case "never":
                return None
    query = urlsplit(endpoint).query
    written = {name for name, _ in parse_qsl(query, keep_blank_values=True)}
    added = urlencode({name: value for name, value in parameters.items() if name not in written})
    mark = "&" if query else "" if endpoint.endswith("?") else "?"
    return f"{endpoint}{mark}{added}" if added else endpoint
