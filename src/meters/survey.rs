//! What `wattprint check` tells of the meters: found or not, chosen or not, why, and what would help.

use std::path::PathBuf;

use crate::meters::bank::MeterBank;
use crate::meters::estimate::EstimateBasis;
use crate::meters::files::{ReadError, ReadFailure};
use crate::meters::{MeterId, Quality};

/// One meter, for a person.
#[derive(Clone, Debug, PartialEq)]
pub struct MeterSurvey {
    /// Its name.
    pub id: MeterId,
    /// How good its figures would be.
    pub quality: Quality,
    /// The file that it is read from; absent for a simulated one.
    pub path: Option<PathBuf>,
    /// Why the last read failed, with the path.
    pub error: Option<String>,
    /// Whether it failed for lack of rights.
    pub denied: bool,
    /// What to do about it.
    pub remedy: Option<&'static str>,
}

/// One reader that found nothing, or could not look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReaderSurvey {
    /// `rapl` or `hwmon`.
    pub name: &'static str,
    /// Where it looked.
    pub path: PathBuf,
    /// What it found wrong.
    pub error: String,
    /// Whether it failed for lack of rights.
    pub denied: bool,
    /// What to do about it.
    pub remedy: Option<&'static str>,
}

/// What is there to measure on this node.
#[derive(Clone, Debug, PartialEq)]
pub struct Survey {
    /// Every meter that was found; why each is used or not stands in the report of the same name.
    pub meters: Vec<MeterSurvey>,
    /// Readers with nothing to read.
    pub readers: Vec<ReaderSurvey>,
    /// The numbers of the model, if it is switched on.
    pub estimate: Option<EstimateBasis>,
}

const LOAD_RAPL: &str = "on bare metal: `modprobe intel_rapl_msr` (for AMD too), in a container: mount the host's \
    /sys and point --path.sysfs at it; virtual machines and most ARM servers have no RAPL, power is modelled there";

impl MeterBank {
    /// Tells what the last tick found. Before the first tick nothing is found yet.
    pub fn survey(&self) -> Survey {
        let meters = self.sources.values().map(|source| {
            let failure = source.failure();
            MeterSurvey {
                id: source.id.clone(),
                quality: source.quality,
                path: Some(source.path.clone()).filter(|path| !path.as_os_str().is_empty()),
                error: failure.map(|failure| ReadError::new(&source.path, failure).to_string()),
                denied: failure == Some(ReadFailure::Denied),
                remedy: failure.and_then(ReadFailure::remedy),
            }
        });
        let mut readers = Vec::new();
        if let Some(reader) = &self.rapl {
            let none = !self.sources.values().any(|source| source.id.meter == "rapl" && source.present);
            let error = self.rapl_error.as_ref().map(ToString::to_string);
            if let Some(error) =
                error.or_else(|| none.then(|| format!("{}: no zones", reader.root().display())))
            {
                let failure = self.rapl_error.as_ref().map(|error| error.failure);
                let remedy = failure.and_then(ReadFailure::remedy).or(Some(LOAD_RAPL));
                let denied = failure == Some(ReadFailure::Denied);
                readers.push(ReaderSurvey {
                    name: "rapl",
                    path: reader.root().into(),
                    error,
                    denied,
                    remedy,
                });
            }
        }
        if let (Some(reader), Some(error)) = (&self.hwmon, &self.hwmon_error) {
            readers.push(ReaderSurvey {
                name: "hwmon",
                path: reader.root().into(),
                error: error.to_string(),
                denied: error.failure == ReadFailure::Denied,
                remedy: error.failure.remedy(),
            });
        }
        let estimate = self.estimator.as_ref().map(|model| model.basis().clone());
        Survey { meters: meters.collect(), readers, estimate }
    }
}
