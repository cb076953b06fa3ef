//! What one GPU node shows on /metrics, with the names and labels of docs/metrics.md.

use std::fmt::{Display, Write};

const CONTAINERS: u64 = 30;
const GPUS: u64 = 8;
const PROCESSES: u64 = 20;
/// For how many turns of containers one that ended is still shown.
const KEPT: u64 = 5;

/// Time of the simulation. One container of each node ends with each turn, and a new one begins.
#[derive(Clone, Copy)]
pub(crate) struct Clock {
    /// Seconds since the nodes began, sped up as the scrapes are.
    pub(crate) seconds: f64,
    /// Unix time.
    pub(crate) now: f64,
}

struct Page {
    text: String,
    family: &'static str,
}

impl Page {
    fn line(&mut self, family: &'static str, labels: &str, value: impl Display) {
        if family != self.family {
            let kind = if family.ends_with("_total") { "counter" } else { "gauge" };
            writeln!(self.text, "# HELP {family} Simulated.\n# TYPE {family} {kind}").ok();
            self.family = family;
        }
        if labels.is_empty() {
            writeln!(self.text, "{family} {value}").ok();
        } else {
            writeln!(self.text, "{family}{{{labels}}} {value}").ok();
        }
    }
}

struct Container {
    labels: String,
    info: String,
    gpu: Option<u64>,
    parked: bool,
    watts: f64,
    seconds: f64,
    runs: bool,
}

pub(crate) fn metrics(node: u64, clock: Clock) -> String {
    let mut page = Page { text: String::with_capacity(256 * 1024), family: "" };
    let seconds = clock.seconds;
    let containers = containers(node, seconds);
    nodes(&mut page, seconds);
    of_containers(&mut page, node, &containers);
    if node.is_multiple_of(10) {
        jobs(&mut page, node, seconds);
    }
    processes(&mut page, seconds, &containers);
    gpus(&mut page, node, seconds);
    meters(&mut page, seconds);
    grid(&mut page, clock);
    itself(&mut page, clock);
    page.text
}

fn nodes(page: &mut Page, seconds: f64) {
    const PARTS: [(&str, f64); 4] = [("cpu", 310.0), ("dram", 60.0), ("gpu", 3100.0), ("other", 400.0)];
    const KINDS: [(&str, f64); 6] = [
        ("container", 0.6),
        ("unit", 0.05),
        ("job", 0.1),
        ("system", 0.05),
        ("idle", 0.15),
        ("unattributed", 0.05),
    ];
    for (part, watts) in PARTS {
        page.line("wattprint_node_energy_joules_total", &format!("component=\"{part}\""), watts * seconds);
    }
    for (part, watts) in PARTS {
        page.line("wattprint_node_power_watts", &format!("component=\"{part}\""), watts);
    }
    for (part, watts) in PARTS {
        for (kind, share) in KINDS {
            let labels = format!("component=\"{part}\",kind=\"{kind}\"");
            page.line("wattprint_node_owner_energy_joules_total", &labels, watts * share * seconds);
        }
    }
    for (part, watts) in PARTS {
        let labels = format!("component=\"{part}\"");
        page.line("wattprint_node_emissions_grams_total", &labels, grams(watts * seconds));
    }
}

/// At 380 g/kWh and a PUE of 1.2.
fn grams(joules: f64) -> f64 {
    joules / 3.6e6 * 380.0 * 1.2
}

/// A slot holds a container for as many minutes as there are slots, and then the next one; slots change one after the other.
fn containers(node: u64, seconds: f64) -> Vec<Container> {
    let minute = (seconds / 60.0).floor() as u64;
    let mut containers = Vec::new();
    for slot in 0..CONTAINERS {
        let turns = (minute + CONTAINERS - 1 - slot) / CONTAINERS;
        let began = |turn: u64| if turn == 0 { 0 } else { (turn - 1) * CONTAINERS + slot + 1 };
        containers.push(container(node, slot, turns, (seconds - 60.0 * began(turns) as f64).max(0.0), true));
        if turns > 0 && minute - began(turns) < KEPT {
            let lived = 60.0 * (began(turns) - began(turns - 1)) as f64;
            containers.push(container(node, slot, turns - 1, lived, false));
        }
    }
    containers
}

