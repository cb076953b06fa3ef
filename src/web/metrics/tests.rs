use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use proptest::prelude::{any, proptest};

use super::{Kind, encode, families, reference_markdown};
use crate::identity::ContainerFacts;
use crate::snapshot::{Details, Facts, Snapshot, Title, WorkloadTotals};
use crate::web::fixture::{self, NASTY};
use crate::workloads::owner::{JobManager, Owner};

/// One sample of the text.
#[derive(Debug, PartialEq)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// Reads the text format back: names with their type, and samples.
fn parse(text: &str) -> (Vec<(String, String)>, Vec<Sample>) {
    let (mut types, mut samples) = (Vec::new(), Vec::new());
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            types.push((name.to_owned(), kind.to_owned()));
        } else if !line.starts_with("# HELP ") {
            samples.push(parse_sample(line));
        }
    }
    (types, samples)
}

fn parse_sample(line: &str) -> Sample {
    let end = line.find(['{', ' ']).unwrap();
    let mut labels = BTreeMap::new();
    let mut rest = &line[end..];
    if let Some(inner) = rest.strip_prefix('{') {
        let mut chars = inner.char_indices();
        loop {
            let name: String = chars.by_ref().map(|(_, c)| c).take_while(|c| *c != '=').collect();
            assert_eq!(chars.next().unwrap().1, '"', "{line}");
            let mut value = String::new();
            loop {
                match chars.next().unwrap().1 {
                    '"' => break,
                    '\\' => value.push(match chars.next().unwrap().1 {
                        'n' => '\n',
                        c @ ('"' | '\\') => c,
                        other => panic!("escape {other:?} in {line}"),
                    }),
                    c => value.push(c),
                }
            }
            assert!(labels.insert(name, value).is_none(), "{line}");
            match chars.next().unwrap() {
                (_, ',') => {}
                (at, '}') => {
                    rest = &inner[at + 1..];
                    break;
                }
                other => panic!("{other:?} in {line}"),
            }
        }
    }
    Sample { name: line[..end].to_owned(), labels, value: rest.trim().parse().unwrap() }
}

fn text(snapshot: &Snapshot) -> String {
    let own = super::OwnProcess::read().unwrap();
    encode(snapshot, Some(&own)).unwrap()
}

/// The values of one family, by the label values joined with `/`, empty ones left out.
fn values(snapshot: &Snapshot, family: &str) -> Vec<(String, f64)> {
    let declared = families().find(|declared| declared.name == family).unwrap();
    let (_, samples) = parse(&text(snapshot));
    let of_family = samples.into_iter().filter(|sample| sample.name == family);
    of_family
        .map(|sample| {
            let values = declared.labels.iter().map(|label| sample.labels[*label].as_str());
            let values: Vec<_> = values.filter(|value| !value.is_empty()).collect();
            (values.join("/"), sample.value)
        })
        .collect()
}

#[test]
fn cards_that_were_given_away_show_their_holders() {
    let job = Owner::Job { manager: JobManager::Slurm, id: "7".into(), uid: None };
    let held = WorkloadTotals { held: true, ..fixture::workload(fixture::container("c2", ""), 1, 0, false) };
    let workloads = vec![
        fixture::workload(fixture::container("c1", "u-1"), 1, 0, false),
        held,
        fixture::workload(job, 1, 0, false),
        fixture::workload(fixture::unit("a.service"), 1, 0, false),
    ];
    let rows = values(&fixture::with(workloads, Vec::new()), "wattprint_gpu_allocated");
    let card = fixture::snapshot().gpus.remove(0).identity;
    let card = format!("{}/{}", card.gpu, card.uuid);
    assert_eq!(rows, [(format!("{card}/u-1/c1/containerd"), 1.0), (format!("{card}/slurm/7"), 1.0)]);
}

