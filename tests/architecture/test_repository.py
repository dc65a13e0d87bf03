"""What is in git can be given to anyone: no addresses of registries, no paths of one machine, nothing huge."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from speechlane import __version__

pytestmark = pytest.mark.architecture

LARGEST_FILE_BYTES = 16_000_000
# Each pattern has a one-letter class in it, so that it does not match itself.
REGISTRY = re.compile(r"py[p]i\.org|pythonhoste[d]|npm[j]s\.|deb\.debia[n]|archive\.ubunt[u]|hu[b]\.docker")
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:wor[k]|roo[t]|ho[m]e/[a-z]+|Us[e]rs/[a-z]+|op[t]/[a-z]+)/")


@pytest.fixture(scope="module")
def tracked(repository: Path) -> dict[str, bytes]:
    """The content of every file in git, by path."""
    if not (repository / ".git").exists():
        pytest.skip("not a git checkout")
    names = subprocess.run(["git", "ls-files", "-z"], cwd=repository, capture_output=True, text=True, check=True)
    paths = (repository / name for name in names.stdout.split("\0") if name)
    return {str(path.relative_to(repository)): path.read_bytes() for path in paths if path.is_file()}


@pytest.mark.parametrize("pattern", [REGISTRY, MACHINE_PATH], ids=["registry", "machine path"])
def test_no_file_names_a_registry_or_a_machine(tracked: dict[str, bytes], pattern: re.Pattern[str]) -> None:
    """Where packages come from is the user's setting, and no path holds on another machine."""
    found = []
    for name, content in tracked.items():
        if b"\0" in content:
            continue
        for number, line in enumerate(content.decode("utf-8").splitlines(), 1):
            if pattern.search(line):
                found.append(f"{name}:{number}: {line.strip()[:120]}")
    assert found == []


def test_no_file_is_huge(tracked: dict[str, bytes]) -> None:
    """Speech weights are pulled by digest, never committed; a clone stays small."""
    assert {name: len(content) for name, content in tracked.items() if len(content) > LARGEST_FILE_BYTES} == {}


def test_links_between_documents_lead_somewhere(tracked: dict[str, bytes], repository: Path) -> None:
    """A relative link in a Markdown file names a file that is there."""
    broken = []
    for name, content in tracked.items():
        if not name.endswith(".md"):
            continue
        folder = (repository / name).parent
        targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", content.decode("utf-8"))
        broken += [f"{name}: {target}" for target in targets if "://" not in target and not (folder / target).exists()]
    assert broken == []


def test_every_decision_is_numbered_and_indexed(repository: Path) -> None:
    """Each decision has a number of its own, fits on one page, and stands in the index under its title."""
    folder = repository / "docs" / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    decisions = sorted(folder.glob("[0-9][0-9][0-9][0-9]-*.md"))
    assert set(folder.glob("*.md")) == {folder / "README.md", *decisions}
    assert len({path.name[:5] for path in decisions}) == len(decisions)
    for path in decisions:
        lines = path.read_text(encoding="utf-8").splitlines()
        title = lines[0].removeprefix("# ")
        assert f"[{title}]({path.name})" in index, path.name
        assert len(lines) <= 80, f"{path.name}: {len(lines)} lines are more than a page"


def test_the_changelog_tells_of_this_version(repository: Path) -> None:
    """The version stands once, in the package; the changelog has its section at the top."""
    changelog = (repository / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (\S+)", changelog, re.MULTILINE)
    assert newest is not None
    assert newest[1] == __version__