fn container(node: u64, slot: u64, turn: u64, seconds: f64, runs: bool) -> Container {
    // What belongs together over nodes: 40 namespaces, each with up to 10 controllers.
    let app = (node * 7 + slot) % 400;
    let namespace = app % 40;
    let id = (node << 24) | (turn << 8) | slot;
    let (phase, model) = match slot {
        0..4 => ("inference", format!("model-{}", app % 20)),
        4..6 => ("training", format!("model-{}", app % 20)),
        _ => ("", String::new()),
    };
    let owner_kind = if slot % 6 == 5 { "Job" } else { "Deployment" };
    let labels = format!(
        "namespace=\"team-{namespace}\",pod=\"app-{app}-{id:x}\",container=\"main\",container_id=\"{id:012x}\",runtime=\"containerd\""
    );
    let info = format!(
        "{labels},image=\"registry.example/app-{app}:1.4\",owner_kind=\"{owner_kind}\",owner_name=\"app-{app}\",node=\"node-{node}\",phase=\"{phase}\",model=\"{model}\",variant=\"\""
    );
    let watts = 2.0 + slot as f64 / 3.0;
    Container { labels, info, gpu: (slot < GPUS).then_some(slot), parked: slot == 7, watts, seconds, runs }
}

fn of_containers(page: &mut Page, node: u64, containers: &[Container]) {
    let parts = |container: &Container| {
        let mut parts = vec![("cpu", container.watts), ("dram", container.watts / 5.0)];
        if container.gpu.is_some() {
            parts.push(("gpu", 300.0));
        }
        parts
    };
    for container in containers {
        for (part, watts) in parts(container) {
            let states: &[(&str, f64)] = match (part, container.parked) {
                ("gpu", true) => &[("active", 0.7), ("idle", 0.2), ("parked", 0.1)],
                ("gpu", false) => &[("active", 0.8), ("idle", 0.2)],
                _ => &[("active", 1.0)],
            };
            for (state, share) in states {
                let labels = format!("{},component=\"{part}\",state=\"{state}\"", container.labels);
                let joules = watts * share * container.seconds;
                page.line("wattprint_container_energy_joules_total", &labels, joules);
            }
        }
    }
    for container in containers.iter().filter(|container| container.runs) {
        for (part, watts) in parts(container) {
            let labels = format!("{},component=\"{part}\"", container.labels);
            page.line("wattprint_container_power_watts", &labels, watts + (container.seconds % 7.0) / 10.0);
        }
    }
    for container in containers {
        for (part, watts) in parts(container) {
            let labels = format!("{},component=\"{part}\"", container.labels);
            let counted = grams(watts * container.seconds);
            page.line("wattprint_container_emissions_grams_total", &labels, counted);
        }
    }
    for container in containers {
        let counted = container.seconds * container.watts / 12.0;
        page.line("wattprint_container_cpu_seconds_total", &container.labels, counted);
    }
    for container in containers {
        page.line("wattprint_container_info", &container.info, 1);
    }
    let holders = || containers.iter().filter_map(|container| Some((container.gpu?, container)));
    for (gpu, container) in holders() {
        let labels = format!("{},{}", card(node, gpu), container.labels);
        page.line("wattprint_gpu_container_energy_joules_total", &labels, 300.0 * container.seconds);
    }
    for (gpu, container) in holders().filter(|(_, container)| container.runs) {
        let labels = format!("{},{},manager=\"\",job_id=\"\"", card(node, gpu), container.labels);
        page.line("wattprint_gpu_allocated", &labels, 1);
    }
}

