//! Tells the log what changed, and nothing else: a state that stays is told once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use crate::gpu::Limitation;
use crate::meters::{MeterId, MeterReport};
use crate::snapshot::CollectorStatus;

/// A source may speak this often at once, ...
const BURST: u32 = 5;
/// ... and then once in this time, however often it changes.
const PAUSE: Duration = Duration::from_secs(60);

/// What was told last.
#[derive(Debug, Default)]
pub(super) struct ChangeLog {
    collectors: HashMap<&'static str, Told>,
    meters: HashMap<MeterId, Told>,
    limitations: HashMap<Arc<str>, Told>,
}

#[derive(Debug)]
struct Told {
    text: String,
    /// How often it may speak, as of `at`.
    left: u32,
    at: Duration,
}

impl Told {
    /// Whether a text is to be told now; counts it if so.
    fn tell(told: Option<&Self>, text: &str, now: Duration) -> Option<Self> {
        let Some(told) = told else {
            return Some(Self { text: text.to_owned(), left: BURST - 1, at: now });
        };
        let pauses = now.saturating_sub(told.at).as_secs() / PAUSE.as_secs();
        let left = told.left.saturating_add(u32::try_from(pauses).unwrap_or(BURST)).min(BURST);
        let left = (told.text != text).then_some(left)?.checked_sub(1)?;
        Some(Self { text: text.to_owned(), left, at: now })
    }
}

impl ChangeLog {
    /// Compares with what was told last and tells what is new.
    pub(super) fn tell<'a>(
        &mut self,
        now: Duration,
        collectors: &[CollectorStatus],
        meters: impl Iterator<Item = &'a MeterReport>,
    ) {
        for status in collectors {
            let text = status.last_error.as_deref().unwrap_or("");
            let first = !self.collectors.contains_key(status.collector);
            let Some(told) = Told::tell(self.collectors.get(status.collector), text, now) else {
                continue;
            };
            self.collectors.insert(status.collector, told);
            match &status.detail {
                Some(error) => {
                    let (collector, remedy) = (status.collector, status.remedy);
                    warn!(collector, reason = %error, remedy, "collector is failing");
                }
                None if first => {}
                None => info!(collector = status.collector, "collector works again"),
            }
        }
        for report in meters {
            let text = format!("{} {}", report.up, report.reason);
            let Some(told) = Told::tell(self.meters.get(&report.id), &text, now) else { continue };
            self.meters.insert(report.id.clone(), told);
            let (meter, domain, device) =
                (report.id.meter, report.id.domain.as_str(), report.id.device.as_ref());
            let (quality, reason) = (report.quality.as_str(), report.reason.as_ref());
            match report.feeds {
                Some(component) if report.up => {
                    info!(meter, domain, device, quality, reason, feeds = component.as_str(), "meter in use");
                }
                _ if report.up => info!(meter, domain, device, quality, reason, "meter not in use"),
                _ => warn!(meter, domain, device, quality, reason, "meter is down"),
            }
        }
    }
}

impl ChangeLog {
    /// Tells what keeps a GPU from better figures, where that is new.
    pub(super) fn tell_limitations(&mut self, now: Duration, uuid: &Arc<str>, limitations: &[Limitation]) {
        let texts: Vec<String> =
            limitations.iter().map(|limit| format!("{}: {}", limit.what, limit.reason)).collect();
        let text = texts.join("; ");
        if text.is_empty() && !self.limitations.contains_key(uuid) {
            return;
        }
        let Some(told) = Told::tell(self.limitations.get(uuid), &text, now) else { return };
        self.limitations.insert(Arc::clone(uuid), told);
        if text.is_empty() {
            info!(uuid = %uuid, "GPU has all its evidence again");
        } else {
            info!(uuid = %uuid, limitations = text, "GPU could tell more");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flapping_source_speaks_five_times_and_then_once_a_minute() {
        let mut told: Option<Told> = None;
        let mut spoken = Vec::new();
        for second in 0..200_u64 {
            let text = if second % 2 == 0 { "up" } else { "down" };
            if let Some(next) = Told::tell(told.as_ref(), text, Duration::from_secs(second)) {
                told = Some(next);
                spoken.push(second);
            }
        }
        assert_eq!(spoken.get(..5), Some(&[0, 1, 2, 3, 4][..]));
        assert_eq!(spoken.len(), 8, "{spoken:?}");
    }

    #[test]
    fn what_stays_is_told_once() {
        let told = Told::tell(None, "up", Duration::ZERO).unwrap();
        assert!(Told::tell(Some(&told), "up", Duration::from_secs(9_000)).is_none());
        assert!(Told::tell(Some(&told), "down", Duration::from_secs(9_000)).is_some());
    }
}
