//! The only clock: read, attribute, book, publish.

mod attribute;
mod beyond;
mod clock;
mod embodied;
mod gpu;
mod names;
mod outlook;
mod picture;
mod prices;
mod renew;
mod setup;
mod watch;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use tracing::warn;

use crate::attribution::baseline::Baselines;
use crate::attribution::cpu::CpuWeights;
use crate::carbon::amortise::Plan;
use crate::carbon::grid::GridBoard;
use crate::carbon::pricing::Pricer;
use crate::config::{Collectors, Settings};
use crate::gpu::{GpuBank, GpuSettings, Now};
use crate::identity::NameBoard;
use crate::ledger::Ledger;
use crate::meters::cpu_table;
use crate::meters::estimate::TabulatedCpu;
use crate::meters::{CollectorOutcome, MeterBank, MeterSettings, ModelSettings, Tick};
use crate::snapshot::{CollectorStatus, ConfigStatus, Snapshot, SnapshotCell};
use crate::units::{UnixTime, Watts};
use crate::workloads::{ReadFailure, ReaderSettings, WorkloadReader};

pub use clock::{Clock, ClockError};
pub use renew::Renewal;

/// The first interval is this short, so that a daemon with long ticks is ready soon.
const FIRST_INTERVAL: Duration = Duration::from_millis(500);

/// What a running sampler can be told.
#[derive(Debug)]
pub enum Order {
    /// Give back all GPU handles, so that a driver can be unloaded.
    ReleaseGpus,
    /// Take the GPUs in again.
    ResumeGpus,
    /// Go on with other settings.
    Renew(Box<Renewal>),
    /// Go on as before, and say that a configuration was refused.
    NoteRefusal,
    /// Come to an end.
    Stop,
}

/// Why a sampler came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was told to.
    Asked,
    /// The GPU driver can be used from a new container only, for this reason.
    NeedsNewContainer(String),
}

/// Reads the machine once a tick and keeps the books.
#[derive(Debug)]
pub struct Sampler {
    clock: Clock,
    interval: Duration,
    reads: Collectors,
    meters: MeterBank,
    gpus: GpuBank,
    workloads: WorkloadReader,
    weights: CpuWeights,
    baselines: Baselines,
    ledger: Ledger,
    prices: prices::Prices,
    books: attribute::Books,
    gpu_books: gpu::GpuBooks,
    embodied: embodied::EmbodiedBooks,
    ahead: outlook::Ahead,
    names: names::NameBooks,
    log: watch::ChangeLog,
    setup: setup::Setup,
    last: Option<Tick>,
    sequence: u64,
    config: ConfigStatus,
    /// Whether it was looked for baselines that no meter has.
    baselines_checked: bool,
}

impl Sampler {
    /// Finds what can be read. Energy is priced by `pricer`, which learns of live figures from `board`; names come from
    /// `names`; `open_files` is how many files may be kept open.
    pub fn new(
        settings: &Settings,
        pricer: Pricer,
        (board, names): (Arc<GridBoard>, Arc<NameBoard>),
        clock: Clock,
        open_files: usize,
    ) -> Self {
        let limits = &settings.limits;
        let reader = ReaderSettings {
            procfs: settings.path.procfs.clone(),
            sysfs: settings.path.sysfs.clone(),
            processes: settings.collector.process,
            cgroups: settings.collector.cgroup,
            open_files: limits.open_files.min(open_files),
            max_cgroups: limits.cgroups,
            max_processes: limits.scanned_processes,
        };
        let baselines = settings.baseline.iter().map(|(key, watts)| (key.clone(), Watts(*watts))).collect();
        Self {
            clock,
            interval: settings.sample.interval,
            reads: settings.collector.clone(),
            meters: MeterBank::new(&meter_settings(settings)),
            gpus: GpuBank::new(&gpu_settings(settings), Now::new(move || clock.now())),
            workloads: WorkloadReader::new(reader, limits.workloads),
            weights: CpuWeights::default(),
            baselines: Baselines::new(baselines),
            // As many absent units are remembered as present ones are shown.
            ledger: Ledger::new(limits.retention, limits.processes, limits.gpu_processes, limits.workloads),
            prices: prices::Prices::new(pricer, board),
            books: attribute::Books::default(),
            gpu_books: gpu::GpuBooks::new(&settings.path.procfs),
            embodied: embodied::EmbodiedBooks::new(Plan::new(&settings.embodied)),
            ahead: outlook::Ahead::default(),
            names: names::NameBooks::new(names, &settings.collector, settings.names.wait, limits.retention),
            log: watch::ChangeLog::default(),
            setup: setup::Setup::new(settings),
            last: None,
            sequence: 0,
            config: ConfigStatus {
                is_accepted: true,
                accepted_at: UnixTime::since_epoch(clock.unix()),
                awaiting_restart: Arc::default(),
            },
            baselines_checked: false,
        }
    }

