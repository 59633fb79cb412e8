"""Strict JSON: what two readers could understand differently never gets in."""

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.strict_json import MAX_DEPTH, StrictJsonError, strict_loads

REFUSED = {
    "not a number": (b'{"a": NaN}', "syntax"),
    "an infinity": (b"[Infinity]", "syntax"),
    "a negative infinity": (b"[-Infinity]", "syntax"),
    "a float that overflows to infinity": (b"[1e999]", "syntax"),
    "a lone high surrogate": (b'"\\ud800"', "syntax"),
    "a lone low surrogate": (b'"\\udc00"', "syntax"),
    "a surrogate in raw UTF-8": (b'"\xed\xa0\x80"', "syntax"),
    "invalid UTF-8": (b'"\xff"', "syntax"),
    "a byte order mark": (b"\xef\xbb\xbf{}", "syntax"),
    "a duplicate key": (b'{"id": "evt_1", "id": "evt_2"}', "duplicate key"),
    "a duplicate key deep inside": (b'{"a": [{"b": {"c": 1, "c": 1}}]}', "duplicate key"),
    "a duplicate key written with an escape": (b'{"a": 1, "\\u0061": 2}', "duplicate key"),
    "an integer of 5,000 digits": (b"1" * 5_000, "syntax"),
    "an integer of 300 digits": (b"1" * 300, "number beyond 64 bits"),
    "an integer just beyond 64 bits": (b"9223372036854775808", "number beyond 64 bits"),
    "arrays one level too deep": (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "depth"),
    "objects one level too deep": (b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1), "depth"),
    "a hundred thousand open brackets": (b"[" * 100_000, "depth"),
    "nothing": (b"", "syntax"),
    "text after the value": (b"{} {}", "syntax"),
    "a trailing comma": (b"[1,]", "syntax"),
    "a comment": (b"[1] // one", "syntax"),
    "a control character in a string": (b'"\t"', "syntax"),
    "a null byte after the value": (b"{}\x00", "syntax"),
    "a leading zero": (b"[01]", "syntax"),
    "single quotes": (b"{'a': 1}", "syntax"),
    "an unterminated string full of brackets": (b'"' + b"[" * 100, "depth"),
}


@pytest.mark.parametrize(("raw", "reason"), REFUSED.values(), ids=REFUSED)
def test_is_refused(raw: bytes, reason: str) -> None:
    with pytest.raises(StrictJsonError) as refused:
        strict_loads(raw)
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        pytest.param(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, None, id="arrays as deep as allowed"),
        pytest.param(b'{"a": "' + b"[{" * 500 + b'"}', {"a": "[{" * 500}, id="brackets inside a string"),
        pytest.param(b'{"a": "\\"[[["}', {"a": '"[[['}, id="an escaped quote before brackets"),
        pytest.param(b'{"a\\\\": 1}', {"a\\": 1}, id="an escaped backslash before a quote"),
        pytest.param(b'"\\ud83d\\ude00"', "\N{GRINNING FACE}", id="a surrogate pair"),
        pytest.param(b"[9223372036854775807, -9223372036854775808]", [2**63 - 1, -(2**63)], id="64-bit integers"),
        pytest.param(b"[0.1, -0, 1e2]", [0.1, 0, 100.0], id="ordinary numbers"),
    ],
)
def test_is_read(raw: bytes, value: object) -> None:
    read = strict_loads(raw)
    assert value is None or read == value


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(_JSON, st.booleans())
@settings(max_examples=200, deadline=None)
def test_reads_back_whatever_is_unambiguous(value: object, ascii_only: bool) -> None:
    try:
        raw = json.dumps(value, ensure_ascii=ascii_only).encode()
    except UnicodeEncodeError:
        return  # a dictionary key drawn with a surrogate cannot be written at all
    try:
        assert strict_loads(raw) == value
    except StrictJsonError:
        assert b"\\ud" in raw.lower()  # such a key, written as an escape


@given(st.binary(max_size=300) | st.text(alphabet='[]{}",:\\0e-', max_size=200).map(str.encode))
@settings(max_examples=300, deadline=None)
def test_never_fails_in_any_other_way(raw: bytes) -> None:
    with contextlib.suppress(StrictJsonError):
        strict_loads(raw)
