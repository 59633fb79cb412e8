"""Reading a column of an export in SQL: by any of its names, in any type it may come in, or as a failure.

Here: how a text, a whole number, a flag, a time, an exact number, an amount in major units or a status word is
read, and when a value counts as unreadable. Not here: which columns a table has (`pipeline`, `dashboard`). The
names and types that Stripe uses differ between warehouses and years, so a column declares all of them and the
file decides; names are compared without regard to case.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["SQL_TYPES", "Kind", "Present", "Read", "Readable", "literal", "quoted"]

Kind = Literal["text", "whole", "flag", "moment", "exact", "amount", "words"]
Present = Mapping[str, tuple[str, str]]
"""Columns of a file: lower-case name → its name and its DuckDB type."""

SQL_TYPES: dict[Kind, str] = {
    "text": "VARCHAR",
    "whole": "BIGINT",
    "flag": "BOOLEAN",
    "moment": "TIMESTAMP WITH TIME ZONE",
    "exact": "VARCHAR",
    "amount": "BIGINT",
    "words": "VARCHAR",
}
_INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"}
_TRUE, _FALSE = "('true', 't', 'yes', 'y', '1')", "('false', 'f', 'no', 'n', '0')"
_DECIMAL = "DECIMAL(30, 8)"
# Bounded, so that no arithmetic on it can overflow.
_PLAIN_NUMBER = "'-?[0-9]{1,15}(\\.[0-9]{1,8})?'"
_LAST_SECOND = 253_402_300_799  # the end of the year 9999


@dataclass(frozen=True, slots=True)
class Readable:
    """A column in SQL: its value, the condition under which it could not be read, and where it was read."""

    value: str
    failed: str | None
    source: str | None


@dataclass(frozen=True, slots=True)
class Read:
    """How a column is read: its kind and the names it may have, the first that is there wins.

    `words` maps lower-case words to values; a word that is not there is a failure. `currency` is the name of the
    column that tells an amount's currency. `missing` is the SQL value when no name is there.
    """

    kind: Kind
    names: tuple[str, ...]
    words: Mapping[str, str] = field(default_factory=dict)
    currency: tuple[str, ...] = ()
    missing: str = "NULL"

    def find(self, present: Present) -> tuple[str, str] | None:
        """Name and type of the column in a file."""
        return next((present[name.lower()] for name in self.names if name.lower() in present), None)

    def sql(self, present: Present, *, exponents: Mapping[str, int]) -> Readable:
        """The column of a file as SQL."""
        found = self.find(present)
        if found is None:
            return Readable(f"CAST({self.missing} AS {SQL_TYPES[self.kind]})", None, None)
        name, type_ = found
        column = quoted(name)
        value, certain = self._convert(column, type_, present, exponents)
        given = f"{column} IS NOT NULL" if type_ != "VARCHAR" else f"NULLIF(trim({column}), '') IS NOT NULL"
        return Readable(value, None if certain else f"({given} AND ({value}) IS NULL)", column)

    def _convert(
        self, column: str, type_: str, present: Present, exponents: Mapping[str, int]
    ) -> tuple[str, bool]:
        """The value, null where it cannot be read, and whether it always can."""
        text = f"NULLIF(trim(CAST({column} AS VARCHAR)), '')"
        match self.kind:
            case "text":
                return text, True
            case "whole" if type_ in _INTEGERS:
                return f"CAST({column} AS BIGINT)", True
            case "whole":
                number = f"TRY_CAST({text} AS {_DECIMAL})"
                return f"CASE WHEN {number} = trunc({number}) THEN TRY_CAST({number} AS BIGINT) END", False
            case "flag" if type_ == "BOOLEAN":
                return column, True
            case "flag":
                return (
                    f"CASE WHEN lower({text}) IN {_TRUE} THEN true WHEN lower({text}) IN {_FALSE} THEN false END",
                    False,
                )
            case "moment":
                return _moment(column, text, type_)
            case "exact" if type_ in _INTEGERS | {"DOUBLE", "FLOAT"} or type_.startswith("DECIMAL"):
                return f"CAST({column} AS VARCHAR)", True
            case "exact":
                return f"CASE WHEN regexp_full_match({text}, '-?[0-9]+(\\.[0-9]+)?') THEN {text} END", False
            case "amount":
                return self._amount(text, present, exponents), False
            case "words":
                branches = " ".join(
                    f"WHEN {literal(word)} THEN {literal(value)}" for word, value in self.words.items()
                )
                return f"CASE lower({text}) {branches} END", False
        raise AssertionError(self.kind)

    def _amount(self, text: str, present: Present, exponents: Mapping[str, int]) -> str:
        """Major to minor units, exact: null when the currency is unknown or has fewer decimals than the amount."""
        found = next((present[name.lower()] for name in self.currency if name.lower() in present), None)
        currency = "NULL" if found is None else f"lower(trim({quoted(found[0])}))"
        factors = " ".join(f"WHEN {literal(code)} THEN {10**power}" for code, power in sorted(exponents.items()))
        usual = f"CASE WHEN regexp_full_match({currency}, '[a-z]{{3}}') THEN 100 END"
        # An account may have no such currency at all, and CASE wants a branch.
        factor = f"CASE {currency} {factors} ELSE {usual} END" if factors else usual
        # Grouping commas are refused: 1,234 may be a thousand or, written elsewhere, one and a bit.
        number = f"CASE WHEN regexp_full_match({text}, {_PLAIN_NUMBER}) THEN TRY_CAST({text} AS {_DECIMAL}) END"
        minor = f"({number}) * ({factor})"
        return f"CASE WHEN {minor} = trunc({minor}) THEN TRY_CAST({minor} AS BIGINT) END"


def _moment(column: str, text: str, type_: str) -> tuple[str, bool]:
    if type_ == "TIMESTAMP WITH TIME ZONE":
        return column, True
    if type_.startswith("TIMESTAMP") or type_ == "DATE":
        return f"CAST({column} AS TIMESTAMP) AT TIME ZONE 'UTC'", True
    if type_ in _INTEGERS or type_ == "DOUBLE":
        return (
            f"CASE WHEN {column} BETWEEN 0 AND {_LAST_SECOND} THEN to_timestamp(CAST({column} AS DOUBLE)) END",
            False,
        )
    # The session's zone is UTC, so a text without offset is UTC, as the names of such columns say.
    return f"TRY_CAST({text} AS TIMESTAMP WITH TIME ZONE)", False


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """A text as an SQL literal."""
    return "'" + value.replace("'", "''") + "'"
