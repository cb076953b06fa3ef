"""GPU: each card, who has it, how that is known, and what of its energy did no work."""

from gpu.cards import cards, now, users
from gpu.terms import C
from gpu.trust import evidence, health, instances
from gpu.waste import waste
from parts import board, cluster, namespace, node, variable


def build():
    built = board(
        "gpu",
        "wattprint / GPU",
        "Each GPU: power and energy, who has it and by what evidence, and what idles, is parked, or is near its limit.",
        [
            cluster(),
            node(),
            variable(
                "gpu",
                "GPU",
                "A card by its UUID.",
                f'label_values(wattprint_gpu_info{{{C}, instance=~"$node"}}, uuid)',
            ),
            namespace().description(
                "Narrows who holds and uses cards; batch jobs and containers outside Kubernetes have none."
            ),
        ],
    )
    for part in (now, cards, users, waste, evidence, health, instances):
        part(built)
    return built
