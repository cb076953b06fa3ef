"""How Grafana shows figures and words: units, variables and names of series. Standard library only."""

import math
import re
import time

SI = [("y", -8), ("z", -7), ("a", -6), ("f", -5), ("p", -4), ("n", -3), ("µ", -2), ("m", -1), ("", 0),
      ("k", 1), ("M", 2), ("G", 3), ("T", 4), ("P", 5)]  # fmt: skip
# Grafana's ids of units that take prefixes: what stands behind the prefix, and the power of a thousand that a plain value has.
PREFIXED = {
    "watt": ("W", 0), "kwatt": ("W", 1), "watth": ("Wh", 0), "kwatth": ("Wh", 1), "joule": ("J", 0), "massg": ("g", 0),
    "masskg": ("g", 1), "litre": ("L", 0), "lengthm": ("m", 0), "lengthkm": ("m", 1), "volt": ("V", 0), "hertz": ("Hz", 0),
}  # fmt: skip
PLAIN = {"masst": " t", "litreh": " L/h", "celsius": " °C", "percent": "%", "none": "", "string": "", "": ""}
# Spans of time in seconds: the first that a value isn't below, and its name.
SPANS = [
    (31557600, "years"), (604800, "weeks"), (86400, "days"), (3600, "hours"), (60, "mins"), (1, "s"), (1e-3, "ms"), (1e-6, "µs"),
]  # fmt: skip
SECONDS = {"s": 1, "ms": 1e-3, "m": 60, "h": 3600, "d": 86400}


def rounded(value):
    """To three figures where these are all that is shown, so that 0.99999 is written as 1 is."""
    return float(f"{value:.3g}") if abs(value) < 1000 else value


def number(value, decimals=None):
    """Three figures that count, unless the number of decimals is given or the value is whole."""
    if decimals is None:
        value = rounded(value)
        if value == int(value):
            decimals = 0
        else:
            decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}"


def prefixed(value, suffix, power, decimals):
    """With a prefix for the powers of a thousand; what lies beyond the table has its last one."""
    value = rounded(value) if decimals is None else value
    step = 0 if value == 0 else math.floor(math.log10(abs(value)) / 3 + 1e-12)
    wanted = max(SI[0][1], min(SI[-1][1], step + power))
    prefix = next(prefix for prefix, each in SI if each == wanted)
    return f"{number(value / 1000.0 ** (wanted - power), decimals)} {prefix}{suffix}"


def span(seconds, decimals=None):
    """A span of time in the largest unit that it has one of."""
    if seconds == 0:
        return "0 s"
    seconds = rounded(seconds) if decimals is None else seconds
    size, name = next((each for each in SPANS if abs(seconds) >= each[0]), (1e-9, "ns"))
    text = number(seconds / size, decimals)
    return f"{text} {name[:-1] if text == '1' and name.endswith('s') and len(name) > 2 else name}"


def formatted(value, unit="none", decimals=None, now=None):
    """A value in a unit of Grafana's, by its id."""
    if value is None or math.isnan(value):
        return ""
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if unit in PREFIXED:
        return prefixed(value, *PREFIXED[unit], decimals)
    if unit in SECONDS:
        return span(value * SECONDS[unit], decimals)
    if unit == "percentunit":
        return number(value * 100, decimals) + "%"
    if unit == "short":
        for size, name in ((1e12, " T"), (1e9, " Bil"), (1e6, " Mil"), (1e3, " K")):
            if abs(value) >= size:
                return number(value / size, decimals) + name
        return number(value, decimals)
    if unit == "bytes":
        step = 0 if abs(value) < 1024 else min(5, int(math.log(abs(value), 1024)))
        return f"{number(value / 1024.0**step, decimals)} {('B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB')[step]}"
    if unit == "dateTimeFromNow":
        away = value / 1000 - (time.time() if now is None else now)
        words = span(abs(away), 0)
        return f"in {words}" if away >= 0 else f"{words} ago"
    if unit.startswith("dateTime"):
        return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(value / 1000))
    if unit.startswith("suffix:"):
        return number(value, decimals) + unit.removeprefix("suffix:")
    if unit.startswith("prefix:"):
        return unit.removeprefix("prefix:") + number(value, decimals)
    if unit in PLAIN:
        return number(value, decimals) + PLAIN[unit]
    raise ValueError(f"no way to write the unit {unit!r}")


