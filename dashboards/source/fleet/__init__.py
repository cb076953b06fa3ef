"""Fleet emissions: what all clusters use and emit, who has it, and what of it is waste."""

from fleet.burden import carbon, waste
from fleet.totals import now, tables, where
from parts import board, cluster


def build():
    built = board(
        "fleet",
        "wattprint / Fleet emissions",
        "Energy and emissions of all clusters: how much, who has it, how well it is known, and what of it is waste.",
        [cluster()],
    )
    for part in (now, where, tables, carbon, waste):
        part(built)
    return built
