"""How figures are written. Run by `python -m unittest discover --start-directory dashboards/source`."""

import math
import unittest

from shown import filled, formatted, legend, reduced, table, values_of


class Units(unittest.TestCase):
    def test_three_figures_count(self):
        for value, shown in ((1.2345, "1.23 W"), (12.345, "12.3 W"), (123.45, "123 W"), (0.99999, "1 W"), (0, "0 W"), (5, "5 W")):
            self.assertEqual(formatted(value, "watt"), shown)

    def test_prefixes_go_by_the_value(self):
        self.assertEqual(formatted(1530, "watt"), "1.53 kW")
        self.assertEqual(formatted(1000, "watt"), "1 kW")
        self.assertEqual(formatted(999, "watt"), "999 W")
        self.assertEqual(formatted(0.0042, "watt"), "4.20 mW")
        self.assertEqual(formatted(-2500, "watt"), "-2.50 kW")
        self.assertEqual(formatted(2.5e6, "massg"), "2.50 Mg")

    def test_some_units_have_a_prefix_already(self):
        self.assertEqual(formatted(0.5, "kwatth"), "500 Wh")
        self.assertEqual(formatted(1.5, "kwatth"), "1.50 kWh")
        self.assertEqual(formatted(1500, "kwatth"), "1.50 MWh")
        self.assertEqual(formatted(0.25, "lengthkm"), "250 m")

    def test_shares_and_times(self):
        self.assertEqual(formatted(0.1234, "percentunit"), "12.3%")
        self.assertEqual(formatted(0.0005, "s"), "500 µs")
        self.assertEqual(formatted(90, "s"), "1.50 mins")
        self.assertEqual(formatted(3600, "s"), "1 hour")
        self.assertEqual(formatted(36, "h"), "1.50 days")
        self.assertEqual(formatted(7_200_000, "dateTimeFromNow", now=0), "in 2 hours")
        self.assertEqual(formatted(0, "dateTimeFromNow", now=180), "3 mins ago")

    def test_the_rest(self):
        self.assertEqual(formatted(3 * 1024**3, "bytes"), "3 GiB")
        self.assertEqual(formatted(1234, "short"), "1.23 K")
        self.assertEqual(formatted(287.4, "suffix: g/kWh"), "287 g/kWh")
        self.assertEqual(formatted(12.345, "none", decimals=1), "12.3")
        self.assertEqual(formatted(math.nan, "watt"), "")
        self.assertRaises(ValueError, formatted, 1, "bananas")


class Variables(unittest.TestCase):
    BOARD = {
        "templating": {
            "list": [
                {"type": "query", "name": "node", "allValue": ".*"},
                {"type": "custom", "name": "hours", "query": "1,4", "current": {"value": "4"}},
                {"type": "custom", "name": "top", "query": "5,10", "current": {}},
            ]
        }
    }

    def test_all_ways_to_write_a_variable(self):
        values = values_of(self.BOARD, minutes=60, step=15, scrape=15)
        self.assertEqual(filled('a{n=~"$node",h="${hours}"}[$__range]', values), 'a{n=~".*",h="4"}[60m]')
        self.assertEqual(filled("topk($top, rate(a[$__rate_interval]))", values), "topk(5, rate(a[60s]))")
        self.assertEqual(filled('"[[node]]" "${node:regex}"', values), '".*" ".*"')

    def test_unknown_names_stay(self):
        self.assertEqual(filled("$other and ${__field.labels.gpu} cost 5$", {}), "$other and ${__field.labels.gpu} cost 5$")

    def test_names_of_series(self):
        self.assertEqual(legend("{{ node }} / {{gpu}}", {"node": "a", "gpu": "0"}), "a / 0")
        self.assertEqual(legend("", {"__name__": "up", "job": "b"}), 'up{job="b"}')


class Values(unittest.TestCase):
    def test_calculations(self):
        points = [(0, 1.0), (1, 3.0), (2, math.nan)]
        self.assertEqual(reduced(points, "lastNotNull"), 3.0)
        self.assertEqual(reduced(points, "mean"), 2.0)
        self.assertIsNone(reduced([(0, math.nan)], "mean"))

    def test_columns_of_a_table_are_joined_by_labels(self):
        results = [("A", [({"n": "x"}, 1.0), ({"n": "y"}, 2.0)]), ("B", [({"n": "y"}, 3.0)])]
        renamed = {"Value #A": "Watts", "Value #B": "Grams", "n": "Node"}
        panel = {
            "transformations": [{"id": "merge"}, {"id": "organize", "options": {"renameByName": renamed}}],
            "options": {"sortBy": [{"displayName": "Watts", "desc": True}]},
        }
        header, body = table(results, panel)
        self.assertEqual(header, ["Node", "Watts", "Grams"])
        self.assertEqual(body, [["y", 2.0, 3.0], ["x", 1.0, None]])


if __name__ == "__main__":
    unittest.main()
