"""Draws panels with matplotlib, at the places that they have in Grafana."""

import io
import math
import re
import textwrap
from datetime import datetime, timezone

import matplotlib
from matplotlib import dates, pyplot
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator
from PIL import Image

from shown import formatted, reduced, table

matplotlib.use("Agg")

# Pixels: the width of the picture, the height of one line of Grafana's grid, and the space between panels.
WIDTH, LINE, GAP = 1600, 38, 8
HEAD = 64
COLUMNS = 24
DPI = 100
TEXT, MUTED, EDGE, PAGE = "#24292e", "#6b7280", "#d8dbe0", "#f4f5f5"
# Grafana's palette for series that have no colour of their own.
PALETTE = ["#73BF69", "#F2CC0C", "#8AB8FF", "#FF780A", "#F2495C", "#5794F2", "#B877D9", "#705DA0", "#37872D", "#FADE2A"]
SMALL, NORMAL = 8, 9


def clipped(text, width, size):
    """Cut to a width in pixels, by the mean width of a letter."""
    letters = max(1, int(width / (size * 0.76)))
    return text if len(text) <= letters else text[: letters - 1] + "…"


def tick(value, unit, decimals):
    """A value at an axis, without the zeros that say nothing there."""
    text = re.sub(r"(\.\d*?)0+(?!\d)", r"\1", formatted(round(value, 12), unit, decimals), count=1)
    return re.sub(r"\.(?!\d)", "", text, count=1)


def look(panel, name):
    """What the overrides say of a series or column: unit, decimals, colour, display name and the like."""
    defaults = panel.get("fieldConfig", {}).get("defaults", {})
    found = {"unit": defaults.get("unit", "none"), "decimals": defaults.get("decimals")}
    if (defaults.get("color") or {}).get("mode") == "fixed":
        found["color"] = defaults["color"]
    for override in panel.get("fieldConfig", {}).get("overrides", []):
        matcher, options = override["matcher"]["id"], override["matcher"].get("options", "")
        if matcher == "byName":
            fits = options == name
        elif matcher == "byRegexp":
            fits = re.search(str(options).strip("/"), name) is not None
        else:
            fits = False
        if fits:
            found.update({each["id"]: each.get("value") for each in override["properties"]})
    return found


def mapped(panel, value, looks):
    """A value in its unit, or the word that the panel has for it."""
    for mapping in looks.get("mappings") or panel.get("fieldConfig", {}).get("defaults", {}).get("mappings") or []:
        if mapping["type"] == "value":
            word = mapping["options"].get(f"{value:g}", {}).get("text")
        elif mapping["type"] == "range":
            low, high = mapping["options"].get("from"), mapping["options"].get("to")
            inside = (low is None or value >= low) and (high is None or value <= high)
            word = mapping["options"]["result"].get("text") if inside else None
        else:
            word = None
        if word:
            return word
    return formatted(value, looks["unit"], looks["decimals"])


def threshold(panel, value):
    """The colour of a value by the panel's steps; these may be shares of the way from min to max."""
    defaults = panel.get("fieldConfig", {}).get("defaults", {})
    thresholds = defaults.get("thresholds") or {}
    if thresholds.get("mode") == "percentage":
        low, high = defaults.get("min", 0), defaults.get("max", 100)
        value = 100 * (value - low) / ((high - low) or 1)
    colour = TEXT
    for step in thresholds.get("steps") or []:
        if step.get("value") is None or value >= step["value"]:
            colour = step["color"]
    return colour if colour.startswith("#") else TEXT


