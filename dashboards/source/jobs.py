"""Batch jobs of Slurm, PBS and LSF: what they use and emit, for whom, and one of them in detail."""

from figures import equivalences, recent, sources, windows
from parts import bars, board, cluster, lines, link_of_cell, number, query, row, rows, to, variable

# Level series of jobs know all of these labels; account and partition are absent where nobody told them.
J = 'cluster=~"$cluster", manager=~"$manager", user=~"$user", account=~"$account", job_id=~"$job"'
# Series of one node know no account: that is on the job's info.
OF_NODE = 'cluster=~"$cluster", manager=~"$manager", user=~"$user", job_id=~"$job"'
OF_ACCOUNT = f"and on (cluster, instance, manager, job_id) wattprint_job_info{{{J}}}"
WHO = "cluster, manager, job_id, job_name, user, account, partition, phase, model, variant"
NO_JOB = "no job of these ran in the window"
MISSING = "where jobs do run: do they have cgroups of their own? docs/jobs.md says which settings make them"


def picked(name, label, description, tag, others):
    """A variable of the jobs that ran in the time shown, narrowed by the variables before it."""
    chosen = ", ".join(f'{each}=~"${each}"' for each in others)
    return variable(
        name, label, description, f"label_values(job:wattprint_energy_joules:increase1m{{{chosen}}}, {tag})"
    )


def build():
    built = board(
        "jobs",
        "wattprint / Jobs",
        "Batch jobs of Slurm, PBS and LSF: energy, emissions and GPUs by job, user, account and partition.",
        [
            cluster(),
            picked("manager", "Batch system", "slurm, pbs or lsf.", "manager", ["cluster"]),
            picked("user", "User", "Who submitted the job.", "user", ["cluster", "manager"]),
            picked(
                "account",
                "Account",
                "The account or project; empty where nobody told it.",
                "account",
                ["cluster", "manager", "user"],
            ),
            picked(
                "job",
                "Job",
                "The job's id; choose one to see it in detail.",
                "job_id",
                ["cluster", "manager", "user", "account"],
            ),
        ],
    )
    for part in (now, shares, each, one, gpus):
        part(built)
    return built


def now(built):
    built.with_row(row("How much"))
    built.with_panel(
        number(
            "Jobs",
            f"Jobs that used energy in the last five minutes. None, {MISSING}.",
            "none",
            [query(f"count(job:wattprint_power_watts:avg5m{{{J}}} > 0)", instant=True)],
            "no job ran in the last five minutes",
        )
    )
    built.with_panel(
        number(
            "Power",
            "IT power of these jobs, mean of five minutes: CPU time's share of CPU and memory, and the GPUs that"
            " they hold.",
            "watt",
            [query(f"sum(job:wattprint_power_watts:avg5m{{{J}}})", instant=True)],
            "no job ran in the last five minutes",
        )
    )
    built.with_panel(
        number(
            "Energy",
            "IT energy of these jobs in the last hour, day and 30 days, over all of their nodes. Charge it, or show"
            " it to whom it belongs.",
            "kwatth",
            windows("job", "wattprint_energy_kwh", J),
            NO_JOB,
            (8, 4),
        )
    )
    built.with_panel(
        number(
            "Emissions",
            "Location-based grams of CO2 equivalent of these jobs, PUE included. Jobs that can wait belong in"
            " cleaner hours.",
            "massg",
            windows("job", "wattprint_emissions_grams", J),
            NO_JOB,
            (8, 4),
            links=[to("carbon", "Cleaner hours and places", {})],
        )
    )
    built.with_panel(
        lines(
            "Power by partition",
            "IT power of jobs by partition (queue). A partition that is always near zero ties up nodes that could be"
            " off.",
            "watt",
            [query(f"sum by (partition) (job:wattprint_power_watts:avg5m{{{J}}})", "partition {{partition}}")],
            NO_JOB,
            stacked=True,
        )
    )
    built.with_panel(
        lines(
            "Power by user, highest ten",
            "IT power of jobs by user. Ask the highest first when power or emissions must come down.",
            "watt",
            [query(f"topk(10, sum by (user) (job:wattprint_power_watts:avg5m{{{J}}}))", "user {{user}}")],
            NO_JOB,
        )
    )


