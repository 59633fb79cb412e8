"""Why a step failed, in one line: the innermost message, and an interruption in words."""

import sys

import dagster as dg
import pytest
from dagster._core.errors import DagsterExecutionInterruptedError  # Dagster names it nowhere else.
from dagster._utils.error import serializable_error_info_from_exc_info

from pipelines.causes import root_cause


@pytest.mark.parametrize(
    ("inner", "told"),
    [
        (ValueError("the key is\n  refused"), "the key is refused"),
        (KeyError(), "KeyError"),
        (
            DagsterExecutionInterruptedError(),
            "interrupted; what was read and paid is kept, and the next run goes on from there",
        ),
    ],
    ids=["a message of two lines", "no message", "an interruption"],
)
def test_the_innermost_error_is_told_in_one_line(inner: BaseException, told: str) -> None:
    try:
        try:
            raise inner
        except BaseException as error:
            raise dg.Failure("step failed") from error
    except dg.Failure:
        found = serializable_error_info_from_exc_info(sys.exc_info())
    assert root_cause(found) == told
