//! The whole stack: real Prometheus and Alertmanager, two daemons, and all rules, dashboards and alerts of this repository.
//!
//! Tests run in the order of their names; by its name this one, which mostly waits, begins first and not last.

mod alerts;
mod batch_node;
mod expressions;
mod gpu_node;
mod rig;
mod scenario;
mod sums;
mod view;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cgroups::sandbox;
use crate::daemon::{PATIENCE, free_port};
use crate::wait_for;

use alerts::{Webhook, until_inhibited};
use gpu_node::{BASELINE, QUANTIZED, SLICE, TRAINING};
use rig::{Alertmanager, Prometheus, Series, files_of, hastened, serve};
use scenario::{BATCH_NODE, GPU_NODE, LOST, Nodes};

/// The base minutes run once a minute, and what is made of them a minute later; a busy machine may take its time.
const LIMIT: Duration = Duration::from_secs(270);

/// The `cluster` label.
const CLUSTER: &str = "lab";

/// Recording rules that give nothing here, and why.
const RECORDS_MAY_BE_EMPTY: &[(&str, &str)] = &[(
    "model:wattprint_early_stop_saved_grams:last1d",
    "a run has ended once it is gone for a quarter of an hour",
)];

/// Budgets that burn at once.
const BUDGETS: &str = "groups:
  - name: test-budgets
    interval: 5s
    rules:
      - record: namespace:wattprint_carbon_budget_grams:30d
        labels: {namespace: serving}
        expr: vector(10)
      - record: namespace:wattprint_carbon_budget_grams:30d
        labels: {namespace: shop}
        expr: vector(100000)
      - record: node:wattprint_carbon_budget_grams:30d
        labels: {instance: batch-node-1}
        expr: vector(10)
";

/// All that runs.
struct Stack {
    begun: Instant,
    nodes: Nodes,
    prometheus: Prometheus,
    alertmanager: Alertmanager,
    webhook: Webhook,
}

impl Stack {
    /// None, and the reason is said, where there can't be cgroups.
    fn start(test: &str) -> Option<Self> {
        let sandbox = sandbox(test)?;
        let begun = Instant::now();
        let nodes = Nodes::start(sandbox);
        let webhook = Webhook::start();
        let (_, config) = files_of("deploy/alertmanager", "yml").into_iter().next().expect("a configuration");
        let alertmanager = Alertmanager::start(&alerts::pointed_at(&config, webhook.port));
        let mut rules = files_of("deploy/prometheus/rules", "yml");
        for (_, text) in &mut rules {
            *text = hastened(text);
        }
        rules.push(("test-budgets.yml".to_owned(), BUDGETS.to_owned()));
        let port = free_port();
        let scrapes = scrapes(&nodes, port, work(begun));
        let prometheus = Prometheus::start(port, &rules, &scrapes, alertmanager.0.port);
        let stack = Self { begun, nodes, prometheus, alertmanager, webhook };
        stack.until_some("both nodes", r#"count(up{job="wattprint"} == 1) == 2"#);
        Some(stack)
    }

    /// Waits until an expression gives something.
    fn until_some(&self, what: &str, expr: &str) -> Vec<Series> {
        paced(what, LIMIT, || Some(self.prometheus.query(expr)).filter(|rows| !rows.is_empty()))
    }

    /// Everything happens that happens in the first minute: a pod that is gone at once, another factor of the grid, a lost card.
    fn unfold(&mut self) {
        self.nodes.brief();
        let seen = format!("gpu:wattprint_gpu_seen:group10m{{gpu=\"{LOST}\"}}");
        self.until_some("the card's record", &seen);
        self.until_some("the first factor", "wattprint_grid_carbon_intensity_grams_per_kwh == 380");
        self.nodes.grid(520.0);
        self.until_some("the second factor", "wattprint_grid_carbon_intensity_grams_per_kwh == 520");
    }

    /// What is wrong with the rules.
    fn faults_of_rules(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for group in self.prometheus.groups() {
            let name = group["name"].as_str().unwrap_or_default();
            let rules = group["rules"].as_array().into_iter().flatten();
            assert!(group["rules"].as_array().is_some_and(|rules| !rules.is_empty()), "{name} is empty");
            for rule in rules {
                let own = rule["name"].as_str().unwrap_or_default();
                let told = |what: &str| format!("rule {name} / {own}: {what}\n    {}", rule["query"]);
                if rule["health"] != "ok" {
                    faults.push(told(&format!("{} {}", rule["health"], rule["lastError"])));
                } else if let Err(error) =
                    self.prometheus.try_query(rule["query"].as_str().unwrap_or_default())
                {
                    faults.push(told(&error));
                } else if rule["type"] == "recording"
                    && !RECORDS_MAY_BE_EMPTY.iter().any(|(record, _)| *record == own)
                    && self.prometheus.query(&selector(own, &rule["labels"])).is_empty()
                {
                    faults.push(told("no series"));
                }
            }
        }
        faults
    }

    fn is_over(&self) -> bool {
        self.begun.elapsed() > LIMIT - Duration::from_secs(15)
    }
}

/// Looks once a second, since a look is work for the servers.
fn paced<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let mut due = Instant::now();
    wait_for(what, limit, || {
        if Instant::now() < due {
            return None;
        }
        let found = look();
        due = Instant::now() + Duration::from_secs(1);
        found
    })
}

