"""wattprint itself: whether its figures can be trusted, and what it costs."""

from parts import board, cluster, node
from wattprint_self.measured import missing, sources, trust
from wattprint_self.upkeep import carbon, costs


def build():
    built = board(
        "self",
        "wattprint / wattprint itself",
        "Whether every node is measured, by what, how well, and what that costs.",
        [cluster(), node()],
    )
    for part in (trust, sources, missing, carbon, costs):
        part(built)
    return built