#[test]
fn every_family_is_there_once_with_its_own_labels() {
    let (types, samples) = parse(&text(&fixture::snapshot()));
    let declared: Vec<_> =
        families().map(|family| (family.name.to_owned(), family.kind.as_str().to_owned())).collect();
    assert_eq!(types, declared, "all families, in order, each once");

    let mut series = HashSet::new();
    for sample in &samples {
        let family = families().find(|family| family.name == sample.name).unwrap();
        let mut labels = family.labels.to_vec();
        labels.sort_unstable();
        assert!(sample.labels.keys().eq(labels), "{sample:?}");
        assert!(series.insert(format!("{}{:?}", sample.name, sample.labels)), "twice: {sample:?}");
    }

    // All lines of a family stand together.
    let mut names: Vec<_> = samples.iter().map(|sample| &sample.name).collect();
    names.dedup();
    assert_eq!(names.len(), names.iter().collect::<HashSet<_>>().len());
}

#[test]
fn names_follow_the_conventions() {
    for family in families() {
        let total = family.name.ends_with("_total");
        assert_eq!(family.kind == Kind::Counter, total, "{}", family.name);
        assert!(family.help.ends_with('.') && !family.help.contains("  "), "{}", family.name);
        let prefixed = family.name.starts_with("wattprint_") || family.name.starts_with("process_");
        assert!(prefixed, "{}", family.name);
    }
}

#[test]
fn owners_add_up_to_the_node() {
    let snapshot = fixture::snapshot();
    for totals in &snapshot.components {
        let prefix = format!("{}/", totals.component.as_str());
        let by_kind: f64 = values(&snapshot, "wattprint_node_owner_energy_joules_total")
            .iter()
            .filter(|(labels, _)| labels.starts_with(&prefix))
            .map(|(_, joules)| (joules * 1e6).round())
            .sum();
        let node = values(&snapshot, "wattprint_node_energy_joules_total");
        let (_, node) = node.iter().find(|(labels, _)| *labels == totals.component.as_str()).unwrap();
        assert_eq!(by_kind, (node * 1e6).round());
    }
    let containers: f64 = values(&snapshot, "wattprint_container_energy_joules_total")
        .iter()
        .filter(|(labels, _)| labels.contains("/cpu/"))
        .map(|(_, joules)| (joules * 1e6).round())
        .sum();
    let node = values(&snapshot, "wattprint_node_owner_energy_joules_total");
    let (_, node) = node.iter().find(|(labels, _)| labels == "cpu/container").unwrap();
    assert_eq!(containers, (node * 1e6).round());
}

#[test]
fn owners_have_the_labels_of_their_family() {
    let snapshot = fixture::snapshot();
    let labels = |family| values(&snapshot, family).into_iter().map(|(labels, _)| labels).collect::<Vec<_>>();
    let pod = "6f1d2c3b-0000-4000-8000-00000000beef";
    assert_eq!(
        labels("wattprint_container_cpu_seconds_total"),
        [format!("{pod}/0123456789ab/containerd"), pod.to_owned(), "web/lxc".to_owned()]
    );
    assert_eq!(
        labels("wattprint_unit_power_watts"),
        ["ssh.service/cpu", "ssh.service/dram", "gone.service/cpu", "gone.service/dram"]
    );
    assert_eq!(
        labels("wattprint_job_emissions_grams_total"),
        ["slurm/4711/1000/cpu", "slurm/4711/1000/dram"]
    );
    assert_eq!(labels("wattprint_vm_power_watts")[0], format!("{NASTY}/cpu"));
    assert_eq!(
        values(&snapshot, "wattprint_process_energy_joules_total"),
        [
            ("42/sh/ssh.service/cpu/active".to_owned(), 0.000_111),
            (format!("4242/{NASTY}/0123456789ab/cpu/active"), 8.0),
            ("7/solver/cpu/active".to_owned(), 8.000_003),
        ]
    );
}

#[test]
fn unknown_is_absent() {
    let mut snapshot = fixture::snapshot();
    assert_eq!(values(&snapshot, "wattprint_node_power_watts"), [("cpu".to_owned(), 42.0)]);
    let package = "rapl/package/intel-rapl:0".to_owned();
    assert_eq!(values(&snapshot, "wattprint_meter_energy_joules_total"), [(package.clone(), 123.456_789)]);
    assert_eq!(values(&snapshot, "wattprint_meter_baseline_watts"), [(package, 11.5)]);

    snapshot.pue.0 = f64::NAN;
    snapshot.workloads.clear();
    let text = encode(&snapshot, None).unwrap();
    for absent in ["wattprint_pue_ratio", "wattprint_job_", "process_threads"] {
        assert!(!text.contains(&format!("# TYPE {absent}")), "{absent} is there without samples");
    }
}

