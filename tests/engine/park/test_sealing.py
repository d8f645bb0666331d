from jevons.engine.park.sealing import park_sealer, tenant_tag

SECRET = bytes(range(32))
KEPT = bytes.fromhex("4a765061726b0001c7769d21a1da8e2782ea015be17dc7988c29fb44351af406ae2d8debc40acd2221a9b53ffa56abdeb6e0ca")
"""Sealed by the first version that wrote to disk: what lies there is still opened."""


def test_a_tag_names_one_organisation_of_one_installation() -> None:
    assert len(tenant_tag(SECRET, "acme")) == 16
    assert (
        len({tenant_tag(SECRET, "acme"), tenant_tag(bytes(32), "acme"), tenant_tag(SECRET, "Acme"), tenant_tag(SECRET, "")}) == 4
    )


def test_files_of_the_first_version_are_opened() -> None:
    assert park_sealer(SECRET).open(tenant_tag(SECRET, "acme"), bytes(32), KEPT) == b"keys and values"
