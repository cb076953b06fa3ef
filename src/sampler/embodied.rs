//! Gives the emissions of making the hardware to those who have it.
//!
//! The server without its GPUs is the component `other`: an owner's share is its share of all CPU time that there could
//! have been in the tick. A GPU goes to those whom it was given to; where nobody was given any of it, to those who hold
//! contexts on it, by the evidence that its active energy goes by. What nobody has is unallocated.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::attribution::gpu::{Whom, divide, divide_idle};
use crate::carbon::amortise::{Amortised, Plan};
use crate::gpu::GpuTick;
use crate::ledger::Account;
use crate::meters::Component;
use crate::sampler::Sampler;
use crate::sampler::gpu::DeviceState;
use crate::snapshot::{EmbodiedCell, EmbodiedTotals, HardwarePart};
use crate::units::{Grams, Microjoules};
use crate::workloads::owners::OwnerId;

/// The whole of a card in the parts that it is divided into, as if it were energy: fine enough for any share.
const WHOLE_CARD: Microjoules = Microjoules::new(1 << 40);

/// The parts of the node.
#[derive(Debug)]
pub(super) struct EmbodiedBooks {
    plan: Option<Plan>,
    server: Option<Amortised>,
    /// By UUID; none for a GPU of which nothing is known.
    gpus: HashMap<Arc<str>, Option<Amortised>>,
}

impl EmbodiedBooks {
    pub(super) fn new(plan: Option<Plan>) -> Self {
        let server = plan.as_ref().and_then(Plan::server);
        Self { plan, server, gpus: HashMap::new() }
    }

    /// The components that have a part.
    fn components(&self) -> impl Iterator<Item = Component> {
        let gpu = self.gpus.values().any(Option::is_some).then_some(Component::Gpu);
        let server = self.server.is_some().then_some(Component::Other);
        gpu.into_iter().chain(server)
    }

    /// The parts, for the picture.
    pub(super) fn parts(&self) -> Vec<HardwarePart> {
        let server = self.server.iter().map(|server| HardwarePart {
            part: "server",
            device: "".into(),
            figures: Arc::clone(server.part()),
        });
        let mut gpus: Vec<HardwarePart> = self
            .gpus
            .iter()
            .filter_map(|(uuid, gpu)| {
                let figures = Arc::clone(gpu.as_ref()?.part());
                Some(HardwarePart { part: "gpu", device: Arc::clone(uuid), figures })
            })
            .collect();
        gpus.sort_unstable_by(|a, b| a.device.cmp(&b.device));
        server.chain(gpus).collect()
    }
}

impl Sampler {
    /// Books the server's part of a tick by CPU time; `weights` are owners' nanoseconds.
    #[allow(clippy::cast_precision_loss, reason = "a tick's CPU time is far below 2^53 nanoseconds")]
    pub(super) fn book_embodied_server(&mut self, weights: &[u64], cpus: u32, elapsed: Duration) {
        let Some(server) = &mut self.embodied.server else { return };
        let grams = server.pass(elapsed).0;
        let used: f64 = weights.iter().map(|&time| time as f64).sum();
        let possible = elapsed.as_nanos() as f64 * f64::from(cpus);
        if possible <= 0.0 {
            self.ledger.book_embodied_unallocated(Component::Other, Grams(grams));
            return;
        }
        // CPU time of a tick before may be seen only now.
        let whole = possible.max(used);
        for (index, &time) in weights.iter().enumerate().filter(|(_, time)| **time > 0) {
            if let Some(id) = OwnerId::from_index(index) {
                let who = (id, self.workloads.owners().kind(id));
                self.ledger.book_embodied(who, Component::Other, Grams(grams * (time as f64 / whole)));
            }
        }
        let free = (whole - used).max(0.0) / whole;
        self.ledger.book_embodied_unallocated(Component::Other, Grams(grams * free));
    }

    /// Books each GPU's part of a tick by who holds it.
    #[allow(clippy::cast_precision_loss, reason = "shares of a card are at most 2^40")]
    pub(super) fn book_embodied_gpus(&mut self, gpus: &GpuTick, elapsed: Duration) {
        let Some(plan) = &self.embodied.plan else { return };
        for device in &gpus.devices {
            let uuid = &device.identity.uuid;
            let known = match self.embodied.gpus.get_mut(uuid) {
                Some(known) => known,
                None => {
                    self.embodied.gpus.entry(Arc::clone(uuid)).or_insert(plan.gpu(&device.identity.model))
                }
            };
            let Some(gpu) = known else { continue };
            let grams = gpu.pass(elapsed).0;
            let mut held = Microjoules::ZERO;
            for (id, share) in
                self.gpu_books.device(uuid).map(|state| has(state, device.up)).unwrap_or_default()
            {
                held += share;
                let part = Grams(grams * (share.get() as f64 / WHOLE_CARD.get() as f64));
                self.ledger.book_embodied((id, self.workloads.owners().kind(id)), Component::Gpu, part);
            }
            let free = WHOLE_CARD.saturating_sub(held).get() as f64 / WHOLE_CARD.get() as f64;
            self.ledger.book_embodied_unallocated(Component::Gpu, Grams(grams * free));
        }
    }

    /// What the node's parts caused so far.
    pub(super) fn embodied_totals(&self) -> Vec<EmbodiedTotals> {
        let totals = |component: Component| {
            let book = self.ledger.component(component)?;
            let (emissions, by_holder) = (book.footprint.embodied, book.embodied_by_holder);
            Some(EmbodiedTotals { component, emissions, by_holder })
        };
        self.embodied.components().filter_map(totals).collect()
    }

    /// What an owner has of it.
    pub(super) fn embodied_cells(&self, account: &Account) -> Vec<EmbodiedCell> {
        let cell = |component| {
            let emissions = account.totals.footprint(component).embodied;
            EmbodiedCell { component, emissions }
        };
        self.embodied.components().map(cell).collect()
    }
}

/// Who has how much of a card.
fn has(state: &DeviceState, is_up: bool) -> Vec<(OwnerId, Microjoules)> {
    let holding = &state.holding;
    if !holding.shares.is_empty() {
        return divide_idle(WHOLE_CARD, &holding.shares, holding.free).0;
    }
    if !is_up {
        return Vec::new();
    }
    let owners = divide(WHOLE_CARD, &state.evidence()).owners.into_iter();
    let known = |(whom, share)| match whom {
        Whom::Owner(id) => Some((id, share)),
        Whom::Unknown => None,
    };
    owners.filter_map(known).collect()
}

#[cfg(test)]
mod tests;
