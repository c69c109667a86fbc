#!/usr/bin/env python3
"""Makes the documents' tables of measured GPU figures from docs/results/*.json.

    scripts/make_tables.py             writes the tables into README.md and docs/*.md
    scripts/make_tables.py --check     fails (exit 1) where the documents and the data differ

A table stands between `<!-- table: NAME -->` and `<!-- end -->`; NAME.json says where its figures come from and holds them,
each with the digits that were printed. A cell is a template over a row's keys: {tiles}; [value, low, high] is shown with its
interval; {x:percent} has a sign and " %". Where a row lacks a key, a Markdown cell is empty, and a line of a text table is
left out. null is not known.
"""
import argparse
import decimal
import difflib
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"(<!-- table: ([a-z_]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def number(value, how):
    if how == "percent" and value != 0:
        return f"{value:+}".replace("-", "−")
    return f"{value}×" if how == "ratio" else str(value)


def shown(value, how=""):
    if isinstance(value, str):
        return value
    middle, *interval = value if isinstance(value, list) else [value]
    unit = " %" if how == "percent" and middle != 0 else ""
    text = number(middle, how) + unit
    return text + f" [{', '.join(number(end, 'percent' if unit else '') for end in interval)}]" if interval else text


def cell(template, row):
    """None where the row lacks what the template names."""
    names = [name.partition(":") for name in re.findall(r"{(.*?)}", template)]
    if any(row.get(key) is None for key, _, _ in names):
        return None
    return re.sub(r"{(.*?)}", lambda match: shown(row[match[1].partition(":")[0]], match[1].partition(":")[2]), template)


def markdown_table(table, rows):
    def line(cells):
        return "| " + " | ".join(cells).replace("|  |", "| |") + " |"
    titles = [column["title"] for column in table["columns"]]
    body = [line([cell(column["cell"], row) or "" for column in table["columns"]]) for row in rows]
    return "\n".join([line(titles), "|" + "---|" * len(titles), *body])


def text_table(table, rows):
    """As the program prints it: numbers to the right, in a code block."""
    lines = [[cell(column["cell"], row) for column in table["columns"]] for row in rows]
    lines = [[column["title"] for column in table["columns"]], *(line for line in lines if None not in line)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    padded = ["  ".join([line[0].ljust(widths[0]), *(text.rjust(width) for text, width in zip(line[1:], widths[1:]))]) for line in lines]
    padded.insert(1, "-" * len(padded[0]))
    return "\n".join([*(4 * " " + text for text in table.get("before", [])), *(6 * " " + text for text in [*padded, *table.get("after", [])])])


def rendered(name):
    path = ROOT / "docs/results" / f"{name}.json"
    data = json.loads(path.read_text(), parse_float=decimal.Decimal)
    make = text_table if data["style"] == "text" else markdown_table
    return "\n" + "\n\n".join(make(table, data["rows"]) for table in data["tables"]) + "\n\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where the documents and the data differ")
    check = parser.parse_args().check
    pages = {path: path.read_text() for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]}
    names = [match[2] for page in pages.values() for match in BLOCK.finditer(page)]
    files = sorted(path.stem for path in (ROOT / "docs/results").glob("*.json"))
    if sorted(names) != files or sum(page.count("<!-- table:") for page in pages.values()) != len(names):
        print(f"the documents have the tables {sorted(names)}, docs/results/ the files {files}", file=sys.stderr)
        return 1
    differ = False
    for path, old in pages.items():
        new = BLOCK.sub(lambda match: match[1] + rendered(match[2]) + match[4], old)
        if not check and new != old:
            path.write_text(new)
        elif new != old:
            differ = True
            name = str(path.relative_to(ROOT))
            sys.stdout.writelines(difflib.unified_diff(old.splitlines(True), new.splitlines(True), name, "docs/results"))
    if differ:
        return 1
    print(f"{len(names)} tables of the documents {'are those of' if check else 'made from'} docs/results/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
