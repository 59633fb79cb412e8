"""Pictures of a back-test as SVG text, each under a thousand characters, so that a UI can show them inline."""

from collections.abc import Sequence

from segments.prediction.backtest import Split

__all__ = ["calibration_svg", "gains_svg"]

_WIDE, _HIGH = 150, 100


def calibration_svg(split: Split) -> str:
    """Rate seen over mean forecast, by tenths of the forecast; the diagonal is a perfect forecast."""
    top = max([value for bin_ in split.bins for value in bin_[:2]] or [1.0]) or 1.0
    dots = "".join(
        f'<circle cx="{_x(forecast / top)}" cy="{_y(seen / top)}" r="2"/>' for forecast, seen, _ in split.bins
    )
    return _frame(f"0 to {top:.0%}: seen over forecast", dots)


def gains_svg(split: Split) -> str:
    """Share of the ends that the first tenths by forecast catch; the diagonal is chance."""
    tenths = [(at / 10, caught) for at, caught in enumerate(split.gains)]
    return _frame("ends caught over share contacted", _line(tenths))


def _line(points: Sequence[tuple[float, float]]) -> str:
    path = " ".join(f"{_x(x)},{_y(y)}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="#4f46e5"/>'


def _frame(title: str, inside: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * _WIDE}" viewBox="0 0 {_WIDE} {_HIGH + 12}">'
        f'<path d="M0 0V{_HIGH}H{_WIDE}M0 {_HIGH}L{_WIDE} 0" fill="none" stroke="#bbb"/>'
        f'<g fill="#4f46e5">{inside}</g><text y="{_HIGH + 10}" font-size="8">{title}</text></svg>'
    )


def _x(share: float) -> int:
    return round(share * _WIDE)


def _y(share: float) -> int:
    return round((1 - share) * _HIGH)
