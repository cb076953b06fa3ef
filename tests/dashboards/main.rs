//! The dashboards as files: they are what their source makes, they fit Grafana's own model, and they keep the rules of
//! grafana/dashboard-linter and some of ours. Nothing here needs a network or a server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can't go on has failed"
)]

mod board;
mod broken;
mod exceptions;
mod generated;
mod late_names;
mod promql;
mod rules;
mod sample;

use board::Fleet;

#[test]
fn every_dashboard_keeps_every_rule() {
    let fleet = Fleet::committed();
    assert!(!fleet.boards.is_empty(), "no dashboard in dashboards/");
    let found: Vec<_> =
        rules::findings(&fleet).into_iter().filter(|finding| !exceptions::covers(finding)).collect();
    let lines: String = found.iter().map(|finding| format!("\n  {finding}")).collect();
    assert!(found.is_empty(), "{} findings:{lines}", found.len());
}

#[test]
fn every_exception_is_still_needed() {
    let found = rules::findings(&Fleet::committed());
    for exception in exceptions::EXCEPTIONS {
        assert!(
            found.iter().any(|finding| exception.covers(finding)),
            "nothing is left to except: {exception:?}"
        );
    }
}

#[test]
fn every_dashboard_is_documented() {
    let page = std::fs::read_to_string(board::repository().join("docs/dashboards.md")).unwrap();
    for board in Fleet::committed().boards {
        let line = format!("| `{}` | `{}` |", board.file, board.uid());
        assert!(page.contains(&line), "no line of docs/dashboards.md begins with {line}");
    }
}
