"""Signatures: 40 edges, and 300 flipped bodies (3,000 in the soak): no forgery gets in, no true one is refused."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from stripe import WebhookSignature

from ingest.webhooks.signature import (
    SignatureRefusedError,
    sign_stripe,
    verify_mavera,
    verify_stripe,
)

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
BODY = '{"id": "evt_1", "object": "event", "note": "ü"}'.encode()
OLD, NEW, OTHER = "whsec_old", "whsec_new", "whsec_other"
GOOD = sign_stripe(BODY, secret=NEW, at=NOW)
STAMP = int(NOW.timestamp())
V1 = GOOD.split("v1=")[1]


def _aged(seconds: float) -> str:
    return sign_stripe(BODY, secret=NEW, at=NOW - timedelta(seconds=seconds))


def _by(secret: str) -> str:
    return sign_stripe(BODY, secret=secret, at=NOW).split("v1=")[1]


ACCEPTED = {
    "just signed": GOOD,
    "299 seconds old": _aged(299),
    "300 seconds old": _aged(300),
    "299 seconds in the future": _aged(-299),
    "300 seconds in the future": _aged(-300),
    "signed with the other live secret": sign_stripe(BODY, secret=OLD, at=NOW),
    "one v1 per live secret": f"t={STAMP},v1={_by(OLD)},v1={_by(NEW)}",
    "the right v1 after a foreign one": f"t={STAMP},v1={_by(OTHER)},v1={V1}",
    "the right v1 before a foreign one": f"t={STAMP},v1={V1},v1={_by(OTHER)}",
    "a v0 beside the v1": f"t={STAMP},v0={_by(OTHER)},v1={V1}",
    "an unknown scheme beside the v1": f"t={STAMP},v2=abc,v1={V1}",
    "the signature before the time": f"v1={V1},t={STAMP}",
    "spaces after the commas": f"t={STAMP}, v1={V1}",
    "twenty foreign v1 and a right one": f"t={STAMP}," + f"v1={_by(OTHER)}," * 20 + f"v1={V1}",
}
REFUSED = {
    "301 seconds old": (_aged(301), "outside tolerance"),
    "301 seconds in the future": (_aged(-301), "outside tolerance"),
    "a day old": (_aged(86_400), "outside tolerance"),
    "a year in the future": (_aged(-31_536_000), "outside tolerance"),
    "signed by nobody we know": (sign_stripe(BODY, secret=OTHER, at=NOW), "no match"),
    "signed with an empty secret": (sign_stripe(BODY, secret="", at=NOW), "no match"),
    "v0 only, with the right value": (f"t={STAMP},v0={V1}", "no v1"),
    "v1 of another time": (f"t={STAMP - 1},v1={V1}", "no match"),
    "no header": (None, "no usable header"),
    "an empty header": ("", "no usable header"),
    "a time alone": (f"t={STAMP}", "no v1"),
    "a signature alone": (f"v1={V1}", "no usable header"),
    "an empty v1": (f"t={STAMP},v1=", "no v1"),
    "a v1 cut short": (f"t={STAMP},v1={V1[:-1]}", "no v1"),
    "a v1 with something added": (f"t={STAMP},v1={V1}0", "no v1"),
    "a v1 in upper case": (f"t={STAMP},v1={V1.upper()}", "no v1"),
    "a v1 that is not hex": (f"t={STAMP},v1={'z' * 64}", "no v1"),
    "a v1 of other digits": (f"t={STAMP},v1={'٠' * 64}", "no v1"),
    "two times": (f"t={STAMP},t={STAMP - 1},v1={V1}", "no usable header"),
    "a time in words": (f"t=now,v1={V1}", "no usable header"),
    "a negative time": (f"t=-{STAMP},v1={V1}", "no usable header"),
    "a time with a fraction": (f"t={STAMP}.0,v1={V1}", "no usable header"),
    "a time of foreign digits": (f"t={'١' * 10},v1={V1}", "no usable header"),
    "a time beyond every calendar": (f"t={'9' * 400},v1={V1}", "no usable header"),
    "another separator": (f"t={STAMP};v1={V1}", "no usable header"),
    "a header of 10,000 signatures": (f"t={STAMP}," + f"v1={V1}," * 10_000, "no usable header"),
}


def test_there_are_forty_edges() -> None:
    assert len(ACCEPTED) + len(REFUSED) == 40


@pytest.mark.parametrize("header", ACCEPTED.values(), ids=ACCEPTED)
def test_a_true_signature_is_accepted(header: str) -> None:
    verify_stripe(BODY, header, secrets=[OLD, NEW], now=NOW)


@pytest.mark.parametrize(("header", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_false_signature_is_refused(header: str | None, reason: str) -> None:
    with pytest.raises(SignatureRefusedError) as refused:
        verify_stripe(BODY, header, secrets=[OLD, NEW], now=NOW)
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    "flips",
    [pytest.param(300, id="300 bodies"), pytest.param(3_000, id="3,000 bodies", marks=pytest.mark.soak)],
)
def test_no_flipped_bit_of_body_or_signature_is_accepted(flips: int) -> None:
    chance = random.Random(19)
    body = BODY * 60
    header = sign_stripe(body, secret=NEW, at=NOW)
    verify_stripe(body, header, secrets=[NEW], now=NOW)
    for _ in range(flips):
        target = bytearray(body)
        target[chance.randrange(len(target))] ^= 1 << chance.randrange(8)
        with pytest.raises(SignatureRefusedError):
            verify_stripe(bytes(target), header, secrets=[NEW], now=NOW)
    for place in range(64):
        digits = list(header)
        at = header.index("v1=") + 3 + place
        digits[at] = "0" if digits[at] != "0" else "1"
        with pytest.raises(SignatureRefusedError):
            verify_stripe(body, "".join(digits), secrets=[NEW], now=NOW)


def test_stripes_own_library_accepts_what_we_sign() -> None:
    header = sign_stripe(BODY, secret=NEW, at=datetime.now(UTC))
    assert WebhookSignature.verify_header(BODY.decode(), header, NEW, tolerance=300)


def test_a_time_between_seconds_counts_as_whole_seconds() -> None:
    verify_stripe(BODY, _aged(300), secrets=[NEW], now=NOW + timedelta(microseconds=999_999))


@pytest.mark.parametrize(
    "header",
    [None, "", "sha256=", "sha256=abc", f"sha1={V1}", V1, f"sha256={V1}"],
    ids=["none", "empty", "no digest", "short", "another scheme", "no scheme", "a digest of something else"],
)
def test_a_callback_without_our_signature_is_refused(header: str | None) -> None:
    with pytest.raises(SignatureRefusedError):
        verify_mavera(BODY, header, secret="shared")
