"""Lists of words."""

from __future__ import annotations

import pytest

from oauth2_mw.settings.text import did_you_mean, split_terms, split_words


def test_white_space_separates_the_words_of_a_list() -> None:
    assert split_words(" a b,c\n\td ") == ["a", "b,c", "d"]
    assert split_words("") == []


@pytest.mark.parametrize("text", ["a, b", "a ,b", "a , b", ",a", "a,", "a b,"])
def test_a_comma_before_or_after_a_word_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="separated by spaces, not by commas: take the comma out"):
        split_words(text)


def test_the_first_character_of_a_list_of_terms_counts() -> None:
    assert split_terms("ab") == ("ab",)
    assert split_terms('"a b"c') == ('"a b"c',)


def test_of_several_similar_words_the_most_similar_is_meant() -> None:
    assert (
        did_you_mean("client_secre", ("client_secret", "client_secrets")) == "; did you mean client_secret?"
    )
    assert did_you_mean("client_secretz", ("client_secrets", "client_secret_x", "client")) == (
        "; did you mean client_secrets?"
    )