/// The series of a recording rule, which may have labels of its own.
fn selector(name: &str, labels: &Value) -> String {
    let pairs = labels.as_object().into_iter().flatten();
    let pairs: Vec<String> = pairs.map(|(label, value)| format!("{label}={value}")).collect();
    format!("last_over_time({name}{{{}}}[5m])", pairs.join(","))
}

/// Who is scraped, as deploy/prometheus has it: nodes by name, and work with the labels that a PodMonitor gives.
fn scrapes(nodes: &Nodes, prometheus: u16, work: u16) -> Value {
    let node = |name: &str, port: u16| json!({"targets": [format!("127.0.0.1:{port}")], "labels": {"instance": name, "cluster": CLUSTER}});
    let pod = |namespace: &str, pod: &str| {
        json!({"targets": [format!("127.0.0.1:{work}")], "labels": {
            "__metrics_path__": format!("/{pod}"), "cluster": CLUSTER, "namespace": namespace, "pod": pod, "instance": pod,
        }})
    };
    json!([
        {"job_name": "wattprint", "honor_labels": true, "static_configs": [
            node(GPU_NODE, nodes.gpu_port), node(BATCH_NODE, nodes.batch_port),
        ]},
        {"job_name": "work", "static_configs": [
            pod("serving", BASELINE), pod("serving", QUANTIZED), pod("training", TRAINING), pod("research", SLICE),
        ]},
        {"job_name": "batch", "honor_labels": true, "metrics_path": "/slurm-42", "static_configs": [
            {"targets": [format!("127.0.0.1:{work}")], "labels": {"cluster": CLUSTER, "instance": "slurm-42"}},
        ]},
        {"job_name": "prometheus", "static_configs": [
            {"targets": [format!("127.0.0.1:{prometheus}")], "labels": {"cluster": CLUSTER}},
        ]},
    ])
}

/// What the pods and the job have done so far, as they would tell: servers count as vLLM and Triton do, training counts its steps.
fn work(begun: Instant) -> u16 {
    serve(move |path, _| {
        let seconds = begun.elapsed().as_secs_f64();
        let served = |tokens: f64| {
            let label = r#"{model_name="llama-3-8b",engine="0"}"#;
            format!(
                "# TYPE vllm:generation_tokens_total counter\nvllm:generation_tokens_total{label} {}\n\
                 # TYPE vllm:prompt_tokens_total counter\nvllm:prompt_tokens_total{label} {}\n\
                 # TYPE vllm:request_success_total counter\n\
                 vllm:request_success_total{{model_name=\"llama-3-8b\",engine=\"0\",finished_reason=\"stop\"}} {}\n",
                (tokens * seconds).floor(),
                (tokens * 3.0 * seconds).floor(),
                (tokens / 200.0 * seconds).floor(),
            )
        };
        let trained = |labels: &str, steps: f64, planned: f64| {
            format!(
                "# TYPE wattprint_work_total counter\nwattprint_work_total{{unit=\"step\"{labels}}} {}\n\
                 # TYPE wattprint_work_planned gauge\nwattprint_work_planned{{unit=\"step\"{labels}}} {planned}\n",
                (steps * seconds).floor(),
            )
        };
        Some(match path.strip_prefix('/')? {
            BASELINE => served(900.0),
            QUANTIZED => served(1_400.0),
            SLICE => format!(
                "# TYPE nv_inference_count counter\nnv_inference_count{{model=\"bert\",version=\"1\"}} {}\n\
                 # TYPE nv_inference_request_success counter\n\
                 nv_inference_request_success{{model=\"bert\",version=\"1\"}} {}\n",
                (seconds * 40.0).floor(),
                (seconds * 10.0).floor(),
            ),
            TRAINING => trained("", 12.0, 90_000.0),
            "slurm-42" => trained(",manager=\"slurm\",job_id=\"42\"", 3.0, 40_000.0),
            _ => return None,
        })
    })
}