#[test]
fn the_grid_tells_what_holds_what_is_ahead_and_how_its_sources_fare() {
    let snapshot = fixture::snapshot();
    for (family, expected) in [
        ("carbon_intensity_grams_per_kwh", vec![("FR/electricity_maps/lifecycle/measured", 44.2)]),
        ("carbon_intensity_age_seconds", vec![("", 420.0)]),
        ("market_intensity_grams_per_kwh", vec![("location", 11.05)]),
        ("marginal_intensity_grams_per_kwh", vec![("FR/electricity_maps", 390.0)]),
        ("forecast_grams_per_kwh", vec![("0", 44.2), ("1", 40.0)]),
        ("best_window_start_timestamp_seconds", vec![("4", 1_800_003_600.0)]),
        ("best_window_grams_per_kwh", vec![("4", 30.5)]),
        ("fetches_total", vec![("electricity_maps/FR/success", 3.0), ("electricity_maps/FR/timeout", 1.0)]),
        ("source_last_success_timestamp_seconds", vec![("electricity_maps/FR", 1_799_999_580.25)]),
    ] {
        let got = values(&snapshot, &format!("wattprint_grid_{family}"));
        let expected: Vec<_> =
            expected.into_iter().map(|(labels, value)| (labels.to_owned(), value)).collect();
        assert_eq!(got, expected, "{family}");
    }
}

#[test]
fn emissions_of_each_kind_have_families_of_their_own() {
    let snapshot = fixture::snapshot();
    let job = |family: &str| values(&snapshot, &format!("wattprint_job_{family}"))[0].clone();
    assert_eq!(job("emissions_grams_total"), ("slurm/4711/1000/cpu".to_owned(), 0.5));
    assert_eq!(job("market_emissions_grams_total"), ("slurm/4711/1000/cpu".to_owned(), 0.25));
    assert_eq!(job("water_liters_total"), ("slurm/4711/1000/cpu".to_owned(), 0.125));
    assert_eq!(job("embodied_emissions_grams_total"), ("slurm/4711/1000/other".to_owned(), 0.75));
    let kinds = values(&snapshot, "wattprint_node_owner_embodied_emissions_grams_total");
    let names = ["container", "unit", "job", "vm", "system", "unallocated"];
    assert!(kinds.iter().map(|(labels, _)| labels.as_str()).eq(names.map(|name| format!("other/{name}"))));
    let node = values(&snapshot, "wattprint_node_embodied_emissions_grams_total");
    assert_eq!(node, [("other".to_owned(), kinds.iter().map(|(_, grams)| grams).sum())]);
    let bounds = values(&snapshot, "wattprint_embodied_grams");
    assert_eq!(
        bounds,
        [("gpu/GPU-0000/value".to_owned(), 164e3), ("gpu/GPU-0000/high".to_owned(), 575e3)],
        "nobody gives a low end"
    );
}

#[test]
fn what_is_not_configured_has_no_samples() {
    let mut snapshot = fixture::snapshot();
    for totals in &mut snapshot.components {
        (totals.market_emissions, totals.water) = (None, None);
    }
    for totals in &mut snapshot.workloads {
        totals.embodied.clear();
        for cell in &mut totals.components {
            (cell.market_emissions, cell.water) = (None, None);
        }
    }
    (snapshot.market, snapshot.wue, snapshot.grid_age, snapshot.grid_outlook) = (None, None, None, None);
    snapshot.grid_state = Default::default();
    snapshot.embodied.clear();
    snapshot.embodied_parts.clear();
    snapshot.pue_configured = false;
    assert_eq!(values(&snapshot, "wattprint_pue_configured"), [(String::new(), 0.0)]);
    let text = encode(&snapshot, None).unwrap();
    for absent in [
        "market",
        "water",
        "embodied",
        "wue",
        "_age_seconds",
        "marginal",
        "forecast",
        "best_window",
        "fetches",
        "last_success",
    ] {
        assert!(!text.contains(absent), "{absent} is there without being configured");
    }
}

