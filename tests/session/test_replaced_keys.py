"""What a key that has been taken out may have sealed."""

from __future__ import annotations

from pathlib import Path

from oauth2_mw.session.clocks import Clocks
from oauth2_mw.session.keyring import SEAL_DELAY, Key, Keyring
from oauth2_mw.settings.keys import KeyEntry, format_key_line
from oauth2_mw.settings.secret import Secret
from tests.support.clock import Clock
from tests.support.settings.keys import raw_key

T0 = 1_800_000_000


def test_a_key_that_is_taken_out_has_sealed_no_longer_than_the_oldest_took_to_come(tmp_path: Path) -> None:
    entries = [KeyEntry("b", T0 - 6000, raw_key(1)), KeyEntry("c", T0 - 3000, raw_key(2))]
    path = tmp_path / "keys"
    path.write_text("\n".join(map(format_key_line, entries)))
    clock = Clock()
    keyring = Keyring(Secret.file(path), sync=5, clocks=Clocks(clock, clock))
    assert keyring.sealed_until(Key(raw_key(0)).id) == T0 - 6000 + SEAL_DELAY
