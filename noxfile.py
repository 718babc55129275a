"""nox sessions, for whom collections are tested with ``nox``: the same commands as ``tests/run.sh``, and antsibull-nox's own checks.

``nox -l`` lists them. Ours need nothing installed beforehand: tests/run.sh makes its virtual environment itself.
"""

from __future__ import annotations

import nox

try:
    import antsibull_nox
except ImportError:
    raise SystemExit("antsibull-nox is missing: pip install antsibull-nox") from None

antsibull_nox.load_antsibull_nox_toml()


def _stage(name: str, says: str, default: bool) -> None:
    """Make a session of one stage of tests/run.sh."""

    def run(session: nox.Session) -> None:
        session.run("tests/run.sh", name, *session.posargs, external=True)

    run.__doc__ = says
    nox.session(name=name, python=False, default=default)(run)


_stage("lint", "ansible-lint (production), shellcheck, mypy (strict), changelog and documentation lint", True)
_stage("units", "Unit tests with the coverage of plugins/", True)
_stage("sanity", "ansible-test sanity without ignores", True)
_stage("build", "The Galaxy artefact: built, looked at, installed elsewhere", True)
_stage("docs", "Reference documentation into build/docs", False)
_stage("servers", "Integration tests against servers of their own on loopback", False)
_stage("lab", "Integration tests against the lab", False)
_stage("scenarios", "Molecule on the lab", False)
