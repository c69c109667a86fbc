"""What the documents hold, for the tests of them: their blocks and links. CONTRIBUTING.md, "Documents", says how they are marked."""

import pathlib
import re
import urllib.parse

# In the order in which a newcomer reads, and the test runs.
FIRST = ["README.md", "docs/first-steps.md"]
FENCE = re.compile(r"(?:<!-- (?P<mark>[^\n]*?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"^ {4,}(\$ )?(build/)?(tatr-sim|scripts/\w[\w.]*|cmake|ctest) (?! )", re.MULTILINE)


def pages(root):
    """The paths of all pages under `root`, those that are read first in front."""
    found = [path.relative_to(root).as_posix() for path in [*root.glob("*.md"), *root.glob("docs/*.md")]]
    return sorted(found, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))


class Block:
    """A fenced block. `mark` is the HTML comment in the line before it."""

    def __init__(self, match):
        self.mark, self.language, self.text = match["mark"] or "", match["language"], match["text"]

    def file(self):
        return self.mark.removeprefix("file: ") if self.mark.startswith("file: ") else None

    def runs(self):
        return self.language == "sh" and not self.mark.startswith("not run: ")

    def printed(self):
        """The lines that the commands before it must have printed, where the document says so."""
        return [" ".join(line.split()) for line in self.text.splitlines()] if self.mark == "printed" else []


def blocks(text):
    return [Block(match) for match in FENCE.finditer(text)]


def stray_commands(text):
    """Lines of indented blocks that look like commands: nobody would run them."""
    return [match[0].strip() for match in COMMAND.finditer(FENCE.sub("", text))]


def anchors(text):
    """What GitHub calls the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken_links(root):
    """Relative links of the pages under `root` that lead nowhere, as "page: link"."""
    broken = []
    for name in pages(root):
        page = root / name
        for link in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text())):
            target, _, anchor = urllib.parse.unquote(link).partition("#")
            if re.match(r"[a-z]+:", link):
                continue
            path = page.parent / target if target else page
            if not path.exists() or anchor and anchor not in anchors(pathlib.Path(path).read_text()):
                broken.append(f"{name}: {link}")
    return broken
