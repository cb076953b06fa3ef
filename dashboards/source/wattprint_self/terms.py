"""What is asked of the daemons: selectors, and what empty panels mean."""

C = 'cluster=~"$cluster"'
N = f'{C}, instance=~"$node"'
OURS = f"and on (cluster, job, instance) wattprint_build_info{{{N}}}"
NO_NODE = "no node is scraped: look at Prometheus' targets"
