"""Tests of the test tools that the other tests rely on."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.clips import draw_number, read_number

pytest_plugins = ["pytester"]


@pytest.mark.parametrize(("width", "height"), [(64, 48), (63, 47), (160, 90)])
def test_numbers_survive_drawing_and_scaling(width: int, height: int) -> None:
    for number in (0, 1, 5, 777, 2048, 4095):
        image = draw_number(number, width, height)
        assert image.shape == (height, width, 3)
        assert read_number(image) == number
        assert read_number(np.repeat(image, 2, axis=1)) == number


def test_a_logged_error_fails_a_test_unless_it_is_expected(
    pytester: pytest.Pytester, expected_errors: list[str]
) -> None:
    expected_errors.append("trouble")  # the inner run shares this process, so its errors arrive here too
    pytester.makeconftest("from tests.conftest import _no_unexpected_error, expected_errors")
    pytester.makepyfile(
        """
        import logging

        def test_quiet():
            logging.warning("a warning is no error")

        def test_expected(expected_errors):
            expected_errors.append("known trouble")
            logging.error("some known trouble")

        def test_unexpected():
            logging.error("trouble")
        """
    )
    pytester.runpytest("-p", "no:cacheprovider").assert_outcomes(passed=3, errors=1)
