//! The page's table of GPUs.

use std::fmt::{self, Write};

use super::{Energy, Escaped, Number, Power, close_table, open_table};
use crate::snapshot::Snapshot;

/// Writes nothing on a node without GPUs.
pub(super) fn write(html: &mut String, snapshot: &Snapshot) -> fmt::Result {
    if snapshot.gpus.is_empty() {
        return Ok(());
    }
    html.write_str("<h2>GPUs</h2>\n")?;
    open_table(
        html,
        &[
            ("GPU", false),
            ("Model", false),
            ("Power", true),
            ("Energy", true),
            ("Works", true),
            ("Processes", true),
            ("Evidence", false),
        ],
    )?;
    for gpu in &snapshot.gpus {
        writeln!(
            html,
            "<tr><td>{}</td><td>{}</td>{}{}{}{}<td>{}</td></tr>",
            Escaped(&gpu.identity.gpu),
            Escaped(&gpu.identity.model),
            Number(gpu.power.map(Power)),
            Number(gpu.energy.map(Energy)),
            Number(gpu.utilization.map(|share| format!("{:.0} %", share * 100.0))),
            Number(gpu.clients),
            if gpu.up { Escaped(gpu.method.unwrap_or("")) } else { Escaped(&gpu.reason) },
        )?;
    }
    close_table(html)
}