/// Two jobs, each on the ten nodes after this one in number as far as they have jobs, changed every half hour.
fn jobs(page: &mut Page, node: u64, seconds: f64) {
    let turn = (seconds / 1800.0).floor();
    let jobs: Vec<String> = (0..2)
        .map(|place| {
            let id = 10_000.0 + turn * 1_000.0 + (node / 100 * 2 + place) as f64;
            format!(
                "manager=\"slurm\",job_id=\"{id}\",job_name=\"train-{place}\",user=\"user-{}\"",
                node / 100
            )
        })
        .collect();
    let lived = seconds - turn * 1800.0;
    let parts = [("cpu", 40.0), ("dram", 8.0)];
    for job in &jobs {
        for (part, watts) in parts {
            let labels = format!("{job},component=\"{part}\",state=\"active\"");
            page.line("wattprint_job_energy_joules_total", &labels, watts * lived);
        }
    }
    for job in &jobs {
        for (part, watts) in parts {
            page.line("wattprint_job_power_watts", &format!("{job},component=\"{part}\""), watts);
        }
    }
    for job in &jobs {
        for (part, watts) in parts {
            let labels = format!("{job},component=\"{part}\"");
            page.line("wattprint_job_emissions_grams_total", &labels, grams(watts * lived));
        }
    }
    for job in &jobs {
        let labels = format!(
            "{job},image=\"\",owner_kind=\"\",owner_name=\"\",node=\"node-{node}\",phase=\"training\",model=\"model-j\",variant=\"\",account=\"a\",partition=\"gpu\""
        );
        page.line("wattprint_job_info", &labels, 1);
    }
}

fn processes(page: &mut Page, seconds: f64, containers: &[Container]) {
    let running = containers.iter().filter(|container| container.runs).take(PROCESSES as usize);
    let labels: Vec<(String, f64)> = running
        .zip(4_000..)
        .flat_map(|(container, pid)| {
            let id = container.labels.split("container_id=\"").nth(1).map_or("", |rest| &rest[..12]);
            ["cpu", "dram"].map(|part| {
                let labels = format!(
                    "pid=\"{pid}\",comm=\"python3\",container_id=\"{id}\",unit=\"\",component=\"{part}\""
                );
                (labels, container.seconds)
            })
        })
        .collect();
    for (labels, lived) in &labels {
        let labels = format!("{labels},state=\"active\"");
        page.line("wattprint_process_energy_joules_total", &labels, lived * 1.5);
    }
    for (labels, _) in &labels {
        page.line("wattprint_process_power_watts", labels, 1.5 + (seconds % 11.0) / 10.0);
    }
}

fn card(node: u64, gpu: u64) -> String {
    format!("gpu=\"{gpu}\",uuid=\"GPU-{node:08x}-0000-4000-8000-{gpu:012x}\"")
}

fn gpus(page: &mut Page, node: u64, seconds: f64) {
    let cards: Vec<String> = (0..GPUS).map(|gpu| card(node, gpu)).collect();
    let mut each = |family: &'static str, more: &str, value: f64| {
        for card in &cards {
            page.line(family, &format!("{card}{more}"), value);
        }
    };
    each("wattprint_gpu_energy_joules_total", "", 390.0 * seconds);
    for (kind, share) in [("container", 0.75), ("job", 0.1), ("idle", 0.1), ("unattributed", 0.05)] {
        let more = format!(",kind=\"{kind}\"");
        each("wattprint_gpu_owner_energy_joules_total", &more, 390.0 * share * seconds);
    }
    each("wattprint_gpu_power_watts", "", 390.0 + seconds % 13.0);
    each("wattprint_gpu_utilization_ratio", "", 0.6 + (seconds % 9.0) / 100.0);
    each("wattprint_gpu_memory_used_bytes", "", 4.1e10);
    each("wattprint_gpu_power_limit_watts", "", 700.0);
    each("wattprint_gpu_up", "", 1.0);
    each("wattprint_gpu_call_stuck_seconds", "", 0.0);
    each("wattprint_gpu_errors_total", "", 0.0);
    each("wattprint_gpu_clients", "", 2.0);
    let info =
        ",model=\"H100\",vendor=\"nvidia\",pci_bus_id=\"00000000:1B:00.0\",driver=\"550.90\",mig=\"off\"";
    each("wattprint_gpu_info", info, 1.0);
    each("wattprint_gpu_attribution_info", ",method=\"sm_util\"", 1.0);
    each("wattprint_gpu_limitation_info", ",what=\"gpm\",reason=\"not supported\"", 1.0);
    page.line("wattprint_gpu_pid_namespace_ok", "", 1);
}

