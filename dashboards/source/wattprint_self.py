"""wattprint itself: whether its figures can be trusted, and what it costs."""

from parts import board, cluster, lines, node, number, row, rows, query, BLUE, ORANGE, VERMILION

NODES = 'cluster=~"$cluster", instance=~"$node"'


def build():
    return (
        board(
            "self",
            "wattprint / wattprint itself",
            "Whether every node is measured, by what, how well, and what that costs.",
            [cluster(), node()],
        )
        .with_row(row("Can the figures be trusted?"))
        .with_panel(
            number(
                "Nodes that answer",
                "Nodes whose daemon was scraped. Fewer than you have: look at the targets of Prometheus.",
                "none",
                [query(f"count(wattprint_build_info{{{NODES}}})")],
                "no node is scraped",
            )
        )
        .with_panel(
            lines(
                "Tick",
                "What one sample of the node took. Near the sample interval, figures are late: raise sample.interval.",
                "s",
                [query(f"max by (instance) (wattprint_sample_duration_seconds{{{NODES}}})", "{{instance}}")],
                "no node is scraped",
            )
        )
    )
