"""What every store promises of the forms that it keeps. The tests of each kind inherit it, beside ``StoreContract``."""

from __future__ import annotations

import pytest

from oauth2_mw.session.stores import FormStore, Store
from oauth2_mw.session.stores.record import EXPIRY_GRACE, MAX_FORM
from tests.support.clock import Clock
from tests.support.contracts.store import APP, OTHER_APP, THREADS, MakeStore, at_once, record

MOST = 3


def keep(
    forms: FormStore, clock: Clock, form_id: str = "form", data: str = "sealed", *, owner: str = "jane"
) -> str:
    return forms.keep(owner, form_id, data, expires=int(clock.now) + 600, most=MOST)


def take(forms: FormStore, clock: Clock, form_id: str = "form", *, owner: str = "jane") -> str | None:
    return forms.take(owner, form_id, expires=int(clock.now) + 3600)


class FormStoreContract:
    def test_another_worker_reads_a_form_that_one_has_kept(self, make_store: MakeStore, clock: Clock) -> None:
        assert keep(make_store(APP).forms, clock) == "kept"
        assert make_store(APP).forms.read("jane", "form") == "sealed"

    def test_a_form_is_there_for_its_owner_and_application_alone(
        self, make_store: MakeStore, clock: Clock
    ) -> None:
        forms = make_store(APP).forms
        keep(forms, clock)
        assert forms.read("bob", "form") is None
        assert forms.read("jane", "other") is None
        assert make_store(OTHER_APP).forms.read("jane", "form") is None
        assert take(make_store(OTHER_APP).forms, clock) is None
        make_store(OTHER_APP).forms.drop("jane", "form")
        forms.drop("bob", "form")
        assert forms.read("jane", "form") == "sealed"

    def test_the_largest_form_is_kept_whole(self, store: Store, clock: Clock) -> None:
        keep(store.forms, clock, data="x" * MAX_FORM)
        assert take(store.forms, clock) == "x" * MAX_FORM

    @pytest.mark.requirement("R-kept-form-once")
    def test_of_fifty_at_once_exactly_one_gets_the_form(self, make_store: MakeStore, clock: Clock) -> None:
        keep(make_store(APP).forms, clock)
        workers = [make_store(APP).forms for _ in range(5)]
        got = at_once(*[lambda forms=forms: take(forms, clock) for forms in workers * (THREADS // 5)])
        assert sorted(got) == [*[""] * (THREADS - 1), "sealed"]

    @pytest.mark.requirement("R-kept-form-once")
    def test_a_form_that_was_taken_is_not_kept_again(self, store: Store, clock: Clock) -> None:
        keep(store.forms, clock)
        take(store.forms, clock)
        assert keep(store.forms, clock) == "taken"
        assert store.forms.read("jane", "form") == ""
        clock.now += 3599
        assert keep(store.forms, clock) == "taken"
        assert take(store.forms, clock) == ""

    def test_the_same_form_twice_is_kept_once(self, store: Store, clock: Clock) -> None:
        for _ in range(MOST + 1):
            assert keep(store.forms, clock) == "kept"
        assert keep(store.forms, clock, data="other") == "kept"
        assert store.forms.read("jane", "form") == "other"
        # From the last time on.
        clock.now += 590
        keep(store.forms, clock, data="renewed")
        clock.now += 590
        assert take(store.forms, clock) == "renewed"

    @pytest.mark.requirement("R-kept-form-limits")
    def test_one_owner_has_no_more_than_so_many(self, store: Store, clock: Clock) -> None:
        forms = store.forms
        for number in range(MOST):
            assert keep(forms, clock, f"form-{number}") == "kept"
        assert keep(forms, clock, "one-more") == "full"
        assert forms.read("jane", "one-more") is None
        assert keep(forms, clock, owner="bob") == "kept"
        # A place is free again when one was taken, was dropped or has expired.
        take(forms, clock, "form-0")
        assert keep(forms, clock, "one-more") == "kept"
        forms.drop("jane", "form-1")
        assert keep(forms, clock, "another") == "kept"
        assert keep(forms, clock, "too-many") == "full"
        clock.now += 600
        assert keep(forms, clock, "later") == "kept"

    @pytest.mark.requirement("R-kept-form-limits")
    def test_of_fifty_forms_at_once_no_more_than_so_many_are_kept(
        self, make_store: MakeStore, clock: Clock
    ) -> None:
        workers = [make_store(APP).forms for _ in range(5)] * (THREADS // 5)
        asked = [
            lambda forms=forms, number=number: keep(forms, clock, f"form-{number}")
            for number, forms in enumerate(workers)
        ]
        assert sorted(at_once(*asked)) == [*["full"] * (THREADS - MOST), *["kept"] * MOST]

    @pytest.mark.requirement("R-kept-form-limits")
    def test_a_form_is_gone_from_the_second_on_in_which_it_expires(self, store: Store, clock: Clock) -> None:
        keep(store.forms, clock)
        clock.now += 599
        assert store.forms.read("jane", "form") == "sealed"
        clock.now += 1
        assert store.forms.read("jane", "form") is None
        assert take(store.forms, clock) is None

    def test_a_form_that_was_dropped_is_gone(self, store: Store, clock: Clock) -> None:
        keep(store.forms, clock)
        store.forms.drop("jane", "form")
        assert store.forms.read("jane", "form") is None
        store.forms.drop("jane", "form")
        assert keep(store.forms, clock) == "kept"

    def test_a_session_that_has_expired_is_read_where_that_is_asked_for(
        self, store: Store, clock: Clock
    ) -> None:
        kept = record(clock)
        store.add("k", kept, indexes=[])
        clock.now = kept.expires + EXPIRY_GRACE - 1
        assert store.read("k") is None
        assert store.read("k", grace=EXPIRY_GRACE - 1) is None
        assert store.read("k", grace=EXPIRY_GRACE) == kept
        clock.now += 1
        assert store.read("k", grace=EXPIRY_GRACE) is None

    def test_a_session_that_was_ended_is_never_read(self, store: Store, clock: Clock) -> None:
        store.add("k", record(clock), indexes=[])
        store.delete("k")
        clock.now += 60
        assert store.read("k", grace=EXPIRY_GRACE) is None
