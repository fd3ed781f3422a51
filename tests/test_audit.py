"""The audit of dependencies: how it describes what pip-audit found."""

from tests.audit import verdict


def test_a_vulnerability_and_skipped_packages_are_reported() -> None:
    clean = {"name": "a", "version": "1", "vulns": []}
    flawed = {"name": "b", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["3"]}]}
    skipped = {"name": "c", "skip_reason": "not found"}
    text, ok = verdict({"dependencies": [clean, flawed, skipped]}, "lock")
    assert text.splitlines() == [
        "lock: b 2: CVE-1, fixed in 3",
        "lock: skipped: the database does not know 1 of 3 packages",
        "lock: 2 packages checked",
    ]
    assert not ok
    assert verdict({"dependencies": [clean, skipped]}, "lock")[1]
    assert verdict({"dependencies": [clean]}, "lock") == ("lock: 1 packages checked", True)
