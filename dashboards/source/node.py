"""One node, or a few: its power, who has it, by which meters it is known, and what it emits."""

from grafana_foundation_sdk.models import dashboard as model

from figures import recent, tinted, windows
from parts import BLUE, ORANGE, SKY, VERMILION, board, cluster, lines, link_of_cell, node, number, query, row, rows, to

N = 'cluster=~"$cluster", instance=~"$node"'
ON_METER = "on (cluster, instance, meter, domain, device)"
CHOSEN = f'wattprint_meter_info{{{N}, reason=~"chosen.*"}}'
NO_NODE = "this node isn't scraped: look at Prometheus' targets"
NO_RULES = "nothing recorded for this node: isn't it scraped, or are the recording rules missing?"


def build():
    built = board(
        "node",
        "wattprint / Node",
        "One node, or a few: power by component and meter, who has it, GPUs and emissions. Choose nodes above. All"
        " aren't offered: of thousands at once this says little and takes long.",
        [cluster(), node(offers_all=False)],
    )
    for part in (now, power, owners, devices, carbon):
        part(built)
    return built


def now(built):
    built.with_row(row("Now and lately"))
    built.with_panel(
        number(
            "Power",
            "IT power, mean of five minutes. Compare it with the power supply's own reading, where there is one.",
            "watt",
            [query(f"sum(node:wattprint_power_watts:avg5m{{{N}}})", instant=True)],
            NO_RULES,
        )
    )
    built.with_panel(
        number(
            "Energy",
            "IT energy of the last hour, day and 30 days. If a window is far below what the power suggests, the node"
            " or the rules were away for a part of it.",
            "kwatth",
            windows("node", "wattprint_energy_kwh", N),
            NO_RULES,
            (8, 4),
        )
    )
    built.with_panel(
        number(
            "Emissions",
            "Location-based grams of CO2 equivalent, PUE included. Less work, or work in cleaner hours, lowers them.",
            "massg",
            windows("node", "wattprint_emissions_grams", N),
            "no emissions yet: no factor of the grid is known for this node, or the recording rules are missing",
            (8, 4),
            links=[to("carbon", "Cleaner hours and places", {})],
        )
    )
    built.with_panel(
        number(
            "Carbon budget used",
            "Share of the node's budget of 30 days that is used. Near 1, move work away or raise the budget.",
            "percentunit",
            [
                query(
                    f"max by (instance) (last_over_time(node:wattprint_carbon_budget_used:ratio30d{{{N}}}[10m]))",
                    "{{instance}}",
                    True,
                )
            ],
            "no budget is set: record node:wattprint_carbon_budget_grams:30d for this node",
            steps=[(None, BLUE), (0.8, ORANGE), (1, VERMILION)],
        )
    )


def power(built):
    built.with_row(row("Power"))
    built.with_panel(
        lines(
            "Power by component",
            "CPU, memory, GPUs, and other: what a whole-node meter shows beyond them. A component that is missing"
            " has no meter: see Meters.",
            "watt",
            [
                query(
                    f"sum by (component) (rate(wattprint_node_energy_joules_total{{{N}}}[$__rate_interval]))",
                    "{{component}}",
                )
            ],
            NO_NODE,
            stacked=True,
        )
    )
    built.with_panel(
        lines(
            "Power by kind of owner",
            "Who it went to; it adds up to the power by component. Much idle: there is room for more work, or the"
            " node could be switched off. Much unattributed: the dashboard of wattprint itself says why.",
            "watt",
            [
                query(
                    f"sum by (kind) (rate(wattprint_node_owner_energy_joules_total{{{N}}}[$__rate_interval]))",
                    "{{kind}}",
                )
            ],
            NO_NODE,
            stacked=True,
        )
    )
    metered = f"rate(wattprint_meter_energy_joules_total{{{N}}}[$__rate_interval])"
    built.with_panel(
        baselines(
            lines(
                "Baseline and what is above it",
                "Power of the chosen meters by domain, and the idle power (baseline) that wattprint learned or was"
                " told. What is above the baseline is active and goes to workloads. A baseline close to the power of a"
                " busy node is wrong: set it in [baseline].",
                "watt",
                [
                    query(f"sum by (domain) ({metered} and {ON_METER} {CHOSEN})", "{{domain}}"),
                    query(
                        f"sum by (domain) (wattprint_meter_baseline_watts{{{N}}} and {ON_METER} {CHOSEN})",
                        "{{domain}} baseline",
                    ),
                ],
                NO_NODE,
                (10, 9),
            )
        )
    )
    named = f"* {ON_METER} group_left (quality, reason) wattprint_meter_info{{{N}}}"
    built.with_panel(
        rows(
            "Meters",
            "Each meter, how good it is, and why it was chosen or not. Meters overlap, so they aren't added up. Up"
            " 0: its last value wasn't believed or couldn't be read; wattprint check on the node says what to do."
            " Resets and wraps are on the dashboard of wattprint itself.",
            [
                ("power", "watt", f"{metered} {named}"),
                ("baseline", "watt", f"wattprint_meter_baseline_watts{{{N}}} {named}"),
                ("up", "none", f"wattprint_meter_up{{{N}}} {named}"),
            ],
            "no meter: this node isn't scraped, or no collector of meters is on",
            (14, 9),
            hidden=("cluster", "job"),
            names={"instance": "node"},
            sort="power",
            links=[("meter", link_of_cell("self", "Resets and wraps of this node's meters", {"node": "instance"}))],
        )
    )


