"""Expressions that several dashboards need: windows of time, the highest of many, and what grams compare to."""

import csv
from pathlib import Path

from grafana_foundation_sdk.models import dashboard as model

from parts import query

EQUIVALENCES = Path(__file__).resolve().parents[2] / "data" / "equivalences.csv"
COMMON = ("car_eu_km", "train_km", "flight_paris_london", "tree_year", "video_streaming_hour")


def recent(series):
    """The last value of a rule that runs every five minutes: it has none for a moment while the rule is late."""
    return f"last_over_time({series}[10m])"


def windows(level, metric, selector):
    """The sums over one hour, one day and 30 days."""
    return [
        query(f"sum({level}:{metric}:increase1h{{{selector}}})", "1 hour", True),
        query(f"sum({recent(f'{level}:{metric}:increase1d{{{selector}}}')})", "1 day", True),
        query(f"sum({recent(f'{level}:{metric}:increase30d{{{selector}}}')})", "30 days", True),
    ]


def tinted(panel, colours):
    """Fixed colours for series of these names, where parts.COLOURS has none."""
    for name, colour in colours.items():
        fixed = {"mode": "fixed", "fixedColor": colour}
        panel.override_by_name(name, [model.DynamicConfigValue(id_val="color", value=fixed)])
    return panel


def equivalences(grams, names=COMMON):
    """One query for each of these things of everyday life: how many of it emit as much."""
    return [
        query(f"({grams}) / {row['grams_per_unit']}", f"{row['unit']} {row['label']}", True) for row in table(names)
    ]


def sources(names=COMMON):
    """Where the figures of these things come from, for the description of a panel."""
    return "; ".join(
        f"{row['unit']} {row['label']}: {row['grams_per_unit']} g ({row['source']})" for row in table(names)
    )


def table(names):
    """The rows of data/equivalences.csv with these names, in this order."""
    with EQUIVALENCES.open(newline="") as file:
        known = {row["name"]: row for row in csv.DictReader(file)}
    return [known[name] for name in names]
