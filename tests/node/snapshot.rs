//! Reads `/api/v1/snapshot`.

use serde_json::Value;

/// One snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot(pub(crate) Value);

impl Snapshot {
    pub(crate) fn sequence(&self) -> u64 {
        self.0["sequence"].as_u64().expect("sequence")
    }

    pub(crate) fn unix_time(&self) -> f64 {
        self.0["unix_time_seconds"].as_f64().expect("unix_time_seconds")
    }

    /// What the tick took, from its begin to this picture.
    pub(crate) fn sample_seconds(&self) -> f64 {
        self.0["sample_duration_seconds"].as_f64().expect("sample_duration_seconds")
    }

    pub(crate) fn component(&self, name: &str) -> Option<&Value> {
        rows(&self.0["components"]).iter().find(|row| row["component"] == name)
    }

    pub(crate) fn energy_uj(&self, component: &str) -> u64 {
        self.component(component).map_or(0, |row| integer(&row["energy_uj"]))
    }

    pub(crate) fn quality(&self, component: &str) -> String {
        self.component(component).and_then(|row| row["quality"].as_str()).unwrap_or_default().to_owned()
    }

    /// The workload whose owner has all of these fields.
    pub(crate) fn workload(&self, fields: &[(&str, &str)]) -> Option<Workload> {
        let fits = |row: &&Value| fields.iter().all(|(name, value)| row["owner"][*name] == **value);
        rows(&self.0["workloads"]).iter().find(fits).map(|row| Workload(row.clone()))
    }

    pub(crate) fn container(&self, id: &str) -> Option<Workload> {
        self.workload(&[("kind", "container"), ("id", id)])
    }

    /// The rows of a pid: its ended process and its living one.
    pub(crate) fn processes(&self, pid: u32) -> Vec<Value> {
        rows(&self.0["processes"]).iter().filter(|row| row["pid"] == pid).cloned().collect()
    }

    pub(crate) fn meter(&self, device: &str) -> Option<&Value> {
        rows(&self.0["meters"]).iter().find(|row| row["device"] == device)
    }

    /// A GPU's row.
    pub(crate) fn gpu(&self, uuid: &str) -> &Value {
        let row = rows(&self.0["gpus"]).iter().find(|row| row["uuid"] == uuid);
        row.unwrap_or_else(|| panic!("{uuid} isn't there"))
    }

    /// Energy booked for a GPU; none before its meter moved.
    pub(crate) fn gpu_joules(&self, uuid: &str) -> f64 {
        self.gpu(uuid)["energy_uj"].as_u64().map_or(0.0, |energy| energy as f64 / 1e6)
    }

    /// What keeps a GPU from better evidence: what is off, and why.
    pub(crate) fn limitations(&self, uuid: &str) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let rows = rows(&self.gpu(uuid)["limitations"]).iter();
        rows.map(|row| (text(&row["what"]), text(&row["reason"]))).collect()
    }

    pub(crate) fn dropped(&self, family: &str) -> u64 {
        let row = rows(&self.0["series_dropped"]).iter().find(|row| row["family"] == family);
        row.map_or(0, |row| integer(&row["dropped"]))
    }

    /// To the microjoule: what the beneficiaries got is what each component used, and what the workloads got is
    /// no more than that.
    pub(crate) fn assert_conserved(&self) {
        for row in rows(&self.0["components"]) {
            let (name, energy) = (row["component"].as_str().unwrap_or_default(), integer(&row["energy_uj"]));
            let shares = row["energy_by_beneficiary_uj"].as_object().expect("beneficiaries");
            let sum: u64 = shares.values().map(integer).sum();
            assert_eq!(sum, energy, "{name}: {row}");
            let unattributed = rows(&self.0["unattributed"]).iter().filter(|row| row["component"] == *name);
            let reasons: u64 = unattributed.map(|row| integer(&row["energy_uj"])).sum();
            assert_eq!(reasons, integer(&shares["unattributed"]), "{name}");
            let workloads: u64 = rows(&self.0["workloads"]).iter().map(|row| energy_of(row, name)).sum();
            assert!(workloads <= energy, "{name}: workloads have {workloads} of {energy}");
        }
        let mut cards = 0;
        for gpu in rows(&self.0["gpus"]) {
            let shares = gpu["energy_by_beneficiary_uj"].as_object().expect("beneficiaries");
            let sum: u64 = shares.values().map(integer).sum();
            assert_eq!(sum, gpu["energy_uj"].as_u64().unwrap_or(0), "{gpu}");
            cards += sum;
        }
        assert_eq!(cards, self.energy_uj("gpu"), "the cards make up the node's GPU energy");
    }
}

/// One row of the workloads.
#[derive(Clone, Debug)]
pub(crate) struct Workload(Value);

impl Workload {
    pub(crate) fn cpu_seconds(&self) -> f64 {
        integer(&self.0["cpu_time_ns"]) as f64 / 1e9
    }

    /// All states of a component.
    pub(crate) fn joules(&self, component: &str) -> f64 {
        energy_of(&self.0, component) as f64 / 1e6
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.0["ended"].as_bool().expect("ended")
    }
}

/// Microjoules of a component in a row of workloads or processes, over all states.
pub(crate) fn energy_of(row: &Value, component: &str) -> u64 {
    let cells = rows(&row["energy"]).iter().filter(|cell| cell["component"] == component);
    cells.map(|cell| integer(&cell["energy_uj"])).sum()
}

fn rows(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

pub(crate) fn integer(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("not an integer: {value}"))
}
