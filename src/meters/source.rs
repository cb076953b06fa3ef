//! One meter with its tracker: reads a file, and says what that means for its slot and in a report.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::meters::counter::{CounterTracker, Doubt, Outcome};
use crate::meters::files::{self, ReadFailure};
use crate::meters::power::{PowerIntegrator, PowerOutcome};
use crate::meters::select::Status;
use crate::meters::{Component, Domain, MeterId, MeterReport, Quality, Tick};
use crate::units::{Microjoules, Watts};

/// How a meter's files are turned into energy.
#[derive(Clone, Debug)]
pub(crate) enum Gauge {
    Counter { tracker: CounterTracker, range: Option<u64> },
    Power(PowerIntegrator),
}

/// What a meter is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A candidate for its slot of this component.
    Feeds(Component),
    /// The whole-node meter.
    Node,
    /// Never booked.
    Raw(Why),
}

/// One short sentence on a meter; the set is bounded by the meters that there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    Chosen(Quality),
    ChosenNode,
    Modelled,
    BetterMeter,
    NoFacts,
    Same(Domain, Arc<str>),
    OtherNode(Arc<str>),
    InsidePackage,
    OverlapsPackage,
    OutsideCpuRail,
    CpuRailInstead,
    IncludesGpu,
    UnknownExtent,
    DiesInstead,
    SecondReading,
    NotMoving,
    Still,
    Gone,
    Failed(ReadFailure),
    Doubtful(Doubt),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chosen(Quality::Measured) => "chosen: hardware counter",
            Self::Chosen(Quality::Integrated) => "chosen: power reading, integrated",
            Self::Chosen(Quality::Modelled) | Self::Modelled => "chosen: nothing better can be read",
            Self::Chosen(Quality::Simulated) => "chosen: simulated node",
            Self::ChosenNode => "chosen: whole-node meter",
            Self::BetterMeter => "a better meter is in use",
            Self::NoFacts => "CPU count or memory size unknown",
            Self::Same(Domain::Dram, device) => return write!(f, "same memory as {device}"),
            Self::Same(_, device) => return write!(f, "same package as {device}"),
            Self::OtherNode(device) => return write!(f, "same node as {device}"),
            Self::InsidePackage => "inside package",
            Self::OverlapsPackage => "overlaps package",
            Self::OutsideCpuRail => "beside the CPU rail",
            Self::CpuRailInstead => "overlaps the CPU rail",
            Self::IncludesGpu => "includes CPU and GPU",
            Self::UnknownExtent => "not known what it covers",
            Self::DiesInstead => "the dies of the same package are in use",
            Self::SecondReading => "waiting for a second reading",
            Self::NotMoving => "waiting for the counter to move",
            Self::Still => "counter stands still",
            Self::Gone => "no longer there",
            Self::Failed(failure) => return failure.fmt(f),
            Self::Doubtful(Doubt::Reset) => "counter went backwards",
            Self::Doubtful(Doubt::Ambiguous) => "gap longer than the counter's wrap period",
            Self::Doubtful(Doubt::Implausible) => "counter jumped beyond belief",
            Self::Doubtful(Doubt::OutOfRange) => "counter above its own range",
        })
    }
}

impl Role {
    /// What a domain is good for, other meters aside.
    pub(crate) const fn of(domain: Domain) -> Self {
        match domain {
            Domain::Package => Self::Feeds(Component::Cpu),
            Domain::Dram => Self::Feeds(Component::Dram),
            Domain::Node => Self::Node,
            Domain::Core | Domain::Uncore => Self::Raw(Why::InsidePackage),
            Domain::Psys => Self::Raw(Why::OverlapsPackage),
            Domain::Sysio => Self::Raw(Why::OutsideCpuRail),
            Domain::Grace => Self::Raw(Why::CpuRailInstead),
            Domain::Module => Self::Raw(Why::IncludesGpu),
            // No file that this room reads covers a GPU alone; the room of GPUs has its own readers.
            Domain::Gpu => Self::Raw(Why::UnknownExtent),
            Domain::Unknown => Self::Raw(Why::UnknownExtent),
        }
    }
}

/// A meter that was found at least once.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) id: MeterId,
    pub(crate) quality: Quality,
    /// Order among meters of one slot and quality.
    pub(crate) rank: u8,
    pub(crate) slot: Arc<str>,
    /// Empty for a simulated meter.
    pub(crate) path: PathBuf,
    pub(crate) gauge: Gauge,
    pub(crate) role: Role,
    /// Whether the last scan found it.
    pub(crate) present: bool,
    status: Status,
    trouble: Option<Why>,
    /// The reason as last reported, kept so that a steady state allocates nothing.
    reported: Option<(Why, Arc<str>)>,
}

impl Source {
    pub(crate) fn new(
        id: MeterId,
        quality: Quality,
        rank: u8,
        slot: Arc<str>,
        path: PathBuf,
        gauge: Gauge,
    ) -> Self {
        let role = Role::of(id.domain);
        Self {
            id,
            quality,
            rank,
            slot,
            path,
            gauge,
            role,
            present: true,
            status: Status::Silent,
            trouble: Some(Why::SecondReading),
            reported: None,
        }
    }

