"""Writes the table of values in the chart's README from the comments of values.yaml.

`python deploy/helm/readme.py` writes it, `--check` says whether it is stale. A value's text begins with `# --` above its
key and goes on in the comment's next lines, up to a line that begins with `# @`. A map with a text of its own is one row.
"""

import json
import re
import sys
from pathlib import Path

import yaml

CHART = Path(__file__).parent / "wattprint"
BEGIN, END = "<!-- values: made by deploy/helm/readme.py -->\n", "<!-- end of values -->\n"
KEY = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z0-9_.-]+):")


def texts(lines):
    """The path of each key, and its text or None, in the file's order."""
    path, words, is_open = [], None, False
    for line in lines:
        bare = line.strip()
        if bare.startswith("# -- "):
            words, is_open = [bare[5:]], True
        elif bare.startswith("#"):
            is_open = is_open and not bare.startswith("# @")
            if is_open:
                words.append(bare[1:].strip())
        elif found := KEY.match(line):
            path = path[: len(found["indent"]) // 2] + [found["key"]]
            yield tuple(path), " ".join(words) if words else None
            words = None


def at(values, path):
    """The value at a path."""
    for key in path:
        values = values[key]
    return values


def table():
    """The table's lines; values without a text are an error."""
    source = (CHART / "values.yaml").read_text()
    values = yaml.safe_load(source)
    rows, told, silent = [], set(), []
    for path, text in texts(source.splitlines()):
        if any(path[:length] in told for length in range(1, len(path))):
            continue
        value = at(values, path)
        if text:
            told.add(path)
            default = json.dumps(value).replace("|", "\\|")
            rows.append(f"| `{'.'.join(path)}` | `{default}` | {text.replace('|', chr(92) + '|')} |\n")
        elif not isinstance(value, dict) or not value:
            silent.append(".".join(path))
    if silent:
        sys.exit(f"values.yaml: no text (# --) above {', '.join(silent)}")
    return "| Value | Default | What it does |\n|---|---|---|\n" + "".join(rows)


def main():
    """Writes or checks the README."""
    readme = CHART / "README.md"
    old = readme.read_text()
    before, rest = old.split(BEGIN)
    new = before + BEGIN + "\n" + table() + "\n" + END + rest.split(END)[1]
    if "--check" not in sys.argv[1:]:
        readme.write_text(new)
    elif new != old:
        sys.exit("deploy/helm/wattprint/README.md is stale: run python deploy/helm/readme.py")


main()
