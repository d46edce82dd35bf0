"""The test suite's own option, which keeps CI from passing by skipping."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
CONFTEST = Path(__file__).parent.parent / "conftest.py"


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    """Three tests that skip, each in its own way, and one that is expected to fail."""
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")
    pytester.makeconftest(CONFTEST.read_text())
    pytester.makepyfile(
        test_a="""
            import pytest
            @pytest.mark.skip(reason="no firefox")
            def test_by_mark(): pass
            def test_by_call(): pytest.skip("no firefox")
            @pytest.mark.xfail(reason="known")
            def test_known(): assert False
        """,
        test_b="import pytest; pytest.skip('no firefox', allow_module_level=True)",
    )
    return pytester


def test_skips_fail_where_they_are_forbidden(suite: pytest.Pytester) -> None:
    result = suite.runpytest("--forbid-skips-except=mediamtx", "--continue-on-collection-errors")
    result.assert_outcomes(failed=1, errors=2, xfailed=1)
    result.stdout.fnmatch_lines(["*Skipped: no firefox. Skips are forbidden here.*"])


@pytest.mark.parametrize("arguments", [(), ("--forbid-skips-except=FireFox",)])
def test_skips_are_fine_otherwise_and_where_their_reason_is_allowed(
    suite: pytest.Pytester, arguments: tuple[str, ...]
) -> None:
    suite.runpytest(*arguments).assert_outcomes(skipped=3, xfailed=1)
