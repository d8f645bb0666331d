"""Keys: random, shown once, kept as a digest."""

import msgspec

from jevons.ledger import keys
from tests.ledger.making import NOON_MS, make_key


def test_a_key_has_256_random_bits_and_may_stand_in_a_path() -> None:
    made = {keys.new_key() for _ in range(64)}
    assert len(made) == 64
    for key in made:
        assert key.startswith("jv-") and len(key) == 3 + 43
        assert key.replace("-", "").replace("_", "").isalnum() and key.isascii()


def test_only_the_key_itself_finds_its_record() -> None:
    secret = keys.new_key()
    record = msgspec.structs.replace(make_key(), digest=keys.digest_of(secret))
    known = {record.digest: record}
    assert keys.find(known, secret) is record
    assert keys.find(known, secret + "x") is None
    assert keys.find(known, "") is None
    assert secret.encode() not in msgspec.json.encode(record)


def test_a_revoked_key_is_no_key() -> None:
    secret = keys.new_key()
    record = msgspec.structs.replace(make_key(), digest=keys.digest_of(secret), revoked_ms=NOON_MS)
    assert keys.find({record.digest: record}, secret) is None


def test_a_record_under_another_digest_is_not_taken() -> None:
    secret = keys.new_key()
    assert keys.find({keys.digest_of(secret): make_key()}, secret) is None
