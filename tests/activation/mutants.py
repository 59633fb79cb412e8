"""Mutants of the ledger's modules, one small change each, and whether the tests notice.

A mutant is a module whose source has one comparison, condition, constant, state name or statement changed. Each is
tried in a forked process that loads the changed module under its own name and runs the fast ledger tests.
"""

import ast
import contextlib
import copy
import importlib.abc
import importlib.machinery
import os
import random
import sys
import types
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.activation.processes import fork

__all__ = ["Mutant", "is_noticed", "mutants_of"]

_SWAPS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_STATES = ("intent", "sent", "unknown", "done", "failed", "held")
# What only a reader sees: its change cannot break a promise.
_FOR_READERS = ("reason", "next_action", "about", "event")


@dataclass(frozen=True)
class Mutant:
    """One changed module."""

    module: str
    line: int
    what: str
    source: str


class _Changes(ast.NodeVisitor):
    """Every place where a change makes sense, as (line, description, edit)."""

    def __init__(self) -> None:
        self.found: list[tuple[int, str, int, int]] = []
        self._count = 0

    def visit(self, node: ast.AST) -> None:
        index, self._count = self._count, self._count + 1
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "dataclass":
            # How a value class is declared is no rule of the ledger; its nodes are still counted.
            self._count += sum(1 for _ in ast.walk(node)) - 1
            return
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Compare) and type(node.ops[0]) in _SWAPS:
            self.found.append((line, f"{type(node.ops[0]).__name__} swapped", index, 0))
        elif isinstance(node, ast.BoolOp):
            self.found.append((line, "and/or swapped", index, 0))
        elif isinstance(node, ast.If):
            self.found.append((line, "condition negated", index, 0))
        elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
            self.found.append((line, f"{node.value} negated", index, 0))
        elif isinstance(node, ast.Tuple) and len(node.elts) > 1 and all(_is_state(one) for one in node.elts):
            self.found += [(line, f"state {place} left out", index, place) for place in range(len(node.elts))]
        elif isinstance(node, ast.keyword) and node.arg == "state" and _is_state(node.value):
            self.found.append((line, "another state written", index, 0))
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            self.found.append((line, "call left out", index, 0))
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            self.found.append((line, "plus became minus", index, 0))
        self.generic_visit(node)


def _is_state(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value in _STATES


class _Edit(ast.NodeTransformer):
    def __init__(self, index: int, place: int) -> None:
        self._index, self._place, self._count = index, place, 0

    def visit(self, node: ast.AST) -> ast.AST:
        index, self._count = self._count, self._count + 1
        self.generic_visit(node)
        return self._changed(node) if index == self._index else node

    def _changed(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.Compare):
            node.ops[0] = _SWAPS[type(node.ops[0])]()
        elif isinstance(node, ast.BoolOp):
            node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        elif isinstance(node, ast.If):
            node.test = ast.UnaryOp(op=ast.Not(), operand=node.test)
        elif isinstance(node, ast.Constant):
            node.value = not node.value
        elif isinstance(node, ast.Tuple):
            del node.elts[self._place]
        elif isinstance(node, ast.keyword):
            assert isinstance(node.value, ast.Constant)
            node.value = ast.Constant("held" if node.value.value != "held" else "done")
        elif isinstance(node, ast.BinOp):
            node.op = ast.Sub()
        else:
            return ast.copy_location(ast.Pass(), node)
        return node


def mutants_of(modules: Sequence[str], count: int, *, seed: int) -> list[Mutant]:
    """`count` seeded mutants of the modules."""
    found: list[Mutant] = []
    for module in modules:
        path = Path(*module.split(".")).with_suffix(".py")
        tree = ast.parse(path.read_text(encoding="utf-8"))
        places = _Changes()
        places.visit(tree)
        for line, what, index, place in places.found:
            changed = ast.fix_missing_locations(_Edit(index, place).visit(copy.deepcopy(tree)))
            found.append(Mutant(module, line, what, ast.unparse(changed)))
    random.Random(seed).shuffle(found)
    return found[:count]


class _Instead(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives the mutant's source for its module's name."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(self, name: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        return importlib.machinery.ModuleSpec(name, self) if name == self._mutant.module else None

    def exec_module(self, module: types.ModuleType) -> None:
        exec(compile(self._mutant.source, module.__name__, "exec"), module.__dict__)


def is_noticed(mutant: Mutant, tests: Sequence[str]) -> bool:
    """Whether any of the tests fails with the mutant in place."""

    def work() -> None:
        for name in [name for name in sys.modules if name.split(".")[0] in ("activation", "tests")]:
            del sys.modules[name]
        sys.meta_path.insert(0, _Instead(mutant))
        nowhere = Path(os.devnull).open("w")  # noqa: SIM115 - the process ends with it
        with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-m", "not soak", *tests])
        raise SystemExit(int(code))

    return fork(work).wait() != 0
