//! What a run cost, as Prometheus and the kernel say.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Outcome;
use crate::server::{get, number, query};

/// Look-backs that a counter of containers is read with, beside the hour of the rules.
const LOOK_BACKS: [&str; 5] = ["2m", "5m", "10m", "15m", "1h"];

/// CPU time of a process and of the one that measures, which is the nodes.
pub(crate) struct Effort {
    at: Instant,
    process: f64,
    nodes: f64,
}

impl Effort {
    pub(crate) fn read(pid: u32) -> Outcome<Self> {
        Ok(Self { at: Instant::now(), process: cpu(&pid.to_string())?, nodes: cpu("self")? })
    }
}

/// User and system time in seconds; the kernel tells it in hundredths on every platform that wattprint runs on.
fn cpu(process: &str) -> Outcome<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let field = |place: usize| -> Outcome<f64> { Ok(fields.get(place).ok_or("short stat")?.parse()?) };
    Ok((field(11)? + field(12)?) / 100.0)
}

fn memory(pid: u32, name: &str) -> Outcome<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with(name)).ok_or("no memory in status")?;
    let kilobytes: f64 = line.split_whitespace().nth(1).ok_or("no value of memory")?.parse()?;
    Ok((kilobytes / 1024.0).round())
}

pub(crate) fn measure(port: u16, pid: u32, before: &Effort, runs: &Runs, settings: Value) -> Outcome<Value> {
    // First, since asking costs too.
    let now = Effort::read(pid)?;
    let seconds = now.at.duration_since(before.at).as_secs_f64();
    let process = json!({
        "cpu_cores": (now.process - before.process) / seconds,
        "nodes_cpu_cores": (now.nodes - before.nodes) / seconds,
        "resident_mib": memory(pid, "VmRSS:")?,
        "peak_mib": memory(pid, "VmHWM:")?,
        "load_average": fs::read_to_string("/proc/loadavg")?.trim(),
    });
    let (groups, rules, mut failed) = rules(port, runs)?;
    let names = query(port, "count by (__name__) ({__name__=~\".+\"})")?;
    let mut levels: BTreeMap<String, (u64, f64)> = BTreeMap::new();
    let mut families = BTreeMap::new();
    for series in &names {
        let name = series["metric"]["__name__"].as_str().unwrap_or_default();
        let count: f64 = series["value"][1].as_str().unwrap_or_default().parse()?;
        let level = match name.split_once(':') {
            Some((level, _)) => level,
            None if name.starts_with("wattprint_") || name.starts_with("process_") => {
                families.insert(name.to_owned(), count);
                "raw"
            }
            None => "of Prometheus",
        };
        let entry = levels.entry(level.to_owned()).or_default();
        *entry = (entry.0 + 1, entry.1 + count);
    }
    let down = number(port, "sum(1 - min_over_time(up[1h]))")?;
    if down > 0.0 {
        failed.push(json!(format!("{down} nodes had a scrape that failed")));
    }
    let status = get(port, "/api/v1/status/tsdb")?;
    let scrape = json!({
        "nodes_up": number(port, "sum(up)")?,
        "samples_per_node": number(port, "avg(scrape_samples_scraped)")?,
        "seconds_mean": number(port, "avg(scrape_duration_seconds)")?,
        "seconds_max": number(port, "max(scrape_duration_seconds)")?,
        "samples_per_second": number(port, "sum(scrape_samples_scraped)")? / settings["scrape_seconds"].as_f64().unwrap_or(1.0),
    });
    let mut look_backs = Vec::new();
    for look_back in LOOK_BACKS {
        let expression =
            format!("count(last_over_time(wattprint_container_energy_joules_total[{look_back}] offset 1m))");
        let started = Instant::now();
        let series = number(port, &expression)?;
        let took = started.elapsed();
        look_backs.push(json!({ "look_back": look_back, "series": series, "seconds": took.as_secs_f64() }));
    }
    let levels: BTreeMap<_, _> = levels
        .into_iter()
        .map(|(level, (names, series))| (level, json!({ "names": names, "series": series })))
        .collect();
    Ok(json!({
        "settings": settings,
        "prometheus": process,
        "head_series": status["headStats"]["numSeries"],
        "scrape": scrape,
        "levels": levels,
        "groups": groups,
        "rules": rules,
        "families": families,
        "look_backs": look_backs,
        "failed": failed,
    }))
}

/// Each run that was seen of each group, by its instant.
#[derive(Default)]
pub(crate) struct Runs(BTreeMap<String, BTreeMap<String, f64>>);

impl Runs {
    pub(crate) fn look(&mut self, port: u16) -> Outcome<()> {
        let answer = get(port, "/api/v1/rules")?;
        for group in answer["groups"].as_array().into_iter().flatten() {
            let text = |field: &str| group[field].as_str().unwrap_or_default().to_owned();
            let took = group["evaluationTime"].as_f64().unwrap_or_default();
            self.0.entry(text("name")).or_default().insert(text("lastEvaluation"), took);
        }
        Ok(())
    }
}

