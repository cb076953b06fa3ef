"""What is asked of models: selectors, and what empty panels mean."""

from parts import variable

C = 'cluster=~"$cluster"'
M = f'{C}, model=~"$model", variant=~"$variant", phase=~"$phase"'
U = f'{M}, unit=~"$unit"'
BY = "cluster, model, variant, phase, unit"
NO_MODEL = (
    "no pod or job of these says what it runs: annotate pods with wattprint.io/model, /variant and /phase, or set"
    " WATTPRINT_MODEL, WATTPRINT_VARIANT and WATTPRINT_PHASE in a job's environment"
)
NO_WORK = (
    "no work is counted for these: Prometheus must scrape the server's tokens and requests with the labels namespace"
    " and pod, or the job's own wattprint_work_total{unit}; and the pod needs wattprint.io/model or /phase"
)
NO_BASELINE = (
    "nothing to compare: annotate one Deployment of the model with wattprint.io/variant: baseline, another one with"
    " its own variant, and the same phase; both must count the same unit of work"
)
NO_PLAN = "no run says what it plans: expose wattprint_work_planned{unit} beside wattprint_work_total{unit}"
TOO_YOUNG = "; or the recording rules are younger than five minutes"


def of_models(name, label, description, series, narrowed):
    chosen = ", ".join(f'{each}=~"${each}"' for each in narrowed)
    return variable(name, label, description, f"label_values({series}{{{chosen}}}, {name})")


def called(expr):
    """Series without a phase by a name that a legend can show."""
    return f'label_replace({expr}, "phase", "no phase", "phase", "")'