def baselines(panel):
    """Each domain's baseline in the colour of its power, dashed."""
    tinted(panel, {"package": BLUE, "package baseline": BLUE, "dram baseline": SKY, "gpu baseline": ORANGE})
    dashed = {"fill": "dash", "dash": [10, 10]}
    return panel.override_by_regexp(".+ baseline", [model.DynamicConfigValue(id_val="custom.lineStyle", value=dashed)])


def owners(built):
    built.with_row(row("Who has it"))
    containers = f"wattprint_container_power_watts{{{N}}}"
    built.with_panel(
        rows(
            "Containers",
            "The ten containers with the highest power in the last tick. Without a namespace: outside Kubernetes."
            " Follow the link to their history, and to the pods beside them.",
            [
                (
                    "power",
                    "watt",
                    f"topk(10, sum by (cluster, instance, namespace, pod, container, container_id) ({containers}))",
                )
            ],
            "no container runs on this node",
            (14, 9),
            hidden=("cluster", "job"),
            names={"instance": "node"},
            sort="power",
            links=[
                (
                    "namespace",
                    link_of_cell("workloads", "Its workloads", {"node": "instance", "namespace": "namespace"}),
                )
            ],
        )
    )
    processes = f"wattprint_process_power_watts{{{N}}}"
    built.with_panel(
        rows(
            "Processes",
            "The ten processes with the highest power in the last tick; they are part of their container or unit."
            " Only those that use most are exported. Look here when a container's power surprises you.",
            [
                (
                    "power",
                    "watt",
                    f"topk(10, sum by (instance, comm, pid, container_id, unit) ({processes}))",
                )
            ],
            "no process is exported: is the collector of processes on?",
            (10, 9),
            names={"instance": "node"},
            sort="power",
        )
    )
    built.with_panel(
        rows(
            "Services",
            "The ten systemd units with the highest power in the last tick. A daemon near the top that should be"
            " quiet is worth a look at its log.",
            [("power", "watt", f"topk(10, sum by (instance, unit) (wattprint_unit_power_watts{{{N}}}))")],
            "no systemd unit was seen on this node",
            (8, 8),
            names={"instance": "node"},
            sort="power",
        )
    )
    jobs = f"wattprint_job_power_watts{{{N}}}"
    built.with_panel(
        rows(
            "Batch jobs",
            "The ten batch jobs with the highest power on this node in the last tick. Follow the link for the whole"
            " job, on all of its nodes.",
            [("power", "watt", f"topk(10, sum by (instance, manager, job_id, job_name, user) ({jobs}))")],
            "no batch job runs on this node",
            (8, 8),
            names={"instance": "node"},
            sort="power",
            links=[("job_id", link_of_cell("jobs", "This job", {"manager": "manager", "job": "job_id"}))],
        )
    )
    built.with_panel(
        rows(
            "Virtual machines",
            "The ten virtual machines with the highest power in the last tick. Inside them, wattprint can run, too.",
            [("power", "watt", f"topk(10, sum by (instance, vm) (wattprint_vm_power_watts{{{N}}}))")],
            "no virtual machine runs on this node",
            (8, 8),
            names={"instance": "node"},
            sort="power",
        )
    )


def devices(built):
    built.with_row(row("GPUs"))
    named = f"* on (cluster, instance, gpu, uuid) group_left (model) wattprint_gpu_info{{{N}}}"
    limit = f"wattprint_gpu_power_limit_watts{{{N}}}"
    built.with_panel(
        rows(
            "GPUs of this node",
            "Each card: power, its share of the limit, how busy the driver says it is, memory in use, and whether it"
            " answers. Busy 0 with memory in use is a parked context; power at the limit is throttled. Follow the"
            " link to who has it.",
            [
                ("power", "watt", f"wattprint_gpu_power_watts{{{N}}} {named}"),
                (
                    "of limit",
                    "percentunit",
                    f"wattprint_gpu_power_watts{{{N}}} / ({limit} > 0) {named}",
                ),
                ("busy", "percentunit", f"wattprint_gpu_utilization_ratio{{{N}}} {named}"),
                ("memory", "bytes", f"wattprint_gpu_memory_used_bytes{{{N}}} {named}"),
                ("clients", "none", f"wattprint_gpu_clients{{{N}}} {named}"),
                ("up", "none", f"wattprint_gpu_up{{{N}}} {named}"),
            ],
            "no GPU on this node, or its driver can't be asked",
            (24, 8),
            hidden=("cluster", "job"),
            names={"instance": "node"},
            sort="power",
            links=[("gpu", link_of_cell("gpu", "This card", {"node": "instance", "gpu": "uuid"}))],
        )
    )


