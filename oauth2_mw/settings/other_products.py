"""What other products call our settings, for whoever comes with a file or a habit of theirs.

oauth2-proxy's flags and variables, mod_auth_openidc's directives, the parameters of JumpServer, and what libraries of
Python have for the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Equivalent:
    """What stands here for a word of another product."""

    #: the setting that was meant, or an empty text where there is none
    key: str
    #: what to write, if that is not the same value
    advice: str = ""

    def __str__(self) -> str:
        called = f"here it is called {self.key}" if self.key else ""
        return "; ".join(filter(None, (called, self.advice)))


_POST = "client_secret_post: the secret in the body of a POST"
#: what other products call the ways in which a client authenticates, in small letters -> ``client_auth_method`` here
AUTH_METHODS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("post", "post_data", "post_json", "body", "form", "secret_post"), _POST),
        "get": f"{_POST}, or client_secret_basic; a secret in the address of a GET would stand in logs",
        **dict.fromkeys(("basic", "header", "secret_basic", "http_basic"), "client_secret_basic"),
        "jwt": "private_key_jwt",
        "private_key": "private_key_jwt",
        "public": "none",
        "pkce": "none",
    }
)
_PREFIXES = re.compile(r"(?:oauth2_proxy|auth_oauth2_provider|auth_oauth2|oidc_rp|oidc_op|oidc_provider)_")
_KEYS = "make a key file with oauth2-mw keygen and write file:PATH: its keys are of another kind"
_MOUNT = (
    "write the address of the application alone: oauth2-mw check prints the redirect URI that follows from it"
)
_CLAIM = 'write a JSON object, like {"username": "login", "email": "email"}'
_WHO = "write who may enter, like email_domain:example.com or group:staff"
_ISSUER = "write what stands before /.well-known/ in that address"
_BY_ITSELF = "public_url decides it: cookies are HttpOnly and SameSite=Lax, and Secure on https"
_ENVIRON = "write in [environ] what the application is to see, like HTTP_X_REMOTE_EMAIL = email"
_SERVER = "nothing is needed: this runs inside the application's own server"

#: a word in lower case, with ``_`` between its parts and without its product's prefix -> key and advice
_WORDS: Mapping[str, Equivalent] = MappingProxyType(
    {
        word: Equivalent(key, advice)
        for words, key, advice in (
            ("oidcclientid app_id appid consumer_key", "client_id", ""),
            ("oidcclientsecret app_secret consumer_secret", "client_secret", ""),
            ("client_secret_file", "client_secret", "write file:PATH"),
            ("cookie_secret cookie_secret_file oidccryptopassphrase", "secret_keys", _KEYS),
            ("secret_key cookie_key session_secret session_key encryption_key", "secret_keys", _KEYS),
            (
                "redirect_uri redirect_url oidcredirecturi callback_url callback_uri "
                "authentication_redirect_uri",
                "public_url",
                _MOUNT,
            ),
            ("base_url site_url external_url root_url app_url", "public_url", ""),
            ("proxy_prefix", "prefix", ""),
            ("service_provider provider_display_name provider_name display_name", "provider", ""),
            ("oauth2 auth_oauth2", "enabled", ""),
            ("logo_path logo", "icon", ""),
            ("oidc_issuer_url issuer_url oidcproviderissuer oidc_issuer authority", "issuer", ""),
            (
                "discovery_url well_known_url wellknown_url server_metadata_url oidcprovidermetadataurl "
                "discovery_endpoint openid_configuration_url",
                "issuer",
                _ISSUER,
            ),
            (
                "login_url authorize_url authorization_url auth_url auth_uri auth_endpoint "
                "oidcproviderauthorizationendpoint authorize_endpoint",
                "authorization_endpoint",
                "",
            ),
            (
                "redeem_url token_url token_uri access_token_url access_token_endpoint "
                "oidcprovidertokenendpoint",
                "token_endpoint",
                "",
            ),
            (
                "profile_url validate_url user_info_endpoint userinfo_url userinfo_uri user_info_url "
                "user_endpoint oidcprovideruserinfoendpoint api_url",
                "userinfo_endpoint",
                "",
            ),
            (
                "end_session_endpoint logout_url logout_uri backend_logout_url end_session_url "
                "oidcproviderendsessionendpoint",
                "logout_endpoint",
                "",
            ),
            ("oidc_jwks_url jwks_url jwks_endpoint oidcproviderjwksuri", "jwks_uri", ""),
            ("scopes oidcscope oauth_scope", "scope", ""),
            (
                "access_token_method client_authentication_method token_endpoint_auth_method request_method "
                "oidcprovidertokenendpointauth",
                "client_auth_method",
                "write client_secret_basic or client_secret_post",
            ),
            (
                "user_attr_map mapped_attributes attribute_mapping attr_map user_mapping claim_map",
                "attribute_map",
                "",
            ),
            (
                "user_id_claim oidc_email_claim oidc_groups_claim username_claim email_claim groups_claim "
                "user_claim oidcremoteuserclaim username_attribute",
                "attribute_map",
                _CLAIM,
            ),
            ("always_update_user always_update_user_info", "always_update", ""),
            ("logout_completely", "sync_logout", ""),
            ("org_ids organizations", "organization", ""),
            (
                "email_domains email_domain allowed_groups allowed_group allowed_domains allowed_users "
                "google_group github_org github_team gitlab_group allowed_role allowed_roles require",
                "allow",
                _WHO,
            ),
            (
                "authenticated_emails_file",
                "allow",
                "write file:PATH, with a term like email:jane@example.com a line",
            ),
            (
                "skip_auth_routes skip_auth_route skip_auth_regex excluded_paths exclude_paths exempt_urls",
                "public_paths",
                "write paths, of which one that ends in / covers what is below it",
            ),
            ("cookie_expire session_timeout oidcsessionmaxduration cookie_lifetime", "session_lifetime", ""),
            ("oidcsessioninactivitytimeout idle_timeout session_idle_timeout", "session_idle", ""),
            ("cookie_refresh offline_access", "keep_tokens", "write id refresh"),
            ("oidccookie", "cookie_name", ""),
            (
                "session_store_type redis_connection_url redis_url oidcsessiontype oidcrediscacheserver "
                "session_store",
                "session",
                "write cookie, or a URL like redis://host",
            ),
            ("oidcpkcemethod code_challenge_method", "pkce", ""),
            ("oidcresponsemode", "response_mode", ""),
            (
                "oidcauthrequestparams extra_params",
                "auth_params",
                'write a JSON object, like {"hd": "example.com"}',
            ),
            ("approval_prompt", "prompt", ""),
            (
                "provider_ca_files oidccabundlepath oidcsslvalidateserver ssl_insecure_skip_verify verify_ssl "
                "ssl_verify cert_verify_mode cacert_content",
                "ca_bundle",
                "write the file of the authority's certificate: checking is never switched off",
            ),
            ("oidcoutgoingproxy http_proxy https_proxy", "proxy", ""),
            ("reverse_proxy trusted_proxies trusted_proxy", "trusted_peers", "write the proxy's address"),
            ("skip_provider_button", "login_page", ""),
            ("oidc_extra_audiences", "trusted_audiences", ""),
            ("skip_jwt_bearer_tokens", "bearer_paths", "and accept_tokens at the provider"),
            ("insecure_oidc_allow_unverified_email", "email_verified", ""),
            ("sign_algo id_token_signed_response_alg", "algorithms", ""),
            (
                "insecure_oidc_skip_issuer_verification insecure_oidc_skip_nonce oidcvalidateissuer",
                "",
                "issuer and nonce are always checked: take it out",
            ),
            (
                "cookie_secure cookie_httponly cookie_samesite oidccookiehttponly oidccookiesamesite",
                "",
                f"{_BY_ITSELF}; take it out",
            ),
            (
                "cookie_domain cookie_domains oidccookiedomain",
                "",
                "there is none: cookies are this host's alone; take it out",
            ),
            (
                "pass_user_headers pass_access_token set_xauthrequest set_authorization_header pass_basic_auth "
                "pass_authorization_header oidcclaimprefix oidcpassclaimsas",
                "",
                _ENVIRON,
            ),
            ("upstreams upstream http_address https_address", "", f"{_SERVER}; take it out"),
            ("whitelist_domains", "", "a sign-in leads back to public_url alone; take it out"),
        )
        for word in words.split()
    }
)


def equivalent(word: str, ours: Iterable[str]) -> Equivalent | None:
    """Return what a key of no setting is here, or ``None`` if it is nobody's.

    :param ours: the settings that there are: one of them behind another product's prefix is meant as that.
    """
    text = re.sub(r"[\s.-]+", "_", word.strip().strip("-")).lower()
    short = _PREFIXES.sub("", text, count=1) if _PREFIXES.match(text) else text
    found = _WORDS.get(text) or _WORDS.get(short)
    if found is not None:
        return found
    return Equivalent(short) if short != text and short in ours else None
