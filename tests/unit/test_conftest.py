"""The options of the test suite: forbidden skips, reruns only for a reason, and the order of files."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
CONFTEST = Path(__file__).parent.parent / "conftest.py"


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    """Three tests that skip in different ways, and one expected failure."""
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")
    pytester.makeconftest(CONFTEST.read_text(encoding="utf-8"))
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


def test_skips_fail_where_forbidden(suite: pytest.Pytester) -> None:
    result = suite.runpytest("--forbid-skips-except=mediamtx", "--continue-on-collection-errors")
    result.assert_outcomes(failed=1, errors=2, xfailed=1)
    result.stdout.fnmatch_lines(["*Skipped: no firefox (skips are forbidden here)*"])


@pytest.mark.parametrize("arguments", [(), ("--forbid-skips-except=FireFox",)])
def test_skips_pass_otherwise_or_with_an_allowed_reason(suite: pytest.Pytester, arguments: tuple[str, ...]) -> None:
    suite.runpytest(*arguments).assert_outcomes(skipped=3, xfailed=1)


def test_reruns_need_a_reason(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")
    pytester.makeconftest(CONFTEST.read_text(encoding="utf-8"))
    pytester.makepyfile(
        test_a="""
            import pytest
            from support.reruns import rerun
            runs = []
            @rerun("counts runs", times=1)
            def test_second_run_passes():
                runs.append(1)
                assert len(runs) == 2
        """
    )
    pytester.runpytest().stdout.fnmatch_lines(["*1 passed, 1 rerun*"])
    pytester.makepyfile(test_b="import pytest\n@pytest.mark.flaky(reruns=1)\ndef test_x(): pass")
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*test_b.py::test_x has reruns without a reason*"])


def test_what_measures_waits_runs_alone(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmarkers = alone\nasyncio_default_fixture_loop_scope = function")
    pytester.makeconftest(CONFTEST.read_text(encoding="utf-8"))
    pytester.makepyfile(
        test_a="""
            from support.reruns import measures_waits, real_time_audio
            @measures_waits
            def test_wait(): pass
            @real_time_audio
            def test_audio(): pass
        """
    )
    pytester.runpytest("-m", "alone").assert_outcomes(passed=1, deselected=1)


def test_files_that_keep_a_processor_busy_are_spread_and_short_ones_are_last(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmarkers = alone\nasyncio_default_fixture_loop_scope = function")
    pytester.makeconftest(CONFTEST.read_text(encoding="utf-8"))
    names = ("unit/a", "core/b", "core/c", "browser/d", "interop/e", "interop/f", "interop/g")
    for folder, name in (each.split("/") for each in names):
        folder_path = pytester.path / folder
        folder_path.mkdir(exist_ok=True)
        (folder_path / f"test_order_{name}.py").write_text(
            "def test_second(): pass\ndef test_first(): pass", encoding="utf-8"
        )
    result = pytester.runpytest("--collect-only", "-q", "unit", "core", "browser", "interop")
    found = [line.replace("test_order_", "").replace(".py", "") for line in result.outlines if "::" in line]
    order = ("core/b", "browser/d", "interop/e", "core/c", "interop/f", "interop/g", "unit/a")
    assert found == [f"{file}::{test}" for file in order for test in ("test_second", "test_first")]
