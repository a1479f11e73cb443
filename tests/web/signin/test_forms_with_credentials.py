"""A kept form that is sent together with a credential of the application's own."""

from __future__ import annotations

from pathlib import Path

from tests.web.signin.test_kept_forms import Stage, token_of


def test_the_credential_reaches_the_application_with_the_form(tmp_path: Path) -> None:
    stage = Stage(tmp_path, strip_authorization="none")
    form_id = stage.keep()
    stage.sign_in()
    token = token_of(stage.offer(form_id))
    assert stage.send(form_id, token, HTTP_AUTHORIZATION="Token abc").text == "saved"
