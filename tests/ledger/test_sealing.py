import os

import pytest

from jevons.ledger.sealing import OVERHEAD_BYTES, Format, Refused, Sealer, tag_of

SECRET = bytes(range(32))
FORM = Format(b"JvTest\x00\x02", b"a test")
ACME, GLOBEX = tag_of(SECRET, b"t", "acme"), tag_of(SECRET, b"t", "globex")
NAME = os.urandom(32)
PLAIN = b"keys and values" * 3


def test_a_tag_names_one_organisation_of_one_installation() -> None:
    assert len(ACME) == 16
    assert len({ACME, GLOBEX, tag_of(bytes(32), b"t", "acme"), tag_of(SECRET, b"t", "Acme"), tag_of(SECRET, b"u", "acme")}) == 5


def test_what_is_sealed_comes_back_and_shows_nothing() -> None:
    sealed = Sealer(SECRET, FORM).seal(ACME, NAME, PLAIN)
    assert Sealer(SECRET, FORM).open(ACME, NAME, sealed) == PLAIN
    assert len(sealed) == len(PLAIN) + OVERHEAD_BYTES
    assert PLAIN[:8] not in sealed
    assert Sealer(SECRET, FORM).seal(ACME, NAME, PLAIN) != sealed


def test_every_changed_bit_is_refused() -> None:
    sealer = Sealer(SECRET, FORM)
    sealed = sealer.seal(ACME, NAME, PLAIN)
    for bit in range(8 * len(sealed)):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Refused):
            sealer.open(ACME, NAME, bytes(changed))


def test_every_cut_and_every_addition_is_refused() -> None:
    sealer = Sealer(SECRET, FORM)
    sealed = sealer.seal(ACME, NAME, PLAIN)
    for changed in [sealed[:length] for length in range(len(sealed))] + [sealed + b"\0", sealed + sealed]:
        with pytest.raises(Refused):
            sealer.open(ACME, NAME, changed)


def test_another_name_tenant_secret_format_or_purpose_is_refused() -> None:
    sealed = Sealer(SECRET, FORM).seal(ACME, NAME, PLAIN)
    before = Format(FORM.magic[:-1] + b"\x01", FORM.purpose)
    for secret, form, tag, name in (
        (SECRET, FORM, ACME, bytes(32)),
        (SECRET, FORM, GLOBEX, NAME),
        (bytes(32), FORM, ACME, NAME),
        (SECRET, before, ACME, NAME),
        (SECRET, Format(FORM.magic, b"another"), ACME, NAME),
    ):
        with pytest.raises(Refused):
            Sealer(secret, form).open(tag, name, sealed)