    /// The meters, for a survey.
    pub fn meters(&self) -> &MeterBank {
        &self.meters
    }

    /// The GPUs, for a survey.
    pub fn gpus(&self) -> &GpuBank {
        &self.gpus
    }

    /// The cgroups and processes, for a survey.
    pub fn workloads(&self) -> &WorkloadReader {
        &self.workloads
    }

    /// Configured baselines that no meter answers to.
    pub fn unused_baselines(&self, snapshot: &Snapshot) -> Vec<String> {
        let is_used = |key: &str| {
            snapshot.meters.iter().any(|meter| *meter.id.device == *key || meter.id.domain.as_str() == key)
        };
        self.baselines.configured_keys().filter(|key| !is_used(key)).map(str::to_owned).collect()
    }

    /// The emission factors in use.
    pub fn pricer(&self) -> &Pricer {
        self.prices.pricer()
    }

    /// Ticks until it is told to stop or the sender is gone, and publishes each picture. The first look only takes
    /// the counters' positions, so the first picture comes an interval later.
    pub fn run(mut self, cell: &SnapshotCell, orders: &Receiver<Order>) -> Ending {
        let start = self.clock.now();
        self.tick(start);
        let mut next = start.monotonic.saturating_add(self.interval.min(FIRST_INTERVAL));
        loop {
            let wait = next.saturating_sub(self.clock.now().monotonic);
            match orders.recv_timeout(wait) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Order::ReleaseGpus) => {
                    self.gpus.release();
                    continue;
                }
                Ok(Order::ResumeGpus) => {
                    self.gpus.resume();
                    continue;
                }
                Ok(Order::Renew(renewal)) => {
                    self.renew(*renewal);
                    next = next.min(self.clock.now().monotonic.saturating_add(self.interval));
                    continue;
                }
                Ok(Order::NoteRefusal) => {
                    self.note_refusal();
                    continue;
                }
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => return Ending::Asked,
            }
            let now = self.clock.now();
            let snapshot = self.tick(now);
            cell.publish(Arc::new(snapshot));
            next = next_tick(next, now.monotonic, self.interval);
            if let Some(reason) = self.gpus.needs_new_container() {
                return Ending::NeedsNewContainer(reason.to_owned());
            }
        }
    }

    /// Does one tick that ends `now`, and gives the picture.
    pub fn tick(&mut self, now: Tick) -> Snapshot {
        self.tick_at(now, self.clock.unix())
    }

    /// Does one tick that ends `now`, which is `wall` after the Unix epoch. Wherever the wall clock was set to since the
    /// last tick, the energy of this one was drawn in the time just before.
    pub fn tick_at(&mut self, now: Tick, wall: Duration) -> Snapshot {
        let elapsed = self.last.map_or(Duration::ZERO, |last| now.monotonic.saturating_sub(last.monotonic));
        self.last = Some(now);
        let mut collectors = Vec::new();

        // GPUs answer while the rest is read.
        self.gpus.ask();
        let begun = self.clock.now().monotonic;
        let outcome = self.workloads.read_cgroups(now.boottime, elapsed);
        if self.reads.cgroup {
            self.note(&mut collectors, "cgroup", begun, outcome.err());
        }
        let begun = self.clock.now().monotonic;
        let outcome = self.workloads.read_processes();
        if self.reads.process {
            self.note(&mut collectors, "process", begun, outcome.err());
        }
        let usage = self.workloads.collect();

        let begun = self.clock.now().monotonic;
        let busy = usage.busy.map(|busy| Duration::from_nanos(busy.as_nanos()));
        let readings = self.meters.tick(now, busy);
        self.note_all(&mut collectors, &readings.collectors, begun);

        let begun = self.clock.now().monotonic;
        let gpus = self.gpus.collect();
        self.note_all(&mut collectors, &gpus.collectors, begun);

        let rates = self.prices.begin(UnixTime::since_epoch(wall), elapsed);
        self.ledger.begin(now.boottime, self.workloads.owners_mut(), rates);
        self.attribute(&usage, &readings, &gpus, now, elapsed);
        self.names.update(now.boottime, &mut self.ledger, &self.workloads);
        collectors.extend(self.names.board().outcomes().map(|outcome| collector_status(&outcome, None)));
        self.sequence = self.sequence.saturating_add(1);
        // The first look can't tell yet which meters will do.
        if self.sequence > 1 {
            let cards = gpus.devices.iter().map(|device| &device.report);
            self.log.tell(now.boottime, &collectors, readings.reports.iter().chain(cards));
            for device in &gpus.devices {
                if let Some(reading) = &device.reading {
                    let limitations = &reading.limitations;
                    self.log.tell_limitations(now.boottime, &device.identity.uuid, limitations);
                }
            }
        }
        let snapshot = self.picture((now, wall), elapsed, collectors, &usage, readings.reports, &gpus);
        // By now each meter that is there has been found.
        if !self.baselines_checked && snapshot.sequence >= 2 && self.gpus.is_settled() {
            self.baselines_checked = true;
            for key in self.unused_baselines(&snapshot) {
                warn!(key, "a baseline is configured for what no meter has as its device or domain");
            }
        }
        snapshot
    }

    fn note_all(
        &self,
        collectors: &mut Vec<CollectorStatus>,
        outcomes: &[CollectorOutcome],
        begun: Duration,
    ) {
        let duration = self.clock.now().monotonic.saturating_sub(begun);
        collectors.extend(outcomes.iter().map(|outcome| collector_status(outcome, Some(duration))));
    }

    fn note(
        &self,
        collectors: &mut Vec<CollectorStatus>,
        collector: &'static str,
        begun: Duration,
        failure: Option<ReadFailure>,
    ) {
        collectors.push(CollectorStatus {
            collector,
            success: failure.is_none(),
            duration: Some(self.clock.now().monotonic.saturating_sub(begun)),
            last_error: failure.as_ref().map(|failure| failure.reason.into()),
            detail: failure.map(|failure| failure.to_string().into()),
            remedy: None,
        });
    }
}

