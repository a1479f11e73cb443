"""What the names of claims say of their values, in every spelling that providers use."""

from __future__ import annotations

import pytest

from oauth2_mw.settings.claim_names import is_address, is_changing
from oauth2_mw.settings.grammar import AttributePath

ADDRESSES = (
    "email Email EMAIL e_mail e-mail mail Mail emailAddress email_address primaryEmail primary_email work_email "
    "emails[0].value emails[0] user.email profile.contact.mail mail_address workMail EMAIL_ADDRESS smtpAddress "
    '"https://acme.example/email" "https://acme.example/claims/emailaddress" "urn:acme:mail" email_id emailId '
    'useremail primaryemail "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress" userMail'
).split()
NAMES = (
    "username user_name userName USERNAME user.username userPrincipalName user_principal_name upn UPN "
    "preferred_username preferredUsername unique_name uniqueName name display_name displayName nickname nick login "
    "loginName login_id screen_name screenName sAMAccountName samaccountname samAccountName alias handle phone "
    "phone_number phoneNumber mobile telephoneNumber given_name family_name cn dn user account names[0].value "
    '"https://acme.example/username" "https://acme.example/user_name" "cognito:username" "custom:login" '
    "attributes.username[0] fullname commonName distinguishedName mailNickname address surname loginid accountName1"
).split()
IDENTIFIERS = (
    "sub id oid uuid guid ID user_id userId user.id data.user_id account_id accountId open_id union_id unionid openid "
    "uid objectGUID immutable_id employee_number name_id nameId nameID external_id persistent_id identities[0].user_id "
    '"https://acme.example/uuid" "https://name.example/id" "https://mail.example/sub" "custom:id" person.sub puid'
).split()


def path(text: str) -> AttributePath:
    return AttributePath.parse(text)


@pytest.mark.requirement("3k.2")
@pytest.mark.parametrize("text", ADDRESSES)
def test_an_address_is_known_by_its_name(text: str) -> None:
    assert is_address(path(text))
    assert is_changing(path(text))


@pytest.mark.requirement("3k.2")
@pytest.mark.parametrize("text", NAMES)
def test_a_name_can_change(text: str) -> None:
    assert is_changing(path(text))


@pytest.mark.parametrize("text", [name for name in NAMES if name != "mailNickname"])
def test_a_name_is_not_an_address(text: str) -> None:
    assert not is_address(path(text))


@pytest.mark.parametrize("text", IDENTIFIERS)
def test_an_identifier_does_not_change(text: str) -> None:
    assert not is_changing(path(text))
    assert not is_address(path(text))
