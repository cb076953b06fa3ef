//! What amtool says of the example of an Alertmanager configuration: that it is valid, and who gets which alert.

use crate::files::rules;
use crate::{tool, tool_ok};

const CONFIG: &str = "deploy/alertmanager/alertmanager.yml";

/// The receivers of an alert with these labels.
fn receivers(labels: &[&str]) -> Vec<String> {
    let config = format!("--config.file={CONFIG}");
    let output = tool("amtool", &[&["config", "routes", "test", &config], labels].concat());
    assert!(output.status.success(), "{labels:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().split(',').map(str::to_owned).collect()
}

#[test]
fn the_example_is_valid() {
    let said = tool_ok("amtool", &["check-config", CONFIG]);
    assert!(said.contains("SUCCESS") && said.contains("4 receivers"), "{said}");
}

#[test]
fn alerts_go_to_whom_they_concern() {
    let cases: [(&[&str], &[&str]); 12] = [
        // A page goes on to where it belongs by day.
        (
            &[
                "alertname=WattprintNamespaceCarbonBudgetBurn",
                "severity=critical",
                "namespace=ml",
                "window=1h",
            ],
            &["pager", "carbon"],
        ),
        (
            &["alertname=WattprintNodeCarbonBudgetBurn", "severity=critical", "instance=n1"],
            &["pager", "carbon"],
        ),
        (&["alertname=WattprintNamespaceCarbonBudgetBurn", "severity=warning", "namespace=ml"], &["carbon"]),
        (&["alertname=WattprintNodeCarbonBudgetBurn", "severity=warning", "instance=n1"], &["carbon"]),
        (&["alertname=WattprintGridIntensityHigh", "severity=warning", "grid_zone=FR"], &["carbon"]),
        (&["alertname=WattprintGpuAllocatedIdle", "severity=warning", "namespace=ml", "gpu=0"], &["carbon"]),
        (&["alertname=WattprintGpuContextsParked", "severity=warning", "namespace=ml"], &["carbon"]),
        (&["alertname=WattprintCleanWindowAhead", "severity=info", "grid_zone=FR"], &["digest"]),
        (&["alertname=WattprintExporterDown", "severity=info", "instance=n1"], &["digest"]),
        (&["alertname=WattprintExporterDown", "severity=warning", "instance=n1"], &["platform"]),
        (&["alertname=WattprintGpuLost", "severity=warning", "instance=n1", "gpu=0"], &["platform"]),
        (&["alertname=WattprintRulesStandStill", "severity=critical"], &["pager", "platform"]),
    ];
    for (labels, expected) in cases {
        assert_eq!(receivers(labels), expected, "{labels:?}");
    }
}

#[test]
fn every_alert_reaches_a_receiver_that_fits_its_severity() {
    for rule in rules().iter().filter(|rule| !rule.alert.is_empty()) {
        let severity = rule.label("severity").unwrap();
        let found = receivers(&[&format!("alertname={}", rule.alert), &format!("severity={severity}")]);
        let paged = found.iter().any(|receiver| receiver == "pager");
        assert_eq!(paged, severity == "critical", "{}: {found:?}", rule.alert);
        let digested = found.iter().any(|receiver| receiver == "digest");
        assert_eq!(digested, severity == "info", "{}: {found:?}", rule.alert);
    }
}
