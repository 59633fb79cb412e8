"""What holds for the whole project: one module sends what costs money, and nobody else reads the environment."""

import ast
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).parent.parent
_ROOMS = ("ingest", "segments", "activation", "resources", "assets", "pipelines")
_PAID = Path("activation/dispatch.py")
_TELLS = Path("pipelines/notify.py")


def _modules() -> Iterator[tuple[Path, ast.Module]]:
    for room in _ROOMS:
        for path in sorted((_ROOT / room).rglob("*.py")):
            yield path.relative_to(_ROOT), ast.parse(path.read_text(encoding="utf-8"))


def _sends(tree: ast.Module) -> bool:
    """Whether a module builds or sends an HTTP request that is not a read."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr in {"post", "patch"} and node.args:
            return True
        if node.func.attr in {"request", "build_request"} and node.args:
            method = node.args[0]
            if not (isinstance(method, ast.Constant) and method.value in {"GET", "HEAD"}):
                return True
    return False


def _reads_environment(tree: ast.Module) -> bool:
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and (
            node.func.attr == "getenv"
            or (
                node.func.attr == "get"
                and isinstance(node.func.value, ast.Attribute)
                and node.func.value.attr == "environ"
            )
        )
        for node in ast.walk(tree)
    )


def test_one_module_alone_sends_to_a_paid_endpoint() -> None:
    """The other one that sends tells people of failed runs: it knows nothing of Mavera."""
    assert [path for path, tree in _modules() if _sends(tree)] == [_PAID, _TELLS]
    assert "mavera" not in {part for name in _imports(_TELLS) for part in name.lower().split(".")}


def _imports(path: Path) -> set[str]:
    tree = ast.parse((_ROOT / path).read_text(encoding="utf-8"))
    named = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    return named | {one.name for node in ast.walk(tree) if isinstance(node, ast.Import) for one in node.names}


def test_nobody_but_the_settings_reads_the_environment() -> None:
    assert [path for path, tree in _modules() if _reads_environment(tree)] == []


def test_every_module_says_what_it_is() -> None:
    assert [str(path) for path, tree in _modules() if not ast.get_docstring(tree)] == []
