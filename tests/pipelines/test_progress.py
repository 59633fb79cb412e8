"""Progress without a terminal: a line when a task ends, and now and then before."""

import io

from rich.console import Console

from pipelines.progress import TerminalProgress


def test_a_task_prints_one_line_when_it_ends_and_one_every_five_seconds_before() -> None:
    out, now = io.StringIO(), [0.0]
    progress = TerminalProgress(Console(file=out, width=120), monotonic=lambda: now[0])
    with progress:
        for second in range(0, 12, 2):
            now[0] = float(second)
            progress.report("stripe/charges", second * 100, None, "24 requests/s")
        progress.report("stripe/charges", 1_100, 1_100, "done")
        progress.report("stripe/charges", 1_100, 1_100, "done")
    lines = [" ".join(line.split()) for line in out.getvalue().splitlines()]
    assert lines == ["stripe/charges 600 24 requests/s", "stripe/charges 1,100 done"]


def test_bars_are_drawn_on_a_terminal() -> None:
    out = io.StringIO()
    with TerminalProgress(Console(file=out, width=120, force_terminal=True)) as progress:
        progress.report("stripe/charges", 50, 100, "half")
        progress.report("stripe/charges", 100, 100, "all")
    assert "stripe/charges" in out.getvalue()
    assert "all" in out.getvalue()