/// Groups, the rules that were slowest in their last run, and what failed.
fn rules(port: u16, runs: &Runs) -> Outcome<(Vec<Value>, Vec<Value>, Vec<Value>)> {
    let answer = get(port, "/api/v1/rules")?;
    let (mut groups, mut rules, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for group in answer["groups"].as_array().into_iter().flatten() {
        let seen = runs.0.get(group["name"].as_str().unwrap_or_default());
        groups.push(json!({
            "name": group["name"],
            "rules": group["rules"].as_array().map_or(0, Vec::len),
            "interval": group["interval"],
            "runs": seen.map_or(0, BTreeMap::len),
            "seconds": group["evaluationTime"],
            "seconds_longest": seen.into_iter().flat_map(BTreeMap::values).copied().fold(0.0, f64::max),
        }));
        for rule in group["rules"].as_array().into_iter().flatten() {
            // "unknown" is a rule whose group hasn't run yet: those of five and ten minutes may start late.
            if rule["health"] == "err" {
                failed.push(json!(format!("{}: {}", rule["name"], rule["lastError"])));
            }
            rules.push(
                json!({ "group": group["name"], "name": rule["name"], "seconds": rule["evaluationTime"] }),
            );
        }
    }
    let slow = |rule: &Value| {
        Duration::try_from_secs_f64(rule["seconds"].as_f64().unwrap_or(0.0)).unwrap_or_default()
    };
    rules.sort_by_key(|rule| std::cmp::Reverse(slow(rule)));
    rules.truncate(10);
    groups.sort_by_key(|group| std::cmp::Reverse(slow(group)));
    Ok((groups, rules, failed))
}

pub(crate) fn write_table(report: &Value, to: &mut dyn Write) -> Outcome<()> {
    let of = |object: &str, field: &str| report[object][field].as_f64().unwrap_or_default();
    writeln!(to, "| of Prometheus | |\n| --- | ---: |")?;
    writeln!(to, "| nodes | {} |", report["settings"]["nodes"])?;
    writeln!(to, "| minutes | {} |", report["settings"]["minutes"])?;
    writeln!(to, "| scrape interval, s | {} |", report["settings"]["scrape_seconds"])?;
    writeln!(to, "| nodes up | {} |", report["scrape"]["nodes_up"])?;
    writeln!(to, "| samples of a node | {:.0} |", of("scrape", "samples_per_node"))?;
    writeln!(to, "| samples scraped a second | {:.0} |", of("scrape", "samples_per_second"))?;
    writeln!(
        to,
        "| scrape, mean and longest, s | {:.3}, {:.3} |",
        of("scrape", "seconds_mean"),
        of("scrape", "seconds_max")
    )?;
    writeln!(to, "| series in head | {} |", report["head_series"])?;
    writeln!(to, "| CPU cores | {:.2} |", of("prometheus", "cpu_cores"))?;
    writeln!(to, "| CPU cores of the simulated nodes | {:.2} |", of("prometheus", "nodes_cpu_cores"))?;
    writeln!(
        to,
        "| resident memory now and at most, MiB | {:.0}, {:.0} |",
        of("prometheus", "resident_mib"),
        of("prometheus", "peak_mib")
    )?;
    writeln!(to, "| load average | {} |", report["prometheus"]["load_average"].as_str().unwrap_or_default())?;
    writeln!(to, "| failed | {} |", report["failed"].as_array().map_or(0, Vec::len))?;
    writeln!(to, "\n| level | names | series |\n| --- | ---: | ---: |")?;
    for (level, counted) in report["levels"].as_object().into_iter().flatten() {
        writeln!(to, "| {level} | {} | {} |", counted["names"], counted["series"])?;
    }
    let list = |name: &str| report[name].as_array().cloned().unwrap_or_default();
    let seconds = |value: &Value| value["seconds"].as_f64().unwrap_or_default();
    writeln!(
        to,
        "\n| group | rules | interval, s | last run, s | longest run, s |\n| --- | ---: | ---: | ---: | ---: |"
    )?;
    for group in list("groups") {
        let name = group["name"].as_str().unwrap_or_default();
        let longest = group["seconds_longest"].as_f64().unwrap_or_default();
        let (rules, interval, last) = (&group["rules"], &group["interval"], seconds(&group));
        writeln!(to, "| {name} | {rules} | {interval} | {last:.3} | {longest:.3} |")?;
    }
    writeln!(to, "\n| slowest rules | last run, s |\n| --- | ---: |")?;
    for rule in list("rules") {
        writeln!(to, "| `{}` | {:.3} |", rule["name"].as_str().unwrap_or_default(), seconds(&rule))?;
    }
    writeln!(to, "\n| look-back of containers' energy | series | query, s |\n| --- | ---: | ---: |")?;
    for look_back in list("look_backs") {
        let name = look_back["look_back"].as_str().unwrap_or_default();
        writeln!(to, "| {name} | {} | {:.3} |", look_back["series"], seconds(&look_back))?;
    }
    Ok(())
}
