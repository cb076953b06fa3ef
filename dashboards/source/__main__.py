"""Writes the dashboards, or with --check says which of them are stale or left over.

    python dashboards/source [--check]
"""

import json
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

import carbon
import fleet
import gpu
import jobs
import models
import node
import wattprint_self
import workloads

BOARDS = {
    "fleet": fleet,
    "node": node,
    "workloads": workloads,
    "gpu": gpu,
    "jobs": jobs,
    "carbon": carbon,
    "models": models,
    "wattprint": wattprint_self,
}
OUTPUT = Path(__file__).resolve().parent.parent


def rendered(module):
    built = json.loads(json.dumps(module.build().build(), cls=JSONEncoder))
    # Ids in the order of the panels: alerts and links to one panel go by them.
    for number, panel in enumerate(built["panels"], start=1):
        panel["id"] = number
    return json.dumps(built, indent=2, sort_keys=True) + "\n"


def main():
    # A dashboard that nothing makes any more would be imported for ever.
    leftover = [path for path in sorted(OUTPUT.glob("*.json")) if path.stem not in BOARDS]
    stale = []
    for name, module in BOARDS.items():
        path, text = OUTPUT / f"{name}.json", rendered(module)
        if "--check" not in sys.argv:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            stale.append(path)
    if "--check" in sys.argv:
        stale += leftover
    else:
        for path in leftover:
            path.unlink()
    if stale:
        sys.exit(f"stale, write them again with `make dashboards`: {', '.join(map(str, stale))}")


main()