VARIABLE = re.compile(r"\$\{(\w+)(?:\.[\w.]+)?(?::\w+)?\}|\$([A-Za-z_]\w*)|\[\[(\w+)\]\]")


def filled(text, values):
    """The text with variables filled in; a name that has no value stays as it is."""
    def value(match):
        name = match[1] or match[2] or match[3]
        return str(values.get(name, match[0]))

    return VARIABLE.sub(value, text)


def values_of(dashboard, minutes, step, scrape):
    """What stands for each variable when everything is chosen, and for the times that Grafana fills in."""
    # As Grafana has it: four scrapes, so that two samples are in it even where one is lost.
    rate = max(step + scrape, 4 * scrape)
    values = {
        "__rate_interval": f"{rate}s", "__interval": f"{step}s", "__interval_ms": step * 1000,
        "__range": f"{minutes}m", "__range_s": minutes * 60, "__range_ms": minutes * 60000,
    }  # fmt: skip
    for variable in dashboard.get("templating", {}).get("list", []):
        current = (variable.get("current") or {}).get("value")
        if variable["type"] == "query":
            values[variable["name"]] = variable.get("allValue") or ".*"
        elif isinstance(current, str) and current and current != "$__all":
            values[variable["name"]] = current
        else:
            query = variable.get("query")
            values[variable["name"]] = query.split(",")[0].strip() if isinstance(query, str) else ""
    return values


def legend(pattern, labels):
    """The name of a series: its pattern with labels filled in, or all its labels."""
    if pattern and pattern != "__auto":
        return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda match: labels.get(match[1], ""), pattern)
    pairs = ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items()) if name != "__name__")
    return labels.get("__name__", "") + (f"{{{pairs}}}" if pairs else "")


def reduced(points, calculation):
    """One value of a series' (time, value) pairs, by the name of a calculation of Grafana's; None where there is none."""
    values = [value for _, value in points if not math.isnan(value)]
    if not values:
        return None
    ways = {
        "lastNotNull": lambda: values[-1], "last": lambda: values[-1], "mean": lambda: sum(values) / len(values),
        "max": lambda: max(values), "min": lambda: min(values), "sum": lambda: sum(values),
        "firstNotNull": lambda: values[0], "first": lambda: values[0], "count": lambda: len(values),
    }  # fmt: skip
    return ways[calculation]()


def table(results, panel):
    """Header and rows of a table panel: `results` are (letter, list of labels and value). Rows with the same labels are one."""
    names = {}
    columns = []
    for letter, series in results:
        value_name = f"Value #{letter}" if len(results) > 1 else "Value"
        for labels, value in series:
            columns += [name for name in sorted(labels) if name not in columns]
            key = tuple(sorted((name, text) for name, text in labels.items() if name != "__name__"))
            names.setdefault(key, dict(labels))[value_name] = value
    columns += [f"Value #{letter}" if len(results) > 1 else "Value" for letter, _ in results]
    rows, renamed, order = list(names.values()), {}, {}
    for transformation in panel.get("transformations", []):
        options = transformation.get("options", {})
        if transformation["id"] == "organize":
            excluded = {name for name, is_excluded in options.get("excludeByName", {}).items() if is_excluded}
            columns = [name for name in columns if name not in excluded]
            renamed, order = options.get("renameByName", {}), options.get("indexByName", {})
        elif transformation["id"] == "limit":
            rows = rows[: int(options.get("limitField", 10))]
    # What has no index of its own comes behind, as it was.
    columns.sort(key=lambda name: order.get(name, len(order) + 1000))
    header = [renamed.get(name) or name for name in columns]
    body = [[row.get(name) for name in columns] for row in rows]
    for sort in reversed(panel.get("options", {}).get("sortBy") or []):
        if sort["displayName"] in header:
            at = header.index(sort["displayName"])

            def rank(row, at=at):
                cell = row[at]
                return (cell is not None, cell if isinstance(cell, float) else 0.0, str(cell))

            body.sort(key=rank, reverse=bool(sort.get("desc")))
    return header, body
