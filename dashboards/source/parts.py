"""What all dashboards are made of: variables, links, annotations, and panels that can't be made without a description and a unit."""

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders import text as texts
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as model

# Colours that people with any of the common colour vision deficiencies tell apart (Okabe and Ito 2008,
# https://jfly.uni-koeln.de/color/). Never red against green.
BLUE, ORANGE, SKY, GREEN = "#0072B2", "#E69F00", "#56B4E9", "#009E73"
VERMILION, PURPLE, YELLOW, GREY = "#D55E00", "#CC79A7", "#F0E442", "#999999"

# One colour for one thing on every dashboard.
COLOURS = {
    "cpu": BLUE, "dram": SKY, "gpu": ORANGE, "other": GREY,
    "container": BLUE, "unit": SKY, "job": GREEN, "vm": PURPLE, "system": YELLOW, "idle": GREY, "unattributed": VERMILION,
    "active": BLUE, "parked": ORANGE,
}  # fmt: skip

DATASOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")

INTENSITY = 'zone:wattprint_grid_carbon_intensity_grams_per_kwh:avg{cluster=~"$cluster"}'

# The dashboards and their uids: links go by these.
UIDS = {
    "fleet": "wattprint-fleet",
    "node": "wattprint-node",
    "workloads": "wattprint-workloads",
    "gpu": "wattprint-gpu",
    "jobs": "wattprint-jobs",
    "carbon": "wattprint-carbon",
    "models": "wattprint-models",
    "self": "wattprint-self",
}


def variable(name, label, description, query, offers_all=True):
    """A variable for several values, or all; nodes without the label belong to "all".

    Where all aren't offered, Grafana begins with the first value.
    """
    built = (
        dashboard.QueryVariable(name)
        .label(label)
        .description(description)
        .query({"query": query, "refId": name})
        .datasource(DATASOURCE)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(offers_all)
    )
    if offers_all:
        built.all_value(".*").current(model.VariableOption(selected=True, text="All", value="$__all"))
    return built


def cluster():
    return variable(
        "cluster",
        "Cluster",
        "The cluster label of the scrape; empty where there is none.",
        "label_values(cluster:wattprint_energy_joules:increase1m, cluster)",
    )


def node(offers_all=True):
    return variable(
        "node",
        "Node",
        "A node by its instance label.",
        'label_values(wattprint_build_info{cluster=~"$cluster"}, instance)',
        offers_all,
    )


def namespace():
    return variable(
        "namespace",
        "Namespace",
        "Kubernetes namespaces; empty for containers outside Kubernetes.",
        'label_values(namespace:wattprint_energy_joules:increase1m{cluster=~"$cluster"}, namespace)',
    )


def board(key, title, description, variables):
    """A dashboard with the datasource and these variables, links to all others, and the annotations of all."""
    built = (
        dashboard.Dashboard(title)
        .uid(UIDS[key])
        .description(description)
        .tags(["wattprint"])
        .refresh("1m")
        .time("now-6h", "now")
        .timezone("browser")
        .readonly()
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .with_variable(
            dashboard.DatasourceVariable("datasource")
            .label("Data source")
            .description("The Prometheus, Thanos, Mimir or VictoriaMetrics that holds wattprint's series.")
            .type("prometheus")
        )
        .link(
            dashboard.DashboardLink("wattprint")
            .type(model.DashboardLinkType.DASHBOARDS)
            .tags(["wattprint"])
            .as_dropdown(True)
            .include_vars(True)
            .keep_time(True)
        )
        .annotation(
            annotation(
                "Alerts",
                VERMILION,
                'ALERTS{cluster=~"$cluster", alertname=~"Wattprint.+", alertstate="firing", severity!="info"}',
            )
        )
        .annotation(
            annotation(
                "Intensity changes by a quarter",
                PURPLE,
                # The mean of each zone: other labels of the series change together with the source or the quality.
                f"abs(avg by (cluster, grid_zone) ({INTENSITY})"
                f" / avg by (cluster, grid_zone) ({INTENSITY} offset 15m) - 1) > 0.25",
            )
        )
    )
    for each in variables:
        built.with_variable(each)
    return built


def annotation(name, colour, expr):
    return dashboard.AnnotationQuery().name(name).datasource(DATASOURCE).enable(True).icon_color(colour).expr(expr)


def to(key, title, labels):
    """A link from a value to another dashboard, which carries labels of the series over to its variables."""
    carried = "".join(f"&var-{name}=${{__field.labels.{label}}}" for name, label in labels.items())
    return (
        dashboard.DashboardLink(title)
        .type(model.DashboardLinkType.LINK)
        .url(f"/d/{UIDS[key]}?${{datasource:queryparam}}&${{__url_time_range}}{carried}")
    )


def row(title):
    return dashboard.Row(title)


def query(expr, legend="", instant=False):
    built = prometheus.Dataquery().expr(expr).datasource(DATASOURCE)
    if legend:
        built.legend_format(legend)
    return built.instant() if instant else built.range()


def letters(targets):
    for letter, target in zip("ABCDEFGHIJ", targets):
        yield target.ref_id(letter)