class Canvas:
    """A picture of one dashboard. Positions are pixels from the upper left corner."""

    def __init__(self, board, prometheus, shown):
        lines = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])
        self.height = HEAD + lines * LINE + GAP
        self.start, self.end = prometheus.start, prometheus.end
        self.figure = pyplot.figure(figsize=(WIDTH / DPI, self.height / DPI), dpi=DPI, facecolor=PAGE)
        self.page = self.figure.add_axes((0, 0, 1, 1))
        self.page.set_xlim(0, WIDTH)
        self.page.set_ylim(self.height, 0)
        self.page.axis("off")
        self.write(GAP + 4, 22, board["title"], 15, weight="bold")
        variables = [each for each in board["templating"]["list"] if each["type"] == "query"]
        chosen = "   ".join(f"{each.get('label') or each['name']}: {shown[each['name']]}" for each in variables)
        ends = (datetime.fromtimestamp(at, timezone.utc) for at in (self.start, self.end))
        span = " to ".join(end.strftime("%Y-%m-%d %H:%M") for end in ends)
        self.write(GAP + 4, 48, chosen, NORMAL, MUTED)
        self.write(WIDTH - GAP - 4, 22, f"{span} UTC", NORMAL, MUTED, ha="right")

    def write(self, x, y, text, size, colour=TEXT, **more):
        # A dollar sign would begin a formula.
        more = {"va": "center", **more}
        self.page.text(x, y, text.replace("$", r"\$"), fontsize=size * 0.9, color=colour, **more)

    def box(self, x, y, width, height, colour, edge=None):
        self.page.add_patch(Rectangle((x, y), width, height, facecolor=colour, edgecolor=edge or "none", linewidth=0.8))

    def draw(self, panel, answers):
        place = panel["gridPos"]
        column = (WIDTH - GAP) / COLUMNS
        x, y = GAP + place["x"] * column, HEAD + place["y"] * LINE
        width, height = place["w"] * column - GAP, place["h"] * LINE - GAP
        if panel["type"] == "row":
            inside = len(panel.get("panels") or [])
            more = f"   ({inside} panels, opened by a click)" if panel.get("collapsed") else ""
            self.write(x + 4, y + height / 2, ("› " if more else "⌄ ") + panel["title"] + more, 11, weight="bold")
            return
        self.box(x, y, width, height, "white", EDGE)
        self.write(x + 10, y + 15, clipped(panel["title"], width - 16, 10), 10, weight="bold")
        inner = (x + 10, y + 28, width - 20, height - 36)
        if panel["type"] == "text":
            self.note(panel, *inner)
            return
        if not any(series for _, series in answers):
            self.nothing(panel, *inner)
            return
        ways = {"timeseries": self.lines, "stat": self.numbers, "gauge": self.numbers, "table": self.rows,
                "bargauge": self.bars, "barchart": self.bars, "piechart": self.bars}  # fmt: skip
        if panel["type"] not in ways:
            raise ValueError(f"no way to draw a {panel['type']}")
        ways[panel["type"]](panel, answers, *inner)

    def nothing(self, panel, x, y, width, height):
        words = panel["fieldConfig"]["defaults"].get("noValue", "No data")
        wrapped = textwrap.wrap(words, max(12, int(width / 7)))
        top = y + height / 2 - (len(wrapped) - 1) * 8
        for number, line in enumerate(wrapped):
            self.write(x + width / 2, top + number * 16, line, NORMAL, MUTED, ha="center", style="italic")

    def note(self, panel, x, y, width, height):
        at = y + 6
        for paragraph in panel["options"].get("content", "").splitlines():
            plain = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", re.sub(r"\*\*|`|^#+ *", "", paragraph))
            plain = re.sub(r"^(\s*)[-*] ", r"\1• ", plain)
            for line in textwrap.wrap(plain, max(20, int(width / 6.6))) or [""]:
                if at > y + height - 4:
                    return
                self.write(x, at, line, NORMAL, weight="bold" if paragraph.startswith("#") else "normal")
                at += 16

    def values(self, panel, answers):
        """Name, one value and looks of each series, as stat and bar gauge have it."""
        calculations = (panel["options"].get("reduceOptions") or {}).get("calcs") or ["lastNotNull"]
        found = []
        for _, series in answers:
            for name, _, points in series:
                looks = look(panel, name)
                value = reduced(points, calculations[0])
                if value is not None:
                    found.append((looks.get("displayName") or name, value, looks))
        return found

    def numbers(self, panel, answers, x, y, width, height):
        values = self.values(panel, answers)
        if not values:
            self.nothing(panel, x, y, width, height)
            return
        # Beside each other in a wide panel, below each other in a high one, as many as can be read.
        wide = width / len(values) >= 110 or width > height * 1.6
        fits = max(1, int(width / 90 if wide else height / 34))
        values = values[:fits]
        mode = panel["options"].get("textMode", "auto")
        for number, (name, value, looks) in enumerate(values):
            part = (width if wide else height) / len(values)
            cx = x + part * (number + 0.5) if wide else x + width / 2
            cy = y + height / 2 if wide else y + part * (number + 0.5)
            text = mapped(panel, value, looks)
            room = part if wide else width
            if mode == "name":
                text = name
            size = max(9, min(30, (height if wide else part) * 0.34, (room - 16) / max(1, len(text)) * 1.1))
            colour = (looks.get("color") or {}).get("fixedColor") or threshold(panel, value)
            if mode != "name" and mode != "value" and (len(values) > 1 or mode == "value_and_name"):
                self.write(cx, cy - size * 0.95, clipped(name, room, SMALL), SMALL, MUTED, ha="center")
                cy += 6
            self.write(cx, cy, text, size, colour, ha="center", weight="bold")

    def bars(self, panel, answers, x, y, width, height):
        values = self.values(panel, answers)
        if not values:
            self.nothing(panel, x, y, width, height)
            return
        line = max(18, min(56, height / len(values)))
        fits = int(height / line + 0.01)
        if len(values) > fits:
            self.write(x + width, y + height, f"and {len(values) - fits + 1} more", SMALL, MUTED, ha="right")
            values = values[: fits - 1]
        most = max((value for _, value, _ in values), default=0)
        top = panel["fieldConfig"]["defaults"].get("max") or most or 1
        names = min(width * 0.38, 12 + max(len(name) for name, _, _ in values) * 7)
        for number, (name, value, looks) in enumerate(values):
            middle = y + line * (number + 0.5)
            colour = (looks.get("color") or {}).get("fixedColor") or threshold(panel, value)
            room = width - names - 96
            self.write(x + names - 8, middle, clipped(name, names - 8, SMALL), SMALL, ha="right")
            self.box(x + names, middle - line * 0.36, room, line * 0.72, "#eceef1")
            self.box(x + names, middle - line * 0.36, room * max(0, min(1, value / top)), line * 0.72, colour)
            self.write(x + names + room + 8, middle, mapped(panel, value, looks), NORMAL, weight="bold")

    def rows(self, panel, answers, x, y, width, height):
        moments = [(letter, [(labels, points[-1][1]) for _, labels, points in series]) for letter, series in answers]
        header, body = table(moments, panel)
        line = 22
        fits = max(1, int(height / line) - 1)
        if len(body) > fits:
            self.write(x + width, y - 13, f"{fits} of {len(body)} rows", SMALL, MUTED, ha="right")
        looks = {name: look(panel, name) for name in header}

        def cell(name, value):
            if value is None:
                return ""
            return mapped(panel, value, looks[name]) if isinstance(value, float) else str(value)

        cells = [[cell(name, value) for name, value in zip(header, row)] for row in body[:fits]]
        # By the longest text of each column, but none less than its share of the half.
        wants = [max(len(name), *(len(row[at]) for row in cells)) + 3 for at, name in enumerate(header)]
        widths = [width * (0.4 / len(wants) + 0.6 * each / sum(wants)) for each in wants]
        figures = [any(isinstance(row[at], float) for row in body) for at in range(len(header))]
        for number, row in enumerate([header, *cells]):
            left, middle = x, y + line * (number + 0.5)
            if number:
                self.box(x, middle - line / 2, width, 0.8, EDGE)
            for text, room, is_figure in zip(row, widths, figures):
                colour, weight = (MUTED, "bold") if number == 0 else (TEXT, "normal")
                at, align = (left + room - 12, "right") if is_figure else (left, "left")
                self.write(at, middle, clipped(text, room - 10, NORMAL), NORMAL, colour, ha=align, weight=weight)
                left += room

    def lines(self, panel, answers, x, y, width, height):
        series = [(name, points) for _, found in answers for name, _, points in found]
        looks = [look(panel, name) for name, _ in series]
        colours = [(each.get("color") or {}).get("fixedColor") for each in looks]
        free = iter(PALETTE * (1 + len(series) // len(PALETTE)))
        colours = [colour or next(free) for colour in colours]
        rows = min(len(series) + 1, max(2, int(height * 0.36 / 16)))
        graph = height - rows * 16 - 26
        self.graph(panel, series, looks, colours, x + 66, y + 6, width - 72, graph)
        self.legend(panel, series, looks, colours, x, y + graph + 31, width, rows)

    def graph(self, panel, series, looks, colours, x, y, width, height):
        axes = self.figure.add_axes((x / WIDTH, 1 - (y + height) / self.height, width / WIDTH, height / self.height))
        custom = panel["fieldConfig"]["defaults"].get("custom", {})
        stacked = (custom.get("stacking") or {}).get("mode") in ("normal", "percent")
        thick, fill = custom.get("lineWidth", 1) * 0.8, custom.get("fillOpacity", 0) / 100

        def when(at):
            return datetime.fromtimestamp(at, timezone.utc)

        if stacked:
            times = sorted({at for _, points in series for at, _ in points})
            by_time = [dict(points) for _, points in series]
            layers = [[each.get(at, 0.0) for at in times] for each in by_time]
            layers = [[0.0 if math.isnan(value) else value for value in layer] for layer in layers]
            axes.stackplot([when(at) for at in times], layers, colors=colours, alpha=max(fill, 0.3), linewidth=0)
            below = [0.0] * len(times)
            for layer, colour in zip(layers, colours):
                below = [low + value for low, value in zip(below, layer)]
                axes.plot([when(at) for at in times], below, color=colour, linewidth=thick)
        else:
            for (_, points), colour in zip(series, colours):
                times, values = [when(at) for at, _ in points], [value for _, value in points]
                # One point alone is no line.
                marker = "o" if len(points) == 1 else None
                axes.plot(times, values, color=colour, linewidth=thick, marker=marker, markersize=3)
                if fill:
                    axes.fill_between(times, values, color=colour, alpha=fill, linewidth=0)
        axes.set_xlim(when(self.start), when(self.end))
        low, high = (panel["fieldConfig"]["defaults"].get(side) for side in ("min", "max"))
        axes.set_ylim(bottom=low, top=high)
        if low == 0 and high is None and axes.get_ylim()[1] <= 0.06:
            most = max((value for _, points in series for _, value in points if not math.isnan(value)), default=0)
            if most == 0:
                axes.set_ylim(0, 1)
        unit, decimals = (looks[0]["unit"], looks[0]["decimals"]) if looks else ("none", None)
        axes.yaxis.set_major_locator(MaxNLocator(max(2, min(5, int(height / 32)))))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(value, unit, decimals)))
        axes.xaxis.set_major_locator(dates.AutoDateLocator(minticks=2, maxticks=max(3, int(width / 80))))
        clock = "%H:%M" if self.end - self.start < 172800 else "%m-%d"
        axes.xaxis.set_major_formatter(dates.DateFormatter(clock, tz=timezone.utc))
        axes.tick_params(labelsize=SMALL * 0.85, colors=MUTED, length=0)
        axes.grid(color="#e6e8eb", linewidth=0.7)
        axes.set_axisbelow(True)
        for spine in axes.spines.values():
            spine.set_visible(False)

    def legend(self, panel, series, looks, colours, x, y, width, rows):
        calculations = panel["options"].get("legend", {}).get("calcs") or ["lastNotNull"]
        words = {"lastNotNull": "Last", "mean": "Mean", "max": "Max", "min": "Min", "sum": "Total", "last": "Last"}
        columns = [x + width - 8 - 92 * number for number in reversed(range(len(calculations)))]
        for calculation, at in zip(calculations, columns):
            self.write(at, y, words.get(calculation, calculation), SMALL, MUTED, ha="right")
        shown = list(zip(series, looks, colours))
        if len(shown) > rows - 1:
            self.write(x, y, f"{rows - 1} of {len(shown)} series", SMALL, MUTED)
        for number, ((name, points), each, colour) in enumerate(shown[: rows - 1], start=1):
            middle = y + number * 16
            self.box(x, middle - 2, 14, 4, colour)
            name = each.get("displayName") or name
            self.write(x + 20, middle, clipped(name, columns[0] - x - 110, SMALL), SMALL)
            for calculation, at in zip(calculations, columns):
                value = reduced(points, calculation)
                text = "" if value is None else mapped(panel, value, each)
                self.write(at, middle, text, SMALL, ha="right")

    def save(self, path):
        """As a PNG of at most 128 colours, which a drawing doesn't suffer from and which takes a third of the room."""
        raw = io.BytesIO()
        self.figure.savefig(raw, dpi=DPI, facecolor=PAGE)
        pyplot.close(self.figure)
        Image.open(raw).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
