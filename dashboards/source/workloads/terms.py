"""What is asked of workloads: selectors, and the join that gives containers the names of now."""

C = 'cluster=~"$cluster"'
N = f'{C}, namespace=~"$namespace"'
W = f'{N}, owner_name=~"$workload"'
ON_NODE = f'{C}, instance=~"$node"'
CONTAINERS = f'{ON_NODE}, namespace=~"$namespace", pod=~"$pod"'
OUTSIDE = f'{ON_NODE}, namespace=~"$namespace", namespace=""'
# A counter's labels are fixed when it begins; names that come later, and the controller, are on the container's info
# only. Counters without a namespace are let in, so that the info can say whose they are.
WITH_ID = f'{ON_NODE}, namespace=~"$namespace|", container_id!=""'
WITHOUT_ID = f'{CONTAINERS}, container_id=""'
INFO = f'{CONTAINERS}, owner_name=~"$workload"'
INFO_WITH_ID = f'wattprint_container_info{{{INFO}, container_id!=""}}'
INFO_WITHOUT_ID = f'wattprint_container_info{{{INFO}, container_id=""}}'
NAMED_SINCE = f'wattprint_container_info{{{ON_NODE}, namespace=~"$namespace", namespace!="", container_id!=""}}'
GPU, UNUSED = ', component="gpu"', ', state=~"idle|parked"'
ONE = "cluster, instance, namespace, pod, container, container_id"
NO_CONTAINER = "no container of these ran in the window, or the recording rules are missing"
NOT_NOW = "no container of these runs now: widen namespace, workload, pod and node"


def rate(metric, selector):
    return f"rate(wattprint_{metric}_total{{{selector}}}[$__rate_interval])"


def owned(measured, labels="", more=""):
    """What `measured` makes of the selector of containers' series, for the chosen ones, by the names that are known now.

    `labels` are kept beside the names, `more` narrows the series further. What belongs to a pod but to none of its
    containers has no id, and is told by its pod.
    """
    one, kept = "cluster, instance, container_id", f", {labels}" if labels else ""
    return (
        f"(sum by ({one}{kept}) ({measured(WITH_ID + more)})"
        f" * on ({one}) group_left (namespace, pod, container) topk by ({one}) (1, {INFO_WITH_ID})"
        f" or {measured(WITHOUT_ID + more)} and on (cluster, instance, namespace, pod) {INFO_WITHOUT_ID})"
    )


def rated(metric, labels="", more=""):
    return owned(lambda selector: rate(metric, selector), labels, more)


def called(expr):
    """Series without a namespace by a name that a legend can show."""
    return f'label_replace({expr}, "namespace", "outside Kubernetes", "namespace", "")'