#[test]
fn a_container_is_shown_as_its_title_says_in_every_family() {
    let id = |end: &str| format!("0123456789ab{end:0>52}");
    let mut clashing = fixture::workload(fixture::container(&id("2"), ""), 1_000_000, 0, false);
    clashing.title = Arc::new(Title { container_id: id("2").into(), ..(*clashing.title).clone() });
    let first = fixture::workload(fixture::container(&id("1"), ""), 5_000_000, 0, true);
    let process = fixture::process(7, "x", fixture::container(&id("2"), ""), 9, false);
    let snapshot = fixture::with(vec![first, clashing], vec![process]);
    let values = |family: &str| values(&snapshot, family);
    let energy = values("wattprint_container_energy_joules_total");
    assert_eq!(energy.len(), 6);
    assert!(energy.contains(&("0123456789ab/containerd/cpu/active".to_owned(), 5.0)), "{energy:?}");
    assert!(energy.contains(&(format!("{}/containerd/cpu/active", id("2")), 1.0)), "{energy:?}");
    assert!(values("wattprint_process_energy_joules_total")[0].0.contains(&id("2")));
}

#[test]
fn what_is_held_back_has_no_series() {
    let mut held = fixture::workload(fixture::container(&"a".repeat(64), ""), 5_000_000, 0, false);
    held.held = true;
    let snapshot = fixture::with(vec![held], Vec::new());
    assert!(!text(&snapshot).contains("aaaaaaaaaaaa"));
}

#[test]
fn info_has_the_names_of_now_and_all_else_that_is_known() {
    let mut web = fixture::workload(fixture::container(&"a".repeat(64), "u-1"), 5_000_000, 0, false);
    web.facts = Some(Facts::Container(Arc::new(ContainerFacts {
        namespace: "shop".into(),
        pod: "web-0".into(),
        container: "web".into(),
        details: Details {
            image: "nginx:1".into(),
            owner_kind: "Deployment".into(),
            owner_name: "web".into(),
            phase: NASTY.into(),
            // One that stands there already doesn't stand there twice.
            extra: vec![("label_team".into(), "a".into()), ("pod".into(), "b".into())],
            ..Details::default()
        },
        ..ContainerFacts::default()
    })));
    let snapshot = fixture::with(vec![web], Vec::new());
    let (_, samples) = parse(&text(&snapshot));
    let info = samples.iter().find(|sample| sample.name == "wattprint_container_info").unwrap();
    let label = |name: &str| info.labels[name].as_str();
    assert_eq!((label("namespace"), label("pod"), label("container")), ("shop", "web-0", "web"));
    assert_eq!((label("container_id"), label("label_team"), label("phase")), ("aaaaaaaaaaaa", "a", NASTY));
    assert_eq!((label("owner_kind"), label("image"), info.value), ("Deployment", "nginx:1", 1.0));
    let energy = samples.iter().find(|sample| sample.name == "wattprint_container_energy_joules_total");
    assert_eq!(energy.unwrap().labels["pod"], "u-1", "a counter keeps the labels that it was born with");
}

#[test]
fn the_live_owner_wins_where_labels_clash() {
    let unit = |ended, energy| fixture::workload(fixture::unit("a.service"), energy, 0, ended);
    let snapshot = fixture::with(vec![unit(true, 5_000_000), unit(false, 1_000_000)], Vec::new());
    let values = values(&snapshot, "wattprint_unit_energy_joules_total");
    assert_eq!(values[0], ("a.service/cpu/active".to_owned(), 1.0));
    assert_eq!(values.len(), 3);
}

proptest! {
    #[test]
    fn any_name_reads_back(comm in any::<String>()) {
        let process = fixture::process(1, &comm, fixture::unit("a.service"), 1_000_000, false);
        let snapshot = fixture::with(Vec::new(), vec![process]);
        // A carriage return and the like are no line ends in this format.
        let text = text(&snapshot);
        let line = text.split('\n').find(|line| line.starts_with("wattprint_process_energy")).unwrap();
        assert_eq!(parse_sample(line).labels["comm"], comm);
    }
}

#[test]
fn the_reference_page_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    let page = reference_markdown();
    if std::env::var_os("WATTPRINT_BLESS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let stored = std::fs::read_to_string(path).unwrap_or_default();
    assert!(stored == page, "docs/metrics.md is stale; rewrite it with WATTPRINT_BLESS=1 cargo test");
}
