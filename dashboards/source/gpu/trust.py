"""How far figures of cards can be trusted: evidence, health, and cards in parts."""

from figures import tinted
from gpu.terms import C, CARD, G, HELD, NO_CARD, WITH_MIG, named, rate
from parts import BLUE, GREY, VERMILION, bars, lines, link_of_cell, note, number, query, row, rows


def evidence(built):
    built.with_row(row("How it is known"))
    built.with_panel(
        bars(
            "Cards by method",
            "Evidence by which energy was split in the last tick, best first: exclusive (one owner), sm_util (time"
            " that each process kept the card busy), gpm and mig_slice (MIG), memory, equal. Many by memory or equal:"
            " the limits beside this say what better evidence needs.",
            "none",
            [query(f"count by (method) (wattprint_gpu_attribution_info{{{G}}})", "{{method}}", True)],
            NO_CARD,
            (8, 8),
        )
    )
    built.with_panel(
        rows(
            "Limits",
            "What keeps cards from better figures, and why, with the number of cards. Most are a right or a driver"
            " version: run wattprint check on the node.",
            [("cards", "none", f"count by (what, reason) (wattprint_gpu_limitation_info{{{G}}})")],
            "nothing limits the figures of these cards, or none is watched",
            (8, 8),
            sort="cards",
            links=[("what", link_of_cell("self", "Whether figures can be trusted", {}))],
        )
    )
    nobody = f'{G}, kind="unattributed"'
    built.with_panel(
        number(
            "Power that no owner was found for",
            "Work on these cards by processes that nobody could name. Above a few percent of the power: hostPID is"
            " missing, or the driver doesn't tell clients.",
            "watt",
            [query(f"sum({rate('gpu_owner_energy_joules', nobody)})", instant=True)],
            "all power of these cards has an owner, or none is watched",
            (4, 8),
        )
    )
    built.with_panel(
        number(
            "Nodes whose drivers' pids aren't ours",
            "Nodes where the pids that GPU drivers give aren't those of wattprint's procfs: nobody can be told there."
            " Give the daemon the host's pid namespace (hostPID).",
            "none",
            [
                query(
                    f'count(wattprint_gpu_pid_namespace_ok{{{C}, instance=~"$node"}} == 0)'
                    f' or count(wattprint_gpu_pid_namespace_ok{{{C}, instance=~"$node"}}) * 0',
                    instant=True,
                )
            ],
            "no node with GPU clients",
            (4, 8),
            steps=[(None, BLUE), (1, VERMILION)],
        )
    )


def health(built):
    built.with_row(row("Health"))
    built.with_panel(
        rows(
            "Lost cards",
            "Cards that gave no answer in the last tick. Their counters stand still; the others go on. Read the"
            " kernel's log for Xid, drain the node and reset the card.",
            [("up", "none", named(f"(wattprint_gpu_up{{{G}}} == 0)", "model, driver"))],
            "every card answers, or none is watched",
            (8, 7),
            hidden=("cluster",),
            names={"instance": "node"},
            links=[("node", link_of_cell("node", "This node", {"node": "instance"}))],
        )
    )
    built.with_panel(
        lines(
            "Calls to drivers that are stuck",
            "For how long a call hasn't returned, the five longest; 0 is none. Seconds and rising: the card or its"
            " driver hangs; drain the node.",
            "s",
            [
                query(
                    f"topk(5, max by (instance, gpu) (wattprint_gpu_call_stuck_seconds{{{G}}}))",
                    "{{instance}} GPU {{gpu}}",
                )
            ],
            NO_CARD,
            (8, 7),
        )
    )
    built.with_panel(
        lines(
            "Failed readings an hour",
            "Readings that failed and calls that hung, an hour, of the five worst cards. Now and then is harmless; a"
            " steady rate is a card that is about to be lost.",
            "short",
            [
                query(
                    f"topk(5, sum by (instance, gpu) ({rate('gpu_errors', G)})) * 3600",
                    "{{instance}} GPU {{gpu}}",
                )
            ],
            NO_CARD,
            (8, 7),
        )
    )


def instances(built):
    built.with_row(row("MIG"))
    built.with_panel(
        tinted(
            lines(
                "Power of cards with MIG, by container",
                "Power of whole cards with MIG by the container that it went to, and what nobody has of them: free or"
                " unattributed. Free for hours: larger or fewer instances would do.",
                "watt",
                [
                    query(
                        "topk(10, sum by (namespace, pod, container)"
                        f" ({rate('gpu_container_energy_joules', HELD)} {WITH_MIG}))",
                        "{{namespace}} {{pod}} {{container}}",
                    ),
                    query(
                        f"sum by (kind) ({rate('gpu_owner_energy_joules', nobodys())} {WITH_MIG})",
                        "{{kind}}",
                    ),
                ],
                "no card has MIG on",
                (9, 9),
                stacked=True,
            ),
            {"idle": GREY, "unattributed": VERMILION},
        )
    )
    built.with_panel(
        rows(
            "Cards with MIG",
            "Cards that are divided. Holders are containers and jobs with an instance, clients are processes on any of"
            " them. Busy is empty where the driver gives none for a divided card.",
            [
                ("power", "watt", named(f"(wattprint_gpu_power_watts{{{G}}} {WITH_MIG})", "method, model")),
                ("busy", "percentunit", named(f"(wattprint_gpu_utilization_ratio{{{G}}} {WITH_MIG})", "method, model")),
                ("memory", "bytes", named(f"(wattprint_gpu_memory_used_bytes{{{G}}} {WITH_MIG})", "method, model")),
                ("clients", "none", named(f"(wattprint_gpu_clients{{{G}}} {WITH_MIG})", "method, model")),
                (
                    "holders",
                    "none",
                    named(f"(count by ({CARD}) (wattprint_gpu_allocated{{{HELD}}}) {WITH_MIG})", "method, model"),
                ),
            ],
            "no card has MIG on",
            (9, 9),
            hidden=("cluster",),
            names={"instance": "node"},
            sort="power",
            links=[("uuid", link_of_cell("gpu", "This card", {"node": "instance", "gpu": "uuid"}))],
        )
    )
    built.with_panel(
        note(
            "What can be seen of an instance",
            "The hardware counts energy for the **whole card** only: there is no power, energy or limit of an instance,"
            " and none is made up here.\n\nThe card's energy is split: **gpm** (Hopper and newer) by how busy each"
            " instance kept its multiprocessors, **mig_slice** elsewhere by the size of the instances that hold a"
            " process, whether they work or not. Several owners within one instance are told apart by memory.\n\nIdle"
            " energy goes to whom instances were given to, by size; instances that nobody holds are idle.",
            (6, 9),
        )
    )


def nobodys():
    return f'{G}, kind=~"idle|unattributed"'
