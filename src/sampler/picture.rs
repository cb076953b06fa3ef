//! Makes the picture that readers see.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::attribution::gpu::Method;
use crate::gpu::{DeviceTick, GpuTick};
use crate::ledger::{Account, DeviceIndex, ProcessAccount, State};
use crate::meters::{Component, MeterReport, Tick};
use crate::sampler::Sampler;
use crate::sampler::gpu::DeviceState;
use crate::snapshot::{
    CollectorStatus, ComponentCell, ComponentTotals, DroppedSeries, EnergyCell, GpuCell, GpuRef, GpuTotals,
    MarketFactor, MeterStatus, ProcessTotals, Snapshot, Unattributed, WorkloadTotals,
};
use crate::units::{Grams, Microjoules};
use crate::workloads::WorkloadTick;
use crate::workloads::owner::{Owner, OwnerKind};
use crate::workloads::owners::OwnerId;

impl Sampler {
    /// The node as it is at the end of this tick.
    pub(super) fn picture(
        &mut self,
        (now, wall): (Tick, Duration),
        elapsed: Duration,
        collectors: Vec<CollectorStatus>,
        usage: &WorkloadTick,
        reports: Vec<MeterReport>,
        gpus: &GpuTick,
    ) -> Snapshot {
        let known: Vec<Component> = Component::ALL
            .into_iter()
            .filter(|component| self.books.components.get(component.index()).is_some_and(Option::is_some))
            .collect();
        let mut allocated = self.allocated(gpus);
        let processes = self.ledger.processes_mut().choose();
        let setup_problems = self.setup_problems(now.monotonic, &collectors, gpus);
        let (pricer, at) = (self.prices.pricer(), self.prices.now());
        Snapshot {
            sequence: self.sequence,
            unix_time: wall,
            monotonic: now.monotonic,
            interval: self.interval,
            config: self.config.clone(),
            components: known.iter().filter_map(|component| self.component_totals(*component)).collect(),
            workloads: self
                .ledger
                .numbered_accounts()
                .filter_map(|(id, account)| {
                    let allocated = allocated.remove(&id).unwrap_or_default();
                    self.workload_totals(id, account, &known, gpus, allocated)
                })
                .collect(),
            processes: processes.iter().map(|account| self.process_totals(account, &known)).collect(),
            meters: reports
                .into_iter()
                .chain(gpus.devices.iter().map(|device| device.report.clone()))
                .map(|report| self.meter_status(report))
                .collect(),
            gpus: gpus.devices.iter().map(|device| self.gpu_totals(device)).collect(),
            gpu_pid_namespace_ok: self.gpu_books.pid_namespace_ok(),
            grid: pricer.factor_at(at),
            grid_age: pricer.age_at(at),
            grid_state: Arc::clone(pricer.state()),
            grid_outlook: self.ahead.look(pricer, at),
            market: pricer.market_at(at).map(|intensity| MarketFactor {
                intensity,
                residual: if pricer.market().residual().is_some() { "configured" } else { "location" },
            }),
            pue: pricer.pue_at(at),
            pue_configured: pricer.is_pue_configured(at),
            wue: pricer.wue(),
            embodied: self.embodied_totals(),
            embodied_parts: self.embodied.parts(),
            collectors,
            setup_problems,
            unattributed: self.unattributed(&known),
            series_dropped: self.series_dropped(usage),
            elapsed,
            sample_duration: self.clock.now().monotonic.saturating_sub(now.monotonic),
        }
    }

    fn component_totals(&self, component: Component) -> Option<ComponentTotals> {
        let state = self.books.components.get(component.index()).copied().flatten()?;
        let book = self.ledger.component(component)?;
        let counted = self.prices.counted();
        Some(ComponentTotals {
            component,
            quality: state.quality,
            energy: book.energy,
            power: state.power,
            emissions: book.footprint.location,
            market_emissions: counted.market.map(|_| book.footprint.market),
            water: counted.water.map(|_| book.footprint.water),
            by_beneficiary: book.by_beneficiary,
        })
    }

    fn workload_totals(
        &self,
        id: OwnerId,
        account: &Account,
        known: &[Component],
        gpus: &GpuTick,
        allocated: Vec<GpuRef>,
    ) -> Option<WorkloadTotals> {
        let owner = account.owner.as_ref()?;
        let named = self.names.named(id)?;
        let energy: Vec<EnergyCell> =
            cells(known, |component, state| account.totals.energy(component, state));
        // A pod's own cgroup rarely uses anything; its series appear when it did.
        let embodied = self.embodied_cells(account);
        let has_none = energy.iter().all(|cell| cell.energy.is_zero())
            && embodied.iter().all(|cell| cell.emissions == Grams::default());
        if (matches!(**owner, Owner::Pod { .. }) || self.names.is_folded(id)) && has_none {
            return None;
        }
        let components = known.iter().filter(|component| has_owners(**component)).map(|&component| {
            let (footprint, counted) = (account.totals.footprint(component), self.prices.counted());
            ComponentCell {
                component,
                power: self.power(component, account.in_tick(component)),
                emissions: footprint.location,
                market_emissions: counted.market.map(|_| footprint.market),
                water: counted.water.map(|_| footprint.water),
            }
        });
        Some(WorkloadTotals {
            owner: Arc::clone(owner),
            title: Arc::clone(&named.title),
            facts: named.facts.clone(),
            held: named.is_held,
            cpu_time: account.totals.cpu_time,
            energy,
            components: components.collect(),
            embodied,
            gpus: self.gpu_cells(account, gpus),
            allocated: if account.has_ended() { Vec::new() } else { allocated },
            ended: account.has_ended(),
        })
    }

