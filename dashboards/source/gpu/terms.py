"""What is asked of cards: selectors, and what empty panels mean."""

C = 'cluster=~"$cluster"'
N = f'{C}, namespace=~"$namespace"'
G = f'{C}, instance=~"$node", uuid=~"$gpu"'
HELD = f'{G}, namespace=~"$namespace"'
CARD = "cluster, instance, gpu, uuid"
ON = f"on ({CARD})"
HOLDER = f"{CARD}, namespace, pod, container, manager, job_id"
# Of cards with these names; a card that doesn't answer has no method.
NAMES = (
    f"* {ON} group_left (model, driver, mig, method) (wattprint_gpu_info{{{G}}} * {ON} group_left (method)"
    f" (wattprint_gpu_attribution_info{{{G}}} or {ON} group by ({CARD}) (wattprint_gpu_info{{{G}}})))"
)
WITH_MIG = f'and {ON} wattprint_gpu_info{{{G}, mig="on"}}'
NO_CARD = "no GPU is watched here: is NVML or a DRM driver there, and its collector on?"
NO_ENERGY = "no GPU used energy in the window, or the recording rules are missing"
NO_WORK = 0.01


def rate(metric, selector):
    return f"rate(wattprint_{metric}_total{{{selector}}}[$__rate_interval])"


def named(expr, of="method, model, driver, mig"):
    """By card with its names, without the labels of the scrape, which recorded series don't have."""
    return f"sum by ({CARD}, {of}) ({expr} {NAMES})"
