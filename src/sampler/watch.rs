//! Tells the log what changed, and nothing else: a state that stays is told once.

use std::collections::HashMap;
use std::time::Duration;

use tracing::{info, warn};

use crate::meters::{MeterId, MeterReport};
use crate::snapshot::CollectorStatus;

/// The same source speaks at most once in this time, however often it changes.
const PAUSE: Duration = Duration::from_secs(60);

/// What was told last.
#[derive(Debug, Default)]
pub(super) struct ChangeLog {
    collectors: HashMap<&'static str, Told>,
    meters: HashMap<MeterId, Told>,
}

#[derive(Debug)]
struct Told {
    text: String,
    at: Duration,
}

impl ChangeLog {
    /// Compares with what was told last and tells what is new.
    pub(super) fn tell(&mut self, now: Duration, collectors: &[CollectorStatus], meters: &[MeterReport]) {
        for status in collectors {
            let text = status.last_error.as_deref().unwrap_or("");
            let first = !self.collectors.contains_key(status.collector);
            if !is_new(self.collectors.get(status.collector), text, now) {
                continue;
            }
            self.collectors.insert(status.collector, Told { text: text.to_owned(), at: now });
            match &status.detail {
                Some(error) => warn!(collector = status.collector, reason = %error, "collector is failing"),
                None if first => {}
                None => info!(collector = status.collector, "collector works again"),
            }
        }
        for report in meters {
            let text = format!("{} {}", report.up, report.reason);
            if !is_new(self.meters.get(&report.id), &text, now) {
                continue;
            }
            self.meters.insert(report.id.clone(), Told { text, at: now });
            info!(
                meter = report.id.meter,
                domain = report.id.domain.as_str(),
                device = %report.id.device,
                quality = report.quality.as_str(),
                up = report.up,
                feeds = report.feeds.map_or("nothing", |component| component.as_str()),
                reason = %report.reason,
                "meter"
            );
        }
    }
}

fn is_new(told: Option<&Told>, text: &str, now: Duration) -> bool {
    told.is_none_or(|told| told.text != text && now.saturating_sub(told.at) >= PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flapping_source_is_told_once_a_minute() {
        let told = Told { text: "a".to_owned(), at: Duration::from_secs(100) };
        assert!(is_new(None, "", Duration::ZERO));
        assert!(!is_new(Some(&told), "a", Duration::from_secs(1000)));
        assert!(!is_new(Some(&told), "b", Duration::from_secs(130)));
        assert!(is_new(Some(&told), "b", Duration::from_secs(160)));
    }
}