    pub(crate) const fn status(&self) -> Status {
        self.status
    }

    /// The failure of the last read, if it failed.
    pub(crate) const fn failure(&self) -> Option<ReadFailure> {
        match self.trouble {
            Some(Why::Failed(failure)) => Some(failure),
            _ => None,
        }
    }

    /// Whether it answers, but has not had an interval yet.
    pub(crate) fn is_new(&self) -> bool {
        self.trouble == Some(Why::SecondReading)
    }

    /// Reads the file. True if it failed and had not failed before.
    pub(crate) fn read(&mut self, now: Tick) -> bool {
        if !self.present {
            self.fail(Why::Gone);
            return false;
        }
        let failed_before = self.failure().is_some();
        match files::read_number(&self.path) {
            Ok(value) => self.take(value, now),
            Err(failure) => self.fail(Why::Failed(failure)),
        }
        self.failure().is_some() && !failed_before
    }

    fn take(&mut self, value: u64, now: Tick) {
        match &mut self.gauge {
            Gauge::Power(_) => self.take_power(microwatts(value), now),
            Gauge::Counter { tracker, range } => {
                let outcome = tracker.observe(value, *range, now.boottime);
                let stalled = tracker.is_stalled(now.boottime);
                (self.status, self.trouble) = match outcome {
                    Outcome::First => (Status::Silent, Some(Why::SecondReading)),
                    Outcome::Delta { energy, since } => (Status::Moved { energy, since }, None),
                    Outcome::Standing if stalled => (Status::Stalled, Some(Why::Still)),
                    Outcome::Standing => (Status::Standing, None),
                    Outcome::Unknown(doubt) => (Status::Silent, Some(Why::Doubtful(doubt))),
                };
            }
        }
    }

    /// Takes a power that was read or made up.
    pub(crate) fn take_power(&mut self, power: Watts, now: Tick) {
        let Gauge::Power(integrator) = &mut self.gauge else {
            return;
        };
        (self.status, self.trouble) = match integrator.observe(power, now) {
            Ok(PowerOutcome::First) => (Status::Silent, Some(Why::SecondReading)),
            Ok(PowerOutcome::Delta { energy, since }) => (Status::Moved { energy, since }, None),
            Err(_) => (Status::Silent, Some(Why::Failed(ReadFailure::Unbelievable))),
        };
    }

    fn fail(&mut self, why: Why) {
        if let Gauge::Power(integrator) = &mut self.gauge {
            integrator.fail();
        }
        self.status = Status::Silent;
        self.trouble = Some(why);
    }

    /// Whether the last read gave a believable value. A part of a package may stand still, a whole one can't.
    fn up(&self) -> bool {
        match &self.trouble {
            None | Some(Why::SecondReading) => true,
            Some(Why::Still) => !matches!(self.role, Role::Feeds(_)),
            Some(_) => false,
        }
    }

    fn total(&self) -> Option<Microjoules> {
        match &self.gauge {
            Gauge::Counter { tracker, .. } => tracker.total(),
            Gauge::Power(integrator) => integrator.total(),
        }
    }

    /// Reports the meter. `chosen` is the meter in use in its slot, or the node meter in use.
    pub(crate) fn report(&mut self, chosen: Option<&MeterId>) -> MeterReport {
        let in_use = chosen == Some(&self.id);
        let up = self.up();
        let why = match (&self.role, &self.trouble) {
            (_, Some(trouble)) if !up => trouble.clone(),
            (Role::Raw(why), _) => why.clone(),
            (Role::Node, _) if in_use => Why::ChosenNode,
            (Role::Node, _) => chosen.map_or(Why::SecondReading, |id| Why::OtherNode(Arc::clone(&id.device))),
            (Role::Feeds(_), _) if in_use => Why::Chosen(self.quality),
            (Role::Feeds(_), Some(trouble)) => trouble.clone(),
            (Role::Feeds(_), None) => {
                chosen.map_or(Why::NotMoving, |id| Why::Same(self.id.domain, Arc::clone(&id.device)))
            }
        };
        let reason = match &self.reported {
            Some((before, text)) if *before == why => Arc::clone(text),
            _ => {
                let text: Arc<str> = Arc::from(why.to_string());
                self.reported = Some((why, Arc::clone(&text)));
                text
            }
        };
        let (wraps, resets) = match &self.gauge {
            Gauge::Counter { tracker, .. } => (tracker.wraps(), tracker.resets()),
            Gauge::Power(_) => (0, 0),
        };
        let feeds = match self.role {
            Role::Feeds(component) => in_use.then_some(component),
            Role::Node => in_use.then_some(Component::Other),
            Role::Raw(_) => None,
        };
        let (id, quality, energy) = (self.id.clone(), self.quality, self.total());
        MeterReport { id, quality, up, feeds, reason, energy, wraps, resets }
    }
}

#[allow(clippy::cast_precision_loss, reason = "a power above 2^53 microwatts is refused as garbage anyway")]
fn microwatts(value: u64) -> Watts {
    Watts(value as f64 / 1e6)
}
