"""The documentation agrees with the code: links, commands, imports, paths, and plain words."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
import typing
from pathlib import Path

import pytest
import typer

from ich_cli.main import COMMANDS, app

ROOT = Path(__file__).parents[1]
GUIDES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
CARDS = [ROOT / "model_card.md", ROOT / "hub/default/README.md", ROOT / "hub/space/README.md"]
MAPS = [ROOT / "CONTRIBUTING.md", ROOT / "docs/architecture.md"]  # these name files and functions

# Words of an earlier style; the plain word is in the comment.
BANNED = [
    r"\bdesk\b",  # service
    r"\bseams?\b",  # edge, border
    r"\bweaves?\b",  # merge
    r"\bhunger\b",  # memory use
    r"\blimen\b",  # threshold
    r"\bbears?\b",  # tolerate
    r"\bsweeps?\b",  # remove
    r"\baside\b",  # beside, apart
    r"\bwish(es)?\b",  # request
    r"\btold\b|\btells? of\b",  # say, report, describe
    r"\bflatters?\b",  # is optimistic
    r"\btransplants?\b",  # copy-paste
    r"\bhealthy twins?\b",  # inpainted slice
    r"\bhonest(ly)?\b",  # correct, plausible
    r"\bnobody knows\b",  # unknown
    r"\bbundle that ships\b",  # default bundle
    r"\bof the house\b",  # project
    r"--(oof|mix|transplants|positives)\b",  # renamed options
    r"--head cells\b",  # --head patch
]


def read(path: Path) -> str:
    """Return the text of a page, its template fields filled in."""
    return re.sub(r"\{\{.*?\}\}", "owner/name", path.read_text("utf-8"))


def prose(path: Path) -> str:
    """Return the text of a page without its code blocks."""
    return re.sub(r"^```.*?^```", "", read(path), flags=re.M | re.S)


def blocks(path: Path, language: str) -> list[str]:
    """Return the code blocks of a page in a language."""
    found = re.findall(r"^```(\w*)\n(.*?)^```", read(path), flags=re.M | re.S)
    return [body for name, body in found if name == language]


def anchors(path: Path) -> set[str]:
    """Return the anchors that GitHub makes for the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", prose(path), flags=re.M)
    plain = [re.sub(r"[^\w\- ]", "", title.lower()).strip() for title in titles]
    return {title.replace(" ", "-") for title in plain}


@pytest.mark.parametrize("path", [*GUIDES, *CARDS], ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(path: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", prose(path))
    broken = []
    for link in (one or other for one, other in links):
        if re.match(r"https?:|owner/name", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name) if name else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def command_lines(path: Path) -> list[str]:
    """Return every `ich` command of a page's code blocks, with its shell variables replaced."""
    found = []
    for block in blocks(path, ""):
        joined = re.sub(r"\\\n\s*", " ", block)
        variables = dict(re.findall(r'^(\w+)="([^"]*)"', joined, flags=re.M))
        for name, value in variables.items():
            joined = joined.replace(f"${name}", value)
        found += re.findall(r"^(?:\$ )?(?:\S*/)?ich (.+)$", joined, flags=re.M)
        found += re.findall(r"-m ich_cli (.+)$", joined, flags=re.M)
    return found


def inline_commands(path: Path) -> list[str]:
    names = "|".join(COMMANDS)
    return re.findall(rf"`ich ((?:{names})\b[^`…]*)`", re.sub(r"\s*\n\s*", " ", prose(path)))


def command_of(words: list[str]) -> typing.Any:
    group: typing.Any = typer.main.get_command(app)
    return group.get_command(None, words[0])


@pytest.mark.parametrize("path", [*GUIDES, *CARDS], ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_parse(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for line in command_lines(path):
        words = shlex.split(line, comments=True)
        if not words[0].startswith("-"):
            command_of(words).make_context(words[0], words[1:])
    assert capsys.readouterr().err == ""  # no old spelling of an option


@pytest.mark.parametrize("path", [*GUIDES, *CARDS], ids=lambda path: str(path.relative_to(ROOT)))
def test_options_named_in_the_text_exist(path: Path) -> None:
    unknown = []
    for line in inline_commands(path):
        words = shlex.split(line)
        known = {
            name
            for parameter in command_of(words).params
            if not getattr(parameter, "hidden", False)
            for name in (*parameter.opts, *parameter.secondary_opts, "--help")
        }
        options = [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]
        unknown += [f"{words[0]} {option}" for option in options if option not in known]
    assert unknown == []


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: str(path.relative_to(ROOT)))
def test_python_examples_import_what_exists(path: Path) -> None:
    for block in blocks(path, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("ich_cli"):
                module = importlib.import_module(str(node.module))
                assert [one.name for one in node.names if not hasattr(module, one.name)] == []


def names_in(path: Path) -> set[str]:
    """Return the functions, classes and methods that a module defines."""
    found = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {
                f"{node.name}.{one.name}" for one in node.body if isinstance(one, ast.FunctionDef)
            }
    return found


@pytest.mark.parametrize("path", MAPS, ids=lambda path: path.name)
def test_files_and_functions_that_are_named_exist(path: Path) -> None:
    missing = []
    text = prose(path)
    for name, _, function in (
        one.partition(":") for one in re.findall(r"`([\w./]+(?:/|\.\w+)(?::[\w.]+)?)`", text)
    ):
        if "/" not in name:
            continue
        places = [ROOT / name, ROOT / "gradio_app" / name]
        found = next((one for one in places if one.exists()), None)
        if found is None or (function and function not in names_in(found)):
            missing.append(f"{name}:{function}" if function else name)
    assert missing == []


@pytest.mark.parametrize("path", [*GUIDES, *CARDS], ids=lambda path: str(path.relative_to(ROOT)))
def test_words_are_plain(path: Path) -> None:
    text = prose(path)
    assert [found.group() for word in BANNED for found in re.finditer(word, text, re.I)] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_words_of_the_help_are_plain(name: str) -> None:
    command = command_of([name])
    texts = [COMMANDS[name], command.help, *(getattr(one, "help", "") for one in command.params)]
    text = "\n".join(filter(None, texts))
    assert [found.group() for word in BANNED for found in re.finditer(word, text, re.I)] == []
