"""What the fault tests share: a drill that is killed and resumed, looks at the platform from outside, and a search for secrets."""

from __future__ import annotations

import os

import pytest

LONG = bool(os.environ.get("RESILIENT_LONG_TESTS"))
LONG_ONLY = pytest.mark.skipif(not LONG, reason="one of its kind is in make test, all of them in make test-all (RESILIENT_LONG_TESTS=1)")