def carbon(built):
    built.with_row(row("Carbon"))
    built.with_panel(
        lines(
            "Emissions an hour by component",
            "Location-based grams of CO2 equivalent an hour, PUE included. It moves with power and with the grid:"
            " compare with the factor beside it.",
            "massg",
            [query(f"sum by (component) (node:wattprint_emissions_grams:increase1m{{{N}}}) * 60", "{{component}}")],
            "no emissions yet: no factor of the grid is known for this node, or the recording rules are missing",
            (8, 8),
            stacked=True,
        )
    )
    factor = f"wattprint_grid_carbon_intensity_grams_per_kwh{{{N}}}"
    built.with_panel(
        lines(
            "Factor of the grid in force",
            "Grams of CO2 equivalent per kilowatt-hour, by zone, source and quality. Quality static is a yearly mean"
            " that knows no hours: configure a live source. Stale means that the source is silent: look at the age,"
            " and at the fetches.",
            "suffix: g/kWh",
            [query(f"avg by (grid_zone, provider, quality) ({factor})", "{{grid_zone}} {{provider}} {{quality}}")],
            "no factor is known: set carbon.zone in wattprint's configuration",
            (8, 8),
            links=[to("carbon", "Ahead, and elsewhere", {})],
        )
    )
    built.with_panel(
        number(
            "Age of the factor",
            "Time since the source of the factor was last heard; only live sources have one. Hours: look at the grid"
            " fetches on the dashboard of wattprint itself.",
            "s",
            [query(f"max(wattprint_grid_carbon_intensity_age_seconds{{{N}}})", instant=True)],
            "the factor isn't live: it is a yearly mean or a constant",
            steps=[(None, BLUE), (7200, ORANGE), (21600, VERMILION)],
            size=(4, 8),
        )
    )
    built.with_panel(
        number(
            "PUE",
            "Power usage effectiveness that turns IT energy into the site's. It is 1 where none is configured, and"
            " grams leave cooling and losses out then: set carbon.pue.",
            "none",
            [
                query(f"avg(wattprint_pue_ratio{{{N}}})", "in force", True),
                query(f"min(wattprint_pue_configured{{{N}}})", "configured (1: yes)", True),
            ],
            NO_NODE,
            size=(4, 8),
        )
    )
    built.with_panel(
        number(
            "Embodied and market-based, 1 day",
            "The last day's part of the emissions of making this hardware, and the market-based view of its"
            " electricity. They are other scopes than the location-based grams: never add location-based and"
            " market-based ones.",
            "massg",
            [
                query(
                    f"sum(sum_over_time(node:wattprint_embodied_emissions_grams:increase1m{{{N}}}[23h59m59s999ms] offset 1m))",
                    "embodied",
                    True,
                ),
                query(
                    f"sum(sum_over_time(node:wattprint_market_emissions_grams:increase1m{{{N}}}[23h59m59s999ms] offset 1m))",
                    "market-based",
                    True,
                ),
            ],
            "not configured: set embodied.enabled and market.* in wattprint's configuration",
            (8, 4),
        )
    )
    owner = "rate(wattprint_node_owner_energy_joules_total{{{}}}[$__rate_interval])"
    wasted = owner.format(f'{N}, kind=~"idle|unattributed"')
    built.with_panel(
        number(
            "Share without work or owner",
            "Share of the power now that is idle, and that has no known owner. Idle above a half: give the node more"
            " work or switch it off. Unattributed above a twentieth: the dashboard of wattprint itself names the"
            " reasons.",
            "percentunit",
            [query(f"sum by (kind) ({wasted}) / scalar(sum({owner.format(N)}))", "{{kind}}", True)],
            NO_NODE,
            (8, 4),
            decimals=1,
            links=[to("self", "Why unattributed", {})],
        )
    )
    built.with_panel(
        number(
            "Water, 30 days",
            "Water that the site used for this node's energy, at the litres per kilowatt-hour (WUE) of now.",
            "litre",
            [
                query(
                    f"sum({recent(f'node:wattprint_energy_kwh:increase30d{{{N}}}')}"
                    f" * on (cluster, instance) wattprint_wue_liters_per_kwh{{{N}}})",
                    instant=True,
                )
            ],
            "not configured: set carbon.wue in wattprint's configuration",
            (8, 4),
        )
    )