    fn process_totals(&self, account: &ProcessAccount, known: &[Component]) -> ProcessTotals {
        let mut energy = cells(known, |component, state| account.totals.energy(component, state));
        // Only GPU clients have GPU energy, and only there contexts that do nothing cost anything.
        energy.retain(|cell| match cell.component {
            Component::Gpu => account.is_gpu_client() && cell.state != State::Idle,
            _ => cell.state == State::Active,
        });
        let book = self.ledger.processes();
        let power = |component: &Component| {
            if *component == Component::Gpu && !account.is_gpu_client() {
                return None;
            }
            let watts = self.power(*component, book.in_tick(account, *component))?;
            Some((*component, watts))
        };
        ProcessTotals {
            pid: account.pid,
            start_time: account.start_time,
            comm: Arc::clone(&account.comm),
            owner: account.owner.clone().unwrap_or_else(|| Arc::new(Owner::System)),
            energy,
            power: known.iter().filter(|component| has_owners(**component)).filter_map(power).collect(),
            ended: account.has_ended(),
        }
    }

    /// The cards that owners were given.
    pub(super) fn allocated(&self, gpus: &GpuTick) -> HashMap<OwnerId, Vec<GpuRef>> {
        let mut allocated: HashMap<OwnerId, Vec<GpuRef>> = HashMap::new();
        for identity in gpus.devices.iter().map(|device| &device.identity) {
            let state = self.gpu_books.device(&identity.uuid);
            for (owner, _) in state.into_iter().flat_map(|state| &state.holding.shares) {
                let card = GpuRef { gpu: Arc::clone(&identity.gpu), uuid: Arc::clone(&identity.uuid) };
                allocated.entry(*owner).or_default().push(card);
            }
        }
        allocated
    }

    fn gpu_cells(&self, account: &Account, gpus: &GpuTick) -> Vec<GpuCell> {
        let name = |used: &(DeviceIndex, Microjoules)| {
            let book = self.ledger.device(used.0)?;
            let device = gpus.devices.iter().find(|device| device.identity.uuid == book.uuid)?;
            let (gpu, uuid) = (Arc::clone(&device.identity.gpu), Arc::clone(&book.uuid));
            Some(GpuCell { gpu, uuid, energy: used.1 })
        };
        account.totals.gpus().iter().filter_map(name).collect()
    }

    fn gpu_totals(&self, device: &DeviceTick) -> GpuTotals {
        let state = self.gpu_books.device(&device.identity.uuid);
        let book = state.and_then(|state| self.ledger.device(state.index()?));
        let reading = device.reading.as_ref();
        // What a card is doesn't change while it is silent; what it does isn't known then.
        let last = state.and_then(DeviceState::last_reading);
        GpuTotals {
            identity: Arc::clone(&device.identity),
            backend: device.backend,
            mig: last.is_some_and(|reading| reading.mig),
            up: device.up,
            reason: Arc::clone(&device.reason),
            stuck: device.stuck,
            errors: device.errors,
            // A meter that never moved says nothing, not zero.
            energy: book.filter(|_| device.report.energy.is_some()).map(|book| book.energy),
            quality: device.report.quality,
            domain: device.report.id.domain,
            power: state.and_then(|state| state.power),
            utilization: reading.and_then(|reading| reading.utilization),
            memory_used: reading.and_then(|reading| reading.memory_used),
            power_limit: reading.and_then(|reading| reading.power_limit),
            clients: state.filter(|_| device.up).and_then(DeviceState::contexts),
            method: state.and_then(|state| state.method).map(Method::as_str),
            limitations: last.map(|reading| reading.limitations.clone()).unwrap_or_default(),
            by_beneficiary: book.map(|book| book.by_beneficiary).unwrap_or_default(),
        }
    }

    fn meter_status(&self, report: MeterReport) -> MeterStatus {
        MeterStatus {
            baseline: self.baselines.get(&report.id),
            id: report.id,
            quality: report.quality,
            up: report.up,
            feeds: report.feeds,
            reason: report.reason,
            energy: report.energy,
            wraps: report.wraps,
            resets: report.resets,
        }
    }

    fn unattributed(&self, known: &[Component]) -> Vec<Unattributed> {
        let books =
            known.iter().filter_map(|component| Some((*component, self.ledger.component(*component)?)));
        books
            .flat_map(|(component, book)| {
                book.unattributed.iter().map(move |(reason, energy)| Unattributed {
                    component,
                    reason: reason.as_str(),
                    energy: *energy,
                })
            })
            .collect()
    }

    fn series_dropped(&self, usage: &WorkloadTick) -> Vec<DroppedSeries> {
        let owners = self.workloads.owners();
        let mut dropped: Vec<DroppedSeries> =
            [OwnerKind::Container, OwnerKind::Unit, OwnerKind::Job, OwnerKind::Vm]
                .into_iter()
                .map(|kind| DroppedSeries { family: kind.as_str(), dropped: owners.refused(kind) })
                .collect();
        let processes = self.ledger.processes().not_shown().saturating_add(usage.left_out_processes);
        dropped.push(DroppedSeries { family: "process", dropped: processes });
        dropped
    }
}

/// Whether a component's energy goes to owners at all.
fn has_owners(component: Component) -> bool {
    component != Component::Other
}

/// The cells that an owner can have: CPU energy is active only, as its idle part is nobody's.
fn cells(known: &[Component], energy: impl Fn(Component, State) -> Microjoules) -> Vec<EnergyCell> {
    let mut cells = Vec::with_capacity(known.len() * 2);
    for &component in known {
        let states: &[State] = match component {
            Component::Cpu => &[State::Active],
            Component::Dram => &[State::Active, State::Idle],
            Component::Gpu => &State::ALL,
            Component::Other => &[],
        };
        for &state in states {
            cells.push(EnergyCell { component, state, energy: energy(component, state) });
        }
    }
    cells
}
