//! What Alertmanager sends, and to whom.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::rig::{Alertmanager, serve};
use crate::wait_for;

/// A notification may take so long: rules, the group's wait, and a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// The configuration of Alertmanager with other addresses and short waits; all else is as it is.
pub(super) fn pointed_at(config: &str, port: u16) -> String {
    let line = |line: &str| {
        let (indent, rest) = line.split_at(line.len() - line.trim_start_matches([' ', '-']).len());
        match rest.split_once(": ") {
            Some((key @ ("url" | "webhook_url" | "api_url"), address)) => {
                let address = address.trim_matches(['"', '\'']);
                let path = address.split("://").nth(1).and_then(|rest| rest.split_once('/'));
                format!("{indent}{key}: http://127.0.0.1:{port}/{}", path.map_or("", |(_, path)| path))
            }
            Some((key @ ("group_wait" | "group_interval"), _)) => format!("{indent}{key}: 2s"),
            _ => line.to_owned(),
        }
    };
    config.lines().map(line).map(|line| line + "\n").collect()
}

/// Whom Alertmanager calls.
#[derive(Debug)]
pub(super) struct Webhook {
    pub(super) port: u16,
    calls: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Webhook {
    pub(super) fn start() -> Self {
        let calls = Arc::<Mutex<Vec<(String, Value)>>>::default();
        let noted = Arc::clone(&calls);
        let port = serve(move |path, body| {
            let body = serde_json::from_str(body).ok()?;
            noted.lock().unwrap().push((path.to_owned(), body));
            Some(String::new())
        });
        Self { port, calls }
    }

    /// Waits for a notification of this receiver with an alert that has this status and these labels.
    pub(super) fn until(&self, receiver: &str, status: &str, labels: &[(&str, &str)]) -> Notification {
        let begun = Instant::now();
        wait_for("a notification", PATIENCE * 2, || {
            let found = self.find(receiver, status, labels);
            assert!(
                found.is_some() || begun.elapsed() < PATIENCE,
                "{receiver} didn't hear that {labels:?} is {status}, but:\n{}",
                self.summary()
            );
            found
        })
    }

    fn find(&self, receiver: &str, status: &str, labels: &[(&str, &str)]) -> Option<Notification> {
        let calls = self.calls.lock().unwrap();
        calls.iter().rev().find_map(|(path, body)| {
            let alerts = body["alerts"].as_array()?;
            let alert =
                alerts.iter().find(|alert| alert["status"] == status && has(&alert["labels"], labels))?;
            (body["receiver"] == receiver).then(|| Notification {
                path: path.clone(),
                group: body["groupLabels"].clone(),
                alerts: alerts.clone(),
                alert: alert.clone(),
            })
        })
    }

    /// Who heard of what so far: for the text of a failure.
    fn summary(&self) -> String {
        let calls = self.calls.lock().unwrap();
        let line = |(path, body): &(String, Value)| {
            let alerts = body["alerts"].as_array().into_iter().flatten();
            let names: Vec<String> =
                alerts.map(|alert| format!("{} {}", alert["status"], alert["labels"])).collect();
            format!("{path} {}: {}\n", body["groupLabels"], names.join(", "))
        };
        calls.iter().map(line).collect()
    }
}

/// One call of Alertmanager.
#[derive(Clone, Debug)]
pub(super) struct Notification {
    pub(super) path: String,
    pub(super) group: Value,
    pub(super) alerts: Vec<Value>,
    /// The one that was looked for.
    pub(super) alert: Value,
}

impl Notification {
    /// It is grouped by these labels and no others, and all its alerts share them.
    pub(super) fn assert_grouped_by(&self, labels: &[&str]) {
        let group = self.group.as_object().expect("labels");
        let mut wanted = labels.to_vec();
        wanted.sort_unstable();
        assert_eq!(group.keys().map(String::as_str).collect::<Vec<_>>(), wanted, "{self:?}");
        for alert in &self.alerts {
            for (name, value) in group {
                assert_eq!(alert["labels"][name].as_str().unwrap_or_default(), value, "{alert}");
            }
        }
    }

    /// Its texts are complete: nothing of a template is left, and none of its queries found nothing.
    pub(super) fn assert_told(&self) {
        for name in ["summary", "description", "runbook_url"] {
            let text = self.alert["annotations"][name].as_str().unwrap_or_default();
            let is_whole = !text.is_empty()
                && !["{{", "<no value>", "error", "NaN", "%!"].iter().any(|bad| text.contains(bad));
            assert!(is_whole, "{name}: {text:?} of {}", self.alert["labels"]);
        }
    }
}

fn has(labels: &Value, wanted: &[(&str, &str)]) -> bool {
    wanted.iter().all(|(name, value)| labels[*name].as_str().unwrap_or_default() == *value)
}

/// Waits until an alert with these labels is held back because of one with those.
pub(super) fn until_inhibited(alertmanager: &Alertmanager, labels: &[(&str, &str)], by: &[(&str, &str)]) {
    super::paced(&format!("{labels:?} to be held back by {by:?}"), PATIENCE, || {
        let alerts = alertmanager.alerts();
        let sources: Vec<&Value> = alerts
            .iter()
            .filter(|alert| has(&alert["labels"], by))
            .map(|alert| &alert["fingerprint"])
            .collect();
        let is_held = |alert: &&Value| {
            let reasons = alert["status"]["inhibitedBy"].as_array().into_iter().flatten();
            has(&alert["labels"], labels) && reasons.into_iter().any(|reason| sources.contains(&reason))
        };
        alerts.iter().any(|alert| is_held(&alert)).then_some(())
    });
}

#[test]
fn only_addresses_and_waits_are_changed() {
    let config = "route:\n  receiver: a\n  group_wait: 30s\n  group_by: [alertname]\nreceivers:\n  - name: a\n    webhook_configs:\n\
                  \x20     - url: 'http://carbon.example:9000/hooks/a'\n        send_resolved: true\n";
    let expected = "route:\n  receiver: a\n  group_wait: 2s\n  group_by: [alertname]\nreceivers:\n  - name: a\n    webhook_configs:\n\
                    \x20     - url: http://127.0.0.1:7/hooks/a\n        send_resolved: true\n";
    assert_eq!(pointed_at(config, 7), expected);
}
