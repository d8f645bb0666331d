import os

import pytest

from jevons.engine.park.sealing import FORMAT, OVERHEAD_BYTES, Refused, Sealer, tenant_tag

SECRET = bytes(range(32))
ACME, GLOBEX = tenant_tag(SECRET, "acme"), tenant_tag(SECRET, "globex")
NAME = os.urandom(32)
PLAIN = b"keys and values" * 3


def test_a_tag_names_one_organisation_of_one_installation() -> None:
    assert len(ACME) == 16
    assert len({ACME, GLOBEX, tenant_tag(bytes(32), "acme"), tenant_tag(SECRET, "Acme"), tenant_tag(SECRET, "")}) == 5


def test_what_is_sealed_comes_back_and_shows_nothing() -> None:
    sealed = Sealer(SECRET).seal(ACME, NAME, PLAIN)
    assert Sealer(SECRET).open(ACME, NAME, sealed) == PLAIN
    assert len(sealed) == len(PLAIN) + OVERHEAD_BYTES
    assert PLAIN[:8] not in sealed
    assert Sealer(SECRET).seal(ACME, NAME, PLAIN) != sealed


def test_every_changed_bit_is_refused() -> None:
    sealer = Sealer(SECRET)
    sealed = sealer.seal(ACME, NAME, PLAIN)
    for bit in range(8 * len(sealed)):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Refused):
            sealer.open(ACME, NAME, bytes(changed))


def test_every_cut_and_every_addition_is_refused() -> None:
    sealer = Sealer(SECRET)
    sealed = sealer.seal(ACME, NAME, PLAIN)
    for changed in [sealed[:length] for length in range(len(sealed))] + [sealed + b"\0", sealed + sealed]:
        with pytest.raises(Refused):
            sealer.open(ACME, NAME, changed)


def test_another_name_tenant_secret_or_format_is_refused() -> None:
    sealed = Sealer(SECRET).seal(ACME, NAME, PLAIN)
    before = FORMAT[:-1] + bytes([FORMAT[-1] - 1]) + sealed[len(FORMAT) :]
    for secret, tag, name, file in (
        (SECRET, ACME, bytes(32), sealed),
        (SECRET, GLOBEX, NAME, sealed),
        (bytes(32), ACME, NAME, sealed),
        (SECRET, ACME, NAME, before),
    ):
        with pytest.raises(Refused):
            Sealer(secret).open(tag, name, file)