def shares(built):
    built.with_row(row("For whom, 30 days"))
    for label, title, advice in (
        ("user", "users", "Users without a name are uids that passwd doesn't know; a prolog script can name them."),
        ("account", "accounts", "One without a name: nobody told wattprint the account; a prolog script can."),
        ("partition", "partitions", "Compare with what the partition costs in hours."),
    ):
        energy = recent(f"job:wattprint_energy_kwh:increase30d{{{J}}}")
        built.with_panel(
            bars(
                f"Energy of {title}, highest ten",
                f"IT energy of jobs in the last 30 days by {label}. {advice}",
                "kwatth",
                [query(f"topk(10, sum by ({label}) ({energy}))", f"{label} {{{{{label}}}}}", True)],
                "no job ran in the last 30 days, or the recording rules are younger than ten minutes",
                (8, 8),
            )
        )


def each(built):
    built.with_row(row("Jobs"))
    energy = recent(f"job:wattprint_energy_kwh:increase1d{{{J}}}")
    top = f"topk(50, {energy})"
    gpu = f'sum by ({WHO}) (sum_over_time(job:wattprint_energy_joules:increase1m{{{J}, component="gpu"}}[59m59s999ms] offset 1m)) / 3.6e6'
    built.with_panel(
        rows(
            "Jobs of the last day",
            "The fifty jobs with the most energy in the last day. Mean is over the minutes of the last hour in which"
            " the job was there; nodes are those where it is now, none for a job that ended. A low GPU share on a"
            " GPU partition is a job that wastes cards. Follow the link for one job.",
            [
                ("energy 1 d", "kwatth", top),
                ("grams 1 d", "massg", recent(f"job:wattprint_emissions_grams:increase1d{{{J}}}") + f" and {top}"),
                ("power", "watt", f"job:wattprint_power_watts:avg5m{{{J}}} and {top}"),
                ("mean 1 h", "watt", f"avg_over_time(job:wattprint_power_watts:avg5m{{{J}}}[1h]) and {top}"),
                ("GPU share 1 h", "percentunit", f"{gpu} / (job:wattprint_energy_kwh:increase1h{{{J}}} > 0) and {top}"),
                ("nodes", "none", f"count by ({WHO}) (wattprint_job_info{{{J}}}) and {top}"),
            ],
            "no job ran in the last day, or the recording rules are younger than five minutes",
            (24, 11),
            hidden=("phase", "model", "variant"),
            sort="energy 1 d",
            links=[
                (
                    "job_id",
                    link_of_cell("jobs", "This job", {"cluster": "cluster", "manager": "manager", "job": "job_id"}),
                ),
                ("user", link_of_cell("jobs", "Jobs of this user", {"cluster": "cluster", "user": "user"})),
            ],
        )
    )
    learnt = "({0}{{{1}, model!=\"\"}} or {0}{{{1}, phase!=\"\"}})"
    by = "cluster, manager, job_id, job_name, phase, model, variant"
    energy = learnt.format("job:wattprint_energy_kwh:increase1h", J)
    grams = learnt.format("job:wattprint_emissions_grams:increase1h", J)
    watts = learnt.format("job:wattprint_power_watts:avg5m", J)
    built.with_panel(
        rows(
            "Jobs that train or serve a model",
            "Jobs that say what they are (phase, model, variant), in the last hour. If the job counts its steps, the"
            " dashboard of models has grams per step.",
            [
                ("power", "watt", f"sum by ({by}) ({watts})"),
                ("energy 1 h", "kwatth", f"sum by ({by}) ({energy})"),
                ("grams 1 h", "massg", f"sum by ({by}) ({grams})"),
            ],
            "no job of the last hour says its phase or model: set WATTPRINT_PHASE and WATTPRINT_MODEL in its"
            " environment",
            (24, 7),
            sort="energy 1 h",
            links=[
                (
                    "model",
                    link_of_cell(
                        "models", "This model", {"cluster": "cluster", "model": "model", "variant": "variant"}
                    ),
                ),
                (
                    "job_id",
                    link_of_cell("jobs", "This job", {"cluster": "cluster", "manager": "manager", "job": "job_id"}),
                ),
            ],
        )
    )


