"""The headers by which proxies tell an application who is signed in: the scrub removes them, whoever sent them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from oauth2_mw.boundary import normalised_key
from oauth2_mw.settings.text import shown

#: What servers and proxies put before a name (RFC 3875, section 4.1.18; Apache's internal redirects).
_DECORATION = re.compile(r"(?:HTTP_|X_|REDIRECT_)+")
#: RFC 9110, section 5.6.2: token
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")

#: The names that are ours alone, and the beginning of others, bare.
OWN_NAMES = frozenset({"REMOTE_USER", "AUTH_TYPE"})
OWN_PREFIX = "OAUTH2_MW"


@dataclass(frozen=True, slots=True)
class Announcer:
    """A proxy, and the headers in which it announces a user.

    Names are exact, so that none covers a header of an application's own. One ends in ``*`` where the proxy itself
    makes names of it, one for each claim or token.
    """

    label: str
    headers: tuple[str, ...]
    #: where its documentation says so
    source: str


def _announcer(label: str, headers: str, source: str) -> Announcer:
    return Announcer(label, tuple(headers.split()), source)


ANNOUNCERS = (
    _announcer(
        "Authelia, and proxies of many kinds",
        "Remote-User Remote-Name Remote-Email Remote-Groups",
        "authelia.com, Trusted Header SSO",
    ),
    _announcer(
        "oauth2-proxy, traefik-forward-auth",
        "X-Forwarded-User X-Forwarded-Email X-Forwarded-Groups X-Forwarded-Preferred-Username "
        "X-Forwarded-Access-Token X-Auth-Request-*",
        "oauth2-proxy.github.io, Configuration",
    ),
    _announcer(
        "authentik",
        "X-authentik-username X-authentik-groups X-authentik-entitlements X-authentik-email X-authentik-name "
        "X-authentik-uid X-authentik-jwt X-authentik-meta-jwks X-authentik-meta-outpost X-authentik-meta-provider "
        "X-authentik-meta-app X-authentik-meta-version",
        "docs.goauthentik.io, Proxy Provider",
    ),
    _announcer(
        "Cloudflare Access",
        "Cf-Access-Authenticated-User-Email Cf-Access-Jwt-Assertion",
        "developers.cloudflare.com, Cloudflare One, Application token",
    ),
    _announcer(
        "Google Identity-Aware Proxy",
        "X-Goog-Authenticated-User-Email X-Goog-Authenticated-User-Id X-Goog-Iap-Jwt-Assertion",
        "cloud.google.com, IAP, Getting the user's identity",
    ),
    _announcer(
        "Azure App Service",
        "X-MS-CLIENT-PRINCIPAL X-MS-CLIENT-PRINCIPAL-ID X-MS-CLIENT-PRINCIPAL-NAME X-MS-CLIENT-PRINCIPAL-IDP "
        "X-MS-TOKEN-*",
        "learn.microsoft.com, App Service, Work with user identities; Work with OAuth tokens",
    ),
    _announcer(
        "AWS Application Load Balancer",
        "X-Amzn-Oidc-Data X-Amzn-Oidc-Identity X-Amzn-Oidc-Accesstoken",
        "docs.aws.amazon.com, Elastic Load Balancing, Authenticate users",
    ),
    _announcer(
        "Tailscale",
        "Tailscale-User-Login Tailscale-User-Name Tailscale-User-Profile-Pic Tailscale-App-Capabilities",
        "tailscale.com, Tailscale Serve, Identity headers",
    ),
    _announcer(
        "Pomerium",
        "X-Pomerium-Jwt-Assertion X-Pomerium-Claim-*",
        "pomerium.com, Pass Identity Headers",
    ),
    _announcer(
        "Vouch Proxy",
        "X-Vouch-User X-Vouch-Token X-Vouch-IdP-AccessToken X-Vouch-IdP-IdToken X-Vouch-IdP-Claims-*",
        "github.com/vouch/vouch-proxy, config.yml",
    ),
    _announcer(
        "caddy-security",
        "X-Token-Subject X-Token-User-Name X-Token-User-Email X-Token-User-Roles",
        "docs.authcrunch.com, Authorize, Headers",
    ),
    _announcer(
        "what Grafana and others read",
        "X-WEBAUTH-USER X-WEBAUTH-NAME X-WEBAUTH-EMAIL X-WEBAUTH-GROUPS X-WEBAUTH-ROLE",
        "grafana.com, Configure auth proxy authentication",
    ),
    _announcer(
        "Kong, APISIX",
        "X-Consumer-ID X-Consumer-Username X-Consumer-Custom-ID X-Credential-Identifier X-Authenticated-Userid "
        "X-Authenticated-Scope",
        "docs.konghq.com, Key Auth and OAuth 2.0, Upstream headers",
    ),
    _announcer(
        "mod_auth_openidc",
        "OIDC_CLAIM_* OIDC_access_token OIDC_access_token_expires OIDC_refresh_token OIDC_id_token "
        "OIDC_id_token_payload OIDC_userinfo_json OIDC_userinfo_jwt OIDC_signed_jwt",
        "github.com/OpenIDC/mod_auth_openidc, auth_openidc.conf",
    ),
    _announcer(
        "Shibboleth",
        "REMOTEUSER eppn Shib-Application-ID Shib-Session-ID Shib-Identity-Provider Shib-Authentication-Instant "
        "Shib-Authentication-Method Shib-AuthnContext-Class Shib-AuthnContext-Decl",
        "shibboleth.atlassian.net, SP, AttributeAccess",
    ),
    _announcer("SiteMinder", "SM_USER SM_USERDN", "techdocs.broadcom.com, SiteMinder, Default HTTP headers"),
    _announcer(
        "Oracle Access Manager",
        "OAM_REMOTE_USER",
        "help.okta.com, Access Gateway, Oracle WebLogic Server application",
    ),
)


def bare_name(key: str) -> str:
    """Return the normalised name of an environ key or a header, without ``HTTP_``, ``X_`` and ``REDIRECT_``."""
    name = normalised_key(key)
    decoration = _DECORATION.match(name)
    return name[decoration.end() :] if decoration else name


_HEADERS = tuple(header for announcer in ANNOUNCERS for header in announcer.headers)
#: The bare names that say who somebody is: those of CGI, which are ours to write, and those of proxies.
IDENTITY_NAMES = OWN_NAMES.union(bare_name(header) for header in _HEADERS if not header.endswith("*"))
#: What such names begin with where they are many.
IDENTITY_FAMILIES = (
    OWN_PREFIX,
    *(bare_name(header.removesuffix("*")) for header in _HEADERS if header.endswith("*")),
)


def parse_kept_header(text: str) -> str:
    """Return the name of a header that the scrub is to leave.

    :raises ValueError: if it is not one that the scrub removes, or is one that we alone may write.
    """
    name = bare_name(text)
    if _HEADER.fullmatch(text) is None:
        raise ValueError(f"{shown(text)} is not the name of a header: write one like X-Forwarded-Email")
    if name in OWN_NAMES or name.startswith(OWN_PREFIX):
        raise ValueError(
            f"{text} is how we tell the application who is signed in, and nobody else may: leave it out"
        )
    if name not in IDENTITY_NAMES and not name.startswith(IDENTITY_FAMILIES):
        raise ValueError(f"{text} is not among the headers that are removed: leave it out")
    return text


def environ_key(header: str) -> str:
    """Return the environ key of a header (RFC 3875, section 4.1.18)."""
    return "HTTP_" + header.upper().replace("-", "_")
