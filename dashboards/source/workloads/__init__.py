"""Workloads: from namespaces to controllers, pods and containers, and what runs outside Kubernetes."""

from parts import board, cluster, namespace, node, variable
from workloads.groups import footprint, namespaces, now, workloads
from workloads.running import containers, outside
from workloads.terms import N


def build():
    built = board(
        "workloads",
        "wattprint / Workloads",
        "Energy and emissions by namespace, controller, pod and container, and of what runs outside Kubernetes.",
        [
            cluster(),
            namespace(),
            variable(
                "workload",
                "Workload",
                "The top controller of pods (Deployment, CronJob, ...); empty where a pod or container has none. It"
                " doesn't narrow what is shown of whole namespaces.",
                f"label_values(workload:wattprint_energy_joules:increase1m{{{N}}}, owner_name)",
            ),
            variable(
                "pod",
                "Pod",
                "Narrows pods and containers only.",
                f'label_values(wattprint_container_info{{{N}, owner_name=~"$workload"}}, pod)',
            ),
            node().description("Narrows pods, containers, units and virtual machines only."),
        ],
    )
    for part in (now, namespaces, workloads, containers, outside, footprint):
        part(built)
    return built
