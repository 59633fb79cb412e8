"""Names and keywords of countries for market personas.

Here: English names of the countries that card payments commonly come from, and words that local buyers look for on
an invoice or a checkout page. A country without an entry goes by its ISO code and without keywords.
"""

from dataclasses import dataclass

__all__ = ["LOCALES", "Locale", "country_name"]


@dataclass(frozen=True)
class Locale:
    """A country's English name and its billing words."""

    name: str
    keywords: tuple[str, ...]


LOCALES: dict[str, Locale] = {
    "AT": Locale("Austria", ("Rechnung", "Lastschrift")),
    "AU": Locale("Australia", ("tax invoice", "direct debit", "GST")),
    "BE": Locale("Belgium", ("facture", "factuur", "Bancontact")),
    "BR": Locale("Brazil", ("nota fiscal", "boleto", "Pix")),
    "CA": Locale("Canada", ("invoice", "pre-authorized debit", "GST")),
    "CH": Locale("Switzerland", ("Rechnung", "facture", "TWINT")),
    "DE": Locale("Germany", ("Rechnung", "Lastschrift", "Umsatzsteuer")),
    "DK": Locale("Denmark", ("faktura", "moms")),
    "ES": Locale("Spain", ("factura", "domiciliación", "IVA")),
    "FI": Locale("Finland", ("lasku", "arvonlisävero")),
    "FR": Locale("France", ("facture", "prélèvement", "TVA")),
    "GB": Locale("the United Kingdom", ("invoice", "direct debit", "VAT")),
    "IE": Locale("Ireland", ("invoice", "direct debit", "VAT")),
    "IN": Locale("India", ("invoice", "UPI", "GST")),
    "IT": Locale("Italy", ("fattura", "addebito diretto", "IVA")),
    "JP": Locale("Japan", ("請求書", "コンビニ払い")),
    "MX": Locale("Mexico", ("factura", "OXXO", "IVA")),
    "NL": Locale("the Netherlands", ("factuur", "incasso", "iDEAL")),
    "NO": Locale("Norway", ("faktura", "mva")),
    "NZ": Locale("New Zealand", ("tax invoice", "direct debit", "GST")),
    "PL": Locale("Poland", ("faktura", "BLIK", "VAT")),
    "PT": Locale("Portugal", ("fatura", "débito direto", "IVA")),
    "SE": Locale("Sweden", ("faktura", "autogiro", "moms")),
    "SG": Locale("Singapore", ("invoice", "PayNow", "GST")),
    "US": Locale("the United States", ("invoice", "ACH", "sales tax")),
}


def country_name(code: str) -> str:
    """English name, or the code where no name is kept."""
    return LOCALES[code].name if code in LOCALES else code