def dressed(panel, title, description, unit, empty, size):
    """What every panel must have. `empty` is what it shows where nothing is known, and why that may be."""
    width, height = size
    return (
        panel.title(title)
        .description(description)
        .unit(unit)
        .no_value(empty)
        .datasource(DATASOURCE)
        .span(width)
        .height(height)
    )


def coloured(panel):
    """Fixed colours for components, kinds and states, wherever a series has such a name."""
    for name, colour in COLOURS.items():
        fixed = {"mode": "fixed", "fixedColor": colour}
        panel.override_by_name(name, [model.DynamicConfigValue(id_val="color", value=fixed)])
    return panel


def lines(title, description, unit, targets, empty, size=(12, 8), stacked=False, links=()):
    """Time series; stacked where the parts add up to something that has a meaning."""
    panel = dressed(timeseries.Panel(), title, description, unit, empty, size)
    panel.min(0).line_width(2).fill_opacity(60 if stacked else 8).show_points(kinds.VisibilityMode.NEVER)
    panel.legend(
        common.VizLegendOptions()
        .display_mode(kinds.LegendDisplayMode.TABLE)
        .placement(kinds.LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs(["mean", "lastNotNull"])
    )
    panel.tooltip(common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI).sort(kinds.SortOrder.DESCENDING))
    if stacked:
        panel.stacking(common.StackingConfig().mode(kinds.StackingMode.NORMAL).group("A"))
    if links:
        panel.data_links(list(links))
    for target in letters(targets):
        panel.with_target(target)
    return coloured(panel)


def number(title, description, unit, targets, empty, size=(4, 4), steps=None, decimals=None, links=()):
    """One figure, or a few. `steps` are thresholds: pairs of a value and a colour, the first value being None."""
    panel = dressed(stat.Panel(), title, description, unit, empty, size)
    panel.graph_mode(kinds.BigValueGraphMode.NONE)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    panel.color_mode(kinds.BigValueColorMode.VALUE)
    steps = steps or [(None, BLUE)]
    panel.thresholds(
        dashboard.ThresholdsConfig()
        .mode(model.ThresholdsMode.ABSOLUTE)
        .steps([model.Threshold(value=value, color=colour) for value, colour in steps])
    )
    if decimals is not None:
        panel.decimals(decimals)
    if links:
        panel.data_links(list(links))
    for target in letters(targets):
        panel.with_target(target)
    return panel


def bars(title, description, unit, targets, empty, size=(12, 8), links=()):
    """Figures side by side, to compare them."""
    panel = dressed(bargauge.Panel(), title, description, unit, empty, size)
    panel.orientation(kinds.VizOrientation.HORIZONTAL).min(0)
    panel.display_mode(kinds.BarGaugeDisplayMode.BASIC)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    panel.thresholds(
        dashboard.ThresholdsConfig()
        .mode(model.ThresholdsMode.ABSOLUTE)
        .steps([model.Threshold(value=None, color=BLUE)])
    )
    if links:
        panel.data_links(list(links))
    for target in letters(targets):
        panel.with_target(target)
    return coloured(panel)


def rows(title, description, columns, empty, size=(24, 10), hidden=(), names=None, sort=None, links=None):
    """A table with one row for each set of labels that all columns share.

    `columns` are triples of a name, a unit and an expression; labels in `hidden` are left out, others are called as `names`
    says. `sort` is the name of the column to sort by, highest first. `links` are pairs of a label and a link.
    """
    panel = dressed(table.Panel(), title, description, "none", empty, size)
    values = {}
    for letter, (name, unit, expr) in zip("ABCDEFGHIJ", columns):
        # The merge below takes all text for a key, also the names of series: so they have to go.
        unnamed = f"sum without () ({expr})" if len(columns) > 1 else expr
        single = query(unnamed, instant=True).format("table").ref_id(letter)
        panel.with_target(single)
        values[f"Value #{letter}" if len(columns) > 1 else "Value"] = name
        panel.override_by_name(name, [model.DynamicConfigValue(id_val="unit", value=unit)])
    if len(columns) > 1:
        panel.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    excluded = {label: True for label in ("Time", "__name__", *hidden)}
    renamed = {**values, **(names or {})}
    panel.with_transformation(
        model.DataTransformerConfig(
            id_val="organize", options={"excludeByName": excluded, "indexByName": {}, "renameByName": renamed}
        )
    )
    if sort:
        panel.sort_by([common.TableSortByFieldState().display_name(sort).desc(True)])
    for label, link in links or []:
        panel.override_by_name(label, [model.DynamicConfigValue(id_val="links", value=[link])])
    return panel


def link_of_cell(key, title, variables):
    """A link from a cell of a table; `variables` maps variables of the other dashboard to columns of this table."""
    carried = "".join(f"&var-{name}=${{__data.fields.{column}}}" for name, column in variables.items())
    return {"title": title, "url": f"/d/{UIDS[key]}?${{datasource:queryparam}}&${{__url_time_range}}{carried}"}


def note(title, content, size=(24, 3)):
    """Text: what the figures beside it can't say themselves."""
    width, height = size
    return (
        texts.Panel().title(title).description(title).mode("markdown").content(content).span(width).height(height)
    )
