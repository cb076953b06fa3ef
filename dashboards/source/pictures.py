"""Draws the dashboards with the series of a Prometheus, for the documentation.

    python dashboards/source/pictures.py --prometheus URL --out docs/pictures [--dashboard NAME] [--minutes N]
        [--choose NAME=VALUE]

These are no photographs of Grafana: the panels, their queries, units, colours and places are those of dashboards/*.json, and
matplotlib draws them. Variables are set to all, to what --choose says, or, where there is no "all", to their first value. Nothing
is made up: a panel without series shows its own words for that.
"""

import argparse
import json
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from drawing import Canvas
from shown import filled, legend, values_of

DASHBOARDS = Path(__file__).resolve().parent.parent
# Points of a line: more than the pixels of a panel would only make the file larger.
POINTS = 240


class Prometheus:
    """Asks for series; what it says about a query that it can't do is raised."""

    def __init__(self, url, minutes, scrape, end):
        self.url = url.rstrip("/")
        self.step = max(scrape, minutes * 60 // POINTS)
        self.end, self.start = end, end - minutes * 60

    def ask(self, path, **parameters):
        body = urllib.parse.urlencode(parameters).encode()
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}", body, timeout=60) as answer:
                return json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode(errors="replace")) from error

    def lines(self, expr):
        """Labels and (time, value) pairs of each series over the whole time."""
        found = self.ask("query_range", query=expr, start=self.start, end=self.end, step=self.step)
        return [(each["metric"], [(when, float(value)) for when, value in each["values"]]) for each in found]

    def moment(self, expr):
        """Labels and value of each series at the end."""
        found = self.ask("query", query=expr, time=self.end)
        # A scalar is a pair by itself.
        if found and not isinstance(found[0], dict):
            return [({}, float(found[1]))]
        return [(each["metric"], float(each["value"][1])) for each in found]


def answers(panel, prometheus, values):
    """What the queries of a panel give: for each its letter, and its series as (name, labels, points)."""
    found = []
    for target in panel.get("targets", []):
        if target.get("hide"):
            continue
        expr = filled(target["expr"], values)
        if target.get("instant"):
            series = [(labels, [(prometheus.end, value)]) for labels, value in prometheus.moment(expr)]
        else:
            series = prometheus.lines(expr)
        named = [(legend(target.get("legendFormat", ""), labels), labels, points) for labels, points in series]
        found.append((target["refId"], named))
    return found


def chosen(board, prometheus, values, choices):
    """What the variables with a query stand for in queries, and the words that they are shown with."""
    shown = {}
    for variable in board["templating"]["list"]:
        if variable["type"] != "query":
            continue
        name, asked = variable["name"], variable["query"]
        asked = asked["query"] if isinstance(asked, dict) else asked
        single = re.fullmatch(r"label_values\((.+),\s*(\w+)\s*\)", asked, re.DOTALL)
        if name in choices:
            values[name] = shown[name] = choices[name]
        elif variable.get("includeAll") or not single:
            shown[name] = "All"
        else:
            found = prometheus.moment(f"group by ({single[2]}) ({filled(single[1], values)})")
            values[name] = shown[name] = min((labels.get(single[2], "") for labels, _ in found), default="")
    return shown


def picture(board, prometheus, minutes, scrape, choices, path):
    """Draws one dashboard; gives the titles of panels that had nothing to show, and of those whose query failed."""
    values = values_of(board, minutes, prometheus.step, scrape)
    shown = chosen(board, prometheus, values, choices)
    canvas = Canvas(board, prometheus, shown)
    empty, failed = [], []
    for panel in board["panels"]:
        panel = {**panel, "title": filled(panel.get("title", ""), {**values, **shown})}
        if panel["type"] in ("row", "text"):
            canvas.draw(panel, [])
            continue
        try:
            found = answers(panel, prometheus, values)
        except RuntimeError as error:
            failed.append(f"{panel['title']}: {error}")
            continue
        if not any(series for _, series in found):
            empty.append(panel["title"])
        canvas.draw(panel, found)
    canvas.save(path)
    return empty, failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prometheus", required=True, help="URL of a Prometheus that has wattprint's series and rules")
    parser.add_argument("--out", required=True, type=Path, help="the folder for the pictures")
    parser.add_argument("--dashboard", help="only this one, by the name of its file")
    parser.add_argument("--minutes", type=int, default=60, help="the time that is shown, up to now (default 60)")
    parser.add_argument("--scrape", type=int, default=15, help="the scrape interval in seconds (default 15)")
    parser.add_argument("--choose", action="append", default=[], metavar="NAME=VALUE", help="a variable's value")
    asked = parser.parse_args()

    asked.out.mkdir(parents=True, exist_ok=True)
    names = [asked.dashboard] if asked.dashboard else sorted(path.stem for path in DASHBOARDS.glob("*.json"))
    prometheus = Prometheus(asked.prometheus, asked.minutes, asked.scrape, int(time.time()))
    choices = dict(each.split("=", 1) for each in asked.choose)
    bad = False
    for name in names:
        board = json.loads((DASHBOARDS / f"{name}.json").read_text())
        path = asked.out / f"{name}.png"
        empty, failed = picture(board, prometheus, asked.minutes, asked.scrape, choices, path)
        print(f"{path}: {path.stat().st_size // 1024} KiB; nothing to show in {len(empty)}: {', '.join(empty) or '-'}")
        for line in failed:
            print(f"{name}: {line}", file=sys.stderr)
            bad = True
    # A picture with a panel left out isn't one of the dashboard.
    sys.exit(bad)


if __name__ == "__main__":
    main()