#[test]
#[allow(
    clippy::print_stderr,
    reason = "what is wrong with many expressions is told before a later step may fail"
)]
fn dashboards_rules_and_alerts_hold_on_real_servers() {
    let test = "dashboards_rules_and_alerts_hold_on_real_servers";
    let Some(mut stack) = Stack::start(test) else { return };
    stack.unfold();
    stack.nodes.lose_card(true);
    let card = LOST.to_string();
    let lost = [("alertname", "WattprintGpuLost"), ("instance", GPU_NODE), ("gpu", card.as_str())];
    stack.webhook.until("platform", "firing", &lost).assert_grouped_by(&["alertname", "cluster"]);

    stack.until_some(
        "two base minutes",
        "count_over_time(cluster:wattprint_energy_joules:increase1m[10m]) >= 2",
    );
    let mut faults = expressions::faults(&stack.prometheus, || stack.is_over());
    faults.extend(paced("the rules", LIMIT, || {
        Some(stack.faults_of_rules()).filter(|faults| faults.is_empty() || stack.is_over())
    }));
    stack.nodes.assert_alive();
    if !faults.is_empty() {
        eprintln!("{} faults:\n{}", faults.len(), faults.join("\n"));
    }
    sums::assert_conserved(&stack.prometheus, &stack.nodes);
    alerts_come_and_go(&mut stack);
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert!(stack.begun.elapsed() < Duration::from_secs(600), "{:?}", stack.begun.elapsed());
}

/// Chosen alerts reach who they are for, hold others back, and end with their causes.
fn alerts_come_and_go(stack: &mut Stack) {
    let Stack { nodes, alertmanager, webhook, .. } = stack;
    let budget = [("alertname", "WattprintNamespaceCarbonBudgetBurn"), ("namespace", "serving")];
    let critical = [&budget[..], &[("severity", "critical")]].concat();
    for receiver in ["pager", "carbon"] {
        let notified = webhook.until(receiver, "firing", &critical);
        assert_eq!(notified.path, format!("/{receiver}"));
        notified.assert_grouped_by(&["alertname", "cluster", "namespace"]);
        notified.assert_told();
    }
    until_inhibited(alertmanager, &[&budget[..], &[("severity", "warning")]].concat(), &critical);
    let idle = [("alertname", "WattprintGpuAllocatedIdle"), ("namespace", "lab"), ("gpu", "1")];
    let notified = webhook.until("carbon", "firing", &idle);
    notified.assert_grouped_by(&["alertname", "cluster", "namespace"]);
    notified.assert_told();

    let near = [("alertname", "WattprintGpuPowerNearLimit"), ("instance", GPU_NODE), ("severity", "info")];
    let notified = webhook.until("digest", "firing", &near);
    notified.assert_grouped_by(&["cluster"]);
    notified.assert_told();

    nodes.end_batch();
    let down = [("alertname", "WattprintExporterDown"), ("instance", BATCH_NODE)];
    let notified = webhook.until("platform", "firing", &down);
    notified.assert_grouped_by(&["alertname", "cluster"]);
    notified.assert_told();
    let burn =
        [("alertname", "WattprintNodeCarbonBudgetBurn"), ("instance", BATCH_NODE), ("severity", "critical")];
    until_inhibited(alertmanager, &burn, &down);

    nodes.start_batch();
    nodes.lose_card(false);
    let card = LOST.to_string();
    let lost = [("alertname", "WattprintGpuLost"), ("instance", GPU_NODE), ("gpu", card.as_str())];
    webhook.until("platform", "resolved", &down);
    webhook.until("platform", "resolved", &lost);
}

/// Keeps all of it for so many minutes (`WATTPRINT_STACK_KEEP`, an hour by default), for who wants to look at it or draw it.
/// `$WATTPRINT_STACK_URL_FILE`, if set, gets the address of Prometheus.
#[test]
#[ignore = "it runs until it is told to end"]
#[allow(clippy::print_stderr, reason = "whoever runs it needs the address")]
fn keep_running_for_pictures() {
    let minutes = std::env::var("WATTPRINT_STACK_KEEP").ok().and_then(|text| text.parse::<u32>().ok());
    let Some(mut stack) = Stack::start("keep_running_for_pictures") else { return };
    eprintln!("Prometheus: {}", stack.prometheus.0.url("/"));
    eprintln!("Alertmanager: {}", stack.alertmanager.0.url("/"));
    if let Some(path) = std::env::var_os("WATTPRINT_STACK_URL_FILE") {
        std::fs::write(path, stack.prometheus.0.url("")).expect("write the address");
    }
    stack.unfold();
    let limit = Duration::from_secs(60) * minutes.unwrap_or(60);
    let mut step = 0_u32;
    wait_for("the end of the time asked for", limit + PATIENCE, || {
        let due = stack.begun.elapsed().as_secs() / 20;
        if due > u64::from(step) {
            step += 1;
            // The grid goes up and down twice an hour.
            stack.nodes.grid(330.0 + 150.0 * (f64::from(step) * std::f64::consts::TAU / 90.0).sin().round());
        }
        (stack.begun.elapsed() > limit).then_some(())
    });
    drop(stack);
}
