"""The words that briefs may use: closed enumerations, and the families that Stripe's payment methods fall into.

Here: names and their meaning. Not here: the fields that hold them (`briefs`) and how they read in a text
(`templates`). A word that is not here cannot leave.
"""

from enum import StrEnum

__all__ = [
    "Band",
    "Cohort",
    "DisputeReason",
    "Interval",
    "MethodFamily",
    "Signal",
    "Tier",
    "Tone",
    "method_family",
]


class Tier(StrEnum):
    """MRR tiers that can have a persona."""

    ENTERPRISE = "enterprise"
    MID_MARKET = "mid_market"
    SMB = "smb"


class Cohort(StrEnum):
    """Why customers get a retention message: failed payments, a cancellation, or signs of risk."""

    PAYMENT_RECOVERY = "payment_recovery"
    WIN_BACK = "win_back"
    SAVE_OFFER = "save_offer"


class Interval(StrEnum):
    """How customers are billed."""

    MONTH = "month"
    YEAR = "year"
    OTHER = "other"


class MethodFamily(StrEnum):
    """Families of payment methods."""

    CARD = "card"
    BANK_DEBIT = "bank_debit"
    BANK_REDIRECT = "bank_redirect"
    BANK_TRANSFER = "bank_transfer"
    BUY_NOW_PAY_LATER = "buy_now_pay_later"
    REAL_TIME = "real_time"
    VOUCHER = "voucher"
    WALLET = "wallet"
    OTHER = "other"


class Signal(StrEnum):
    """Signs of risk that a message may answer."""

    PAST_DUE = "past_due"
    FAILED_PAYMENT = "failed_payment"
    CARD_EXPIRING = "card_expiring"
    CONTRACTION = "contraction"
    DOWNGRADE = "downgrade"
    OPEN_DISPUTE = "open_dispute"
    RENEWAL_DUE = "renewal_due"
    COUPON_ENDING = "coupon_ending"
    OPEN_INVOICES = "open_invoices"
    TOO_EXPENSIVE = "too_expensive"
    MISSING_FEATURES = "missing_features"
    SWITCHED_SERVICE = "switched_service"
    UNUSED = "unused"
    CUSTOMER_SERVICE = "customer_service"
    TOO_COMPLEX = "too_complex"
    LOW_QUALITY = "low_quality"
    OTHER = "other"


class DisputeReason(StrEnum):
    """Dispute reasons that better copy can help with."""

    PRODUCT_UNACCEPTABLE = "product_unacceptable"
    SUBSCRIPTION_CANCELED = "subscription_canceled"
    UNRECOGNIZED = "unrecognized"
    CREDIT_NOT_PROCESSED = "credit_not_processed"
    PRODUCT_NOT_RECEIVED = "product_not_received"
    DUPLICATE = "duplicate"


class Band(StrEnum):
    """Bands of growth and expansion, in percent."""

    TO_20 = "below 20 percent"
    TO_50 = "20 to 50 percent"
    TO_100 = "50 to 100 percent"
    TO_200 = "100 to 200 percent"
    OVER_200 = "over 200 percent"


class Tone(StrEnum):
    """Tones of a message."""

    PLAIN = "plain"
    WARM = "warm"
    FORMAL = "formal"


_FAMILIES: dict[MethodFamily, str] = {
    MethodFamily.CARD: "card card_present link",
    MethodFamily.BANK_DEBIT: "acss_debit au_becs_debit bacs_debit nz_bank_account sepa_debit us_bank_account",
    MethodFamily.BANK_REDIRECT: "bancontact blik eps fpx giropay ideal p24 sofort twint",
    MethodFamily.BANK_TRANSFER: "customer_balance ach_credit_transfer",
    MethodFamily.BUY_NOW_PAY_LATER: "affirm afterpay_clearpay alma billie klarna zip",
    MethodFamily.REAL_TIME: "pix paynow promptpay swish mobilepay",
    MethodFamily.VOUCHER: "boleto konbini multibanco oxxo",
    MethodFamily.WALLET: "alipay amazon_pay apple_pay cashapp google_pay grabpay kakao_pay naver_pay paypal "
    "revolut_pay samsung_pay wechat_pay",
}
_FAMILY_OF = {name: family for family, names in _FAMILIES.items() for name in names.split()}


def method_family(stripe_type: str) -> MethodFamily:
    """The family of a Stripe payment method type; an unknown type is `other`."""
    return _FAMILY_OF.get(stripe_type, MethodFamily.OTHER)