def one(built):
    built.with_row(row("One job: choose it above, else these are sums"))
    watts = f"(rate(wattprint_job_energy_joules_total{{{OF_NODE}}}[$__rate_interval]) {OF_ACCOUNT})"
    built.with_panel(
        lines(
            "Power by component",
            "IT power of the job by component. GPUs that draw little beside busy CPUs wait for data.",
            "watt",
            [query(f"sum by (component) ({watts})", "{{component}}")],
            NO_JOB,
            (8, 8),
            stacked=True,
        )
    )
    built.with_panel(
        lines(
            "Power by node, highest ten",
            "IT power of the job on each of its nodes. One far below the others waits for them, or works for nobody:"
            " the job may want fewer nodes.",
            "watt",
            [query(f"topk(10, sum by (cluster, instance) ({watts}))", "{{instance}}")],
            NO_JOB,
            (8, 8),
            links=[to("node", "This node", {"cluster": "cluster", "node": "instance"})],
        )
    )
    built.with_panel(
        lines(
            "Power by state",
            "Active did work; idle is the base power of what the job holds; parked is a GPU context that does none."
            " Much idle or parked: give cards back, or end the job.",
            "watt",
            [query(f"sum by (state) ({watts})", "{{state}}")],
            NO_JOB,
            (8, 8),
            stacked=True,
        )
    )
    grams = f"sum({recent(f'job:wattprint_emissions_grams:increase30d{{{J}}}')})"
    built.with_panel(
        number(
            "Emissions of 30 days are as much as",
            "The same grams in things that people know, to get a feeling for them; not for reports. " + sources(),
            "short",
            equivalences(grams),
            NO_JOB,
            (18, 4),
            decimals=2,
        )
    )
    built.with_panel(
        number(
            "Embodied, 1 day",
            "The last day's part of the emissions of making the hardware that these jobs had, beside their"
            " electricity's.",
            "massg",
            [query(f"sum(sum_over_time(job:wattprint_embodied_emissions_grams:increase1m{{{J}}}[23h59m59s999ms] offset 1m))", instant=True)],
            "no job of these, or not configured: set embodied.enabled",
            (6, 4),
        )
    )


def gpus(built):
    built.with_row(row("GPUs of jobs"))
    given = (
        '(wattprint_gpu_allocated{cluster=~"$cluster", manager=~"$manager", job_id=~"$job", manager!=""}'
        f" * on (cluster, instance, manager, job_id) group_left (job_name, user) wattprint_job_info{{{J}}})"
    )
    busy = 'wattprint_gpu_utilization_ratio{cluster=~"$cluster"}'
    drawn = 'wattprint_gpu_power_watts{cluster=~"$cluster"}'
    on_card = "on (cluster, instance, gpu, uuid)"
    built.with_panel(
        number(
            "GPUs given to jobs, and idle",
            "Cards (or parts of cards) that jobs hold now, and those of them that are below a twentieth busy. Ask"
            " the owner of an idle one whether the job hangs, or asked for too many.",
            "none",
            [
                query(f"count({given})", "given", True),
                query(f"sum({given} * {on_card} group_left () ({busy} < bool 0.05))", "idle", True),
            ],
            "no job holds a GPU, or nobody told wattprint which: docs/jobs.md",
            (6, 9),
        )
    )
    keep = "sum by (cluster, instance, gpu, uuid, manager, job_id, job_name, user)"
    built.with_panel(
        rows(
            "GPUs that jobs hold",
            "Each card that was given to a job: how busy it is and what it draws. Follow the links to the card and"
            " the job.",
            [
                ("busy", "percentunit", f"{keep} ({given} * {on_card} group_left () {busy})"),
                ("power", "watt", f"{keep} ({given} * {on_card} group_left () {drawn})"),
            ],
            "no job holds a GPU, or nobody told wattprint which: docs/jobs.md",
            (10, 9),
            hidden=("uuid", "manager", "cluster"),
            names={"instance": "node"},
            sort="power",
            links=[
                ("gpu", link_of_cell("gpu", "This card", {"node": "instance", "gpu": "uuid"})),
                ("job_id", link_of_cell("jobs", "This job", {"job": "job_id"})),
                ("node", link_of_cell("node", "This node", {"node": "instance"})),
            ],
        )
    )
    unused = f'wattprint_job_energy_joules_total{{{OF_NODE}, component="gpu", state=~"idle|parked"}}'
    built.with_panel(
        lines(
            "GPU power of jobs without work",
            "Power of cards that jobs hold without use (idle), or with contexts that do nothing (parked). It is paid"
            " for and emits: end what hangs, and ask for fewer cards. No rule adds it up to energy for jobs, as for"
            " namespaces: the mean in the legend times the hours shown is about as much.",
            "watt",
            [
                query(f"sum by (state) (rate({unused}[$__rate_interval]) {OF_ACCOUNT})", "{{state}}"),
            ],
            "no job holds a GPU without work",
            (8, 9),
        )
    )
