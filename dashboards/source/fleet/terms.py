"""What is asked of the fleet: the clusters, and what empty panels mean."""

C = 'cluster=~"$cluster"'
NO_RULES = "no cluster has sent energy lately: are wattprint and its recording rules there?"
KINDS = "container, unit (systemd), job (batch), vm, system, idle, unattributed"
# Meters whose readings were used; a whole-node meter only adds what the others don't cover, so it is left out.
CHOSEN = (
    f'rate(wattprint_meter_energy_joules_total{{{C}, domain!="node"}}[$__rate_interval])'
    " * on (cluster, instance, meter, domain, device) group_left (quality)"
    f' wattprint_meter_info{{{C}, reason=~"chosen.*"}}'
)
