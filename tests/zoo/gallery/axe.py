"""axe-core, which finds faults of accessibility, from its npm package.

`python -m tests.zoo.gallery.axe` puts it into the cache, as .ci/run does; no test fetches it.
"""

from zoo.gallery.vendor import Package, members

AXE = Package(
    "axe-core", "4.10.3", "0f2b4d7dcdf7d1219df8d1959ad68e565f51d14c3f0d88bb71cd59abeb956292"
)
KEPT = AXE.kept()  # of the real cache, before any test names another


def script() -> str | None:
    """Its script; None where it is not in the cache."""
    if not AXE.is_right(KEPT):
        return None
    return members(KEPT, "", ["axe.min.js"])["axe.min.js"].decode()


if __name__ == "__main__":
    AXE.fetch("the test of accessibility", "install npm")