fn collector_status(outcome: &CollectorOutcome, duration: Option<Duration>) -> CollectorStatus {
    CollectorStatus {
        collector: outcome.name,
        success: outcome.success,
        duration,
        last_error: outcome.error.clone(),
        detail: outcome.detail.clone().or_else(|| outcome.error.clone()),
        remedy: outcome.remedy,
    }
}

/// When the tick after one at `due` that ended at `now` is due: on the same grid, missed ones left out.
fn next_tick(due: Duration, now: Duration, interval: Duration) -> Duration {
    let late = now.saturating_sub(due).as_nanos();
    let missed = u32::try_from(late / interval.as_nanos().max(1)).unwrap_or(u32::MAX);
    due.saturating_add(interval.saturating_mul(missed.saturating_add(1)))
}

/// What the room of GPUs needs to know of the settings.
fn gpu_settings(settings: &Settings) -> GpuSettings {
    GpuSettings {
        procfs: settings.path.procfs.clone(),
        sysfs: settings.path.sysfs.clone(),
        nvml: settings.collector.nvml,
        drm: settings.collector.drm,
        simulate: settings.simulate,
        // An empty variable of the environment sets nothing.
        library: settings.nvml.library.clone().filter(|library| !library.as_os_str().is_empty()),
        deadline: settings.gpu.deadline,
        interval: settings.sample.interval,
        retry: settings.gpu.retry,
        release: settings.gpu.release,
    }
}

/// What the meters need to know of the settings.
fn meter_settings(settings: &Settings) -> MeterSettings {
    let model = &settings.model;
    MeterSettings {
        sysfs: settings.path.sysfs.clone(),
        procfs: settings.path.procfs.clone(),
        rapl: settings.collector.rapl,
        hwmon: settings.collector.hwmon,
        estimate: settings.collector.estimate,
        simulate: settings.simulate,
        model: ModelSettings {
            cpu_max: model.cpu_tdp_watts.map(Watts),
            cpu_idle: model.cpu_idle_watts.map(Watts),
            dram_per_gb: model.memory_watts_per_gb.map(Watts),
            lookup: |name| {
                cpu_table::lookup(name).map(|found| TabulatedCpu {
                    name: found.name,
                    tdp: found.tdp,
                    threads: found.threads,
                })
            },
        },
    }
}

#[cfg(test)]
mod tests;
