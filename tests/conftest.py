"""Make the checkout importable as ``ansible_collections.resilient.platform`` wherever it was cloned to."""

from __future__ import annotations

import os
import pathlib
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent


def _link_collection() -> str:
    """Return a directory whose ``ansible_collections/resilient/platform`` is this checkout."""
    parts = ROOT.parts
    if parts[-3:] == ("ansible_collections", "resilient", "platform"):
        return str(ROOT.parents[2])
    base = pathlib.Path(tempfile.mkdtemp(prefix="resilient-platform-"))
    space = base / "ansible_collections" / "resilient"
    space.mkdir(parents=True)
    (space / "platform").symlink_to(ROOT)
    return str(base)


_COLLECTIONS = os.environ.get("ANSIBLE_COLLECTIONS_PATH", "").split(":")[0]
if not _COLLECTIONS or (pathlib.Path(_COLLECTIONS) / "ansible_collections/resilient/platform").resolve() != ROOT:
    _COLLECTIONS = _link_collection()
os.environ["ANSIBLE_COLLECTIONS_PATH"] = _COLLECTIONS
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "tests" / "unit"))

# Ansible's own finder must be in place before the first import of the collection.
from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder  # noqa: E402

_AnsibleCollectionFinder(paths=[_COLLECTIONS])._install()