fn meters(page: &mut Page, seconds: f64) {
    let packages =
        [("package-0", "package"), ("package-1", "package"), ("dram-0", "dram"), ("dram-1", "dram")];
    let mut meters: Vec<(String, f64)> = packages
        .iter()
        .map(|(device, domain)| (format!("meter=\"rapl\",domain=\"{domain}\",device=\"{device}\""), 150.0))
        .collect();
    for gpu in 0..GPUS {
        meters.push((format!("meter=\"nvml\",domain=\"gpu\",device=\"{gpu}\""), 390.0));
    }
    let mut each = |family: &'static str, more: &str, value: &dyn Fn(f64) -> f64| {
        for (labels, watts) in &meters {
            page.line(family, &format!("{labels}{more}"), value(*watts));
        }
    };
    each("wattprint_meter_energy_joules_total", "", &|watts| watts * seconds);
    each("wattprint_meter_info", ",quality=\"measured\",reason=\"chosen: best\"", &|_| 1.0);
    each("wattprint_meter_up", "", &|_| 1.0);
    each("wattprint_meter_baseline_watts", "", &|watts| watts / 4.0);
    each("wattprint_meter_resets_total", "", &|_| 0.0);
    each("wattprint_meter_wraps_total", "", &|_| 3.0);
}

fn grid(page: &mut Page, clock: Clock) {
    let of = "provider=\"electricitymaps\",grid_zone=\"DE\"";
    let zone = "grid_zone=\"DE\",provider=\"electricitymaps\",basis=\"consumption\",quality=\"measured\"";
    page.line("wattprint_grid_carbon_intensity_grams_per_kwh", zone, 380.0 + clock.seconds % 17.0);
    page.line("wattprint_grid_carbon_intensity_age_seconds", "", clock.seconds % 900.0);
    page.line("wattprint_pue_ratio", "", 1.2);
    page.line("wattprint_pue_configured", "", 1);
    for hours in 1..=24 {
        let labels = format!("hours_ahead=\"{hours}\"");
        page.line("wattprint_grid_forecast_grams_per_kwh", &labels, 300 + hours);
    }
    for hours in [1, 4] {
        let labels = format!("hours=\"{hours}\"");
        page.line("wattprint_grid_best_window_start_timestamp_seconds", &labels, clock.now + 7200.0);
    }
    for hours in [1, 4] {
        page.line("wattprint_grid_best_window_grams_per_kwh", &format!("hours=\"{hours}\""), 290 + hours);
    }
    for result in ["success", "error"] {
        page.line("wattprint_grid_fetches_total", &format!("{of},result=\"{result}\""), 4);
    }
    page.line("wattprint_grid_source_last_success_timestamp_seconds", of, clock.now - 60.0);
}

fn itself(page: &mut Page, clock: Clock) {
    let collectors = ["rapl", "hwmon", "nvml", "cgroups", "processes", "kubelet"];
    for collector in collectors {
        page.line("wattprint_collector_success", &format!("collector=\"{collector}\""), 1);
    }
    for collector in collectors {
        page.line("wattprint_collector_duration_seconds", &format!("collector=\"{collector}\""), 0.002);
    }
    page.line("wattprint_sample_timestamp_seconds", "", clock.now);
    page.line("wattprint_sample_duration_seconds", "", 0.011);
    for family in ["container", "process"] {
        page.line("wattprint_series_dropped_total", &format!("family=\"{family}\""), 0);
    }
    for part in ["cpu", "gpu"] {
        let labels = format!("component=\"{part}\",reason=\"ended unseen\"");
        page.line("wattprint_unattributed_energy_joules_total", &labels, clock.seconds);
    }
    page.line("wattprint_build_info", "version=\"0.1.0\",arch=\"x86_64\",os=\"linux\"", 1);
    page.line("process_cpu_seconds_total", "", clock.seconds / 50.0);
    page.line("process_resident_memory_bytes", "", 2.4e7);
    page.line("process_virtual_memory_bytes", "", 9e7);
    page.line("process_start_time_seconds", "", clock.now - clock.seconds);
    page.line("process_threads", "", 6);
    page.line("process_open_fds", "", 40);
    page.line("process_max_fds", "", 1024);
}
