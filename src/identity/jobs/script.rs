//! The copy of a batch script that slurmd keeps while the job runs, for daemons that may read root's files but not the
//! environment of other users' processes.

use std::path::{Path, PathBuf};

use crate::identity::files::HostRoot;

use super::told::{Told, clean};

/// Where Slurm's configuration is: as upstream installs it, and in Debian before version 11.
const CONFIGURATIONS: [&str; 2] = ["/etc/slurm/slurm.conf", "/etc/slurm-llnl/slurm.conf"];
/// Slurm's own default and Debian's, for nodes that are sent their configuration (slurm.conf(5)).
const SPOOLS: [&str; 2] = ["/var/spool/slurmd", "/var/lib/slurm/slurmd"];
/// Of a file of configuration, which may list thousands of nodes, and of a script, which may hold data.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// What the script of a job says of it, in one of these directories ([`spools`]).
pub(super) fn told(root: &HostRoot, spools: &[PathBuf], id: &str) -> Option<Told> {
    // slurmd 22.05 names the directory `job%05u` and the file `slurm_script`.
    let script = |spool: &Path| root.read(&spool.join(format!("job{id:0>5}/slurm_script")), MOST_BYTES).ok();
    let (contents, _) = spools.iter().find_map(|spool| script(spool))?;
    Some(parse(&contents))
}

/// The directories that may be slurmd's.
pub(super) fn spools(root: &HostRoot) -> Vec<PathBuf> {
    let read = |path: &&str| root.read(Path::new(path), MOST_BYTES).ok();
    let configured = CONFIGURATIONS.iter().find_map(read).and_then(|(conf, _)| {
        let conf = String::from_utf8_lossy(&conf).into_owned();
        conf.lines().find_map(spool_of_line).map(|spool| spool.to_owned())
    });
    let host = root.read(Path::new("/etc/hostname"), 1024).map(|(name, _)| name).unwrap_or_default();
    let host = String::from_utf8_lossy(&host);
    let host = host.trim().split('.').next().unwrap_or_default();
    let expanded = configured.map(|spool| spool.replace("%h", host).replace("%n", host).into());
    expanded.into_iter().chain(SPOOLS.map(PathBuf::from)).collect()
}

/// The value on a line `SlurmdSpoolDir=...`; names of settings are of any case there.
fn spool_of_line(line: &str) -> Option<&str> {
    let (key, value) = line.split_once('=')?;
    let value = value.split_whitespace().next()?;
    key.trim().eq_ignore_ascii_case("SlurmdSpoolDir").then_some(value)
}

/// The options on `#SBATCH` lines, which end where the first command begins (sbatch(1)). The command line goes before
/// them, and isn't known here.
fn parse(contents: &[u8]) -> Told {
    let mut told = Told::default();
    for line in contents.split(|byte| *byte == b'\n') {
        let Ok(line) = std::str::from_utf8(line) else { break };
        if let Some(options) = line.strip_prefix("#SBATCH") {
            take(options, &mut told);
        } else if !line.trim().is_empty() && !line.starts_with('#') {
            break;
        }
    }
    told
}

/// Takes one line of options: `--job-name=x`, `--job-name x`, `-J x` or `-Jx`, perhaps several.
fn take(options: &str, told: &mut Told) {
    let mut words = options.split_whitespace();
    while let Some(word) = words.next().filter(|word| !word.starts_with('#')) {
        let (name, value) = match word.strip_prefix("--") {
            Some(option) => {
                option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)))
            }
            None => {
                let (name, value) = word.split_at_checked(2).unwrap_or((word, ""));
                (name, Some(value).filter(|value| !value.is_empty()))
            }
        };
        let field = match name {
            "job-name" | "-J" => &mut told.job_name,
            "account" | "-A" => &mut told.account,
            "partition" | "-p" => &mut told.partition,
            _ => continue,
        };
        *field = clean(unquote(value.or_else(|| words.next()).unwrap_or_default()));
    }
}

/// A word without the quotes around it; nothing where they hold more than this word.
fn unquote(word: &str) -> &str {
    let Some(quote) = word.chars().next().filter(|c| matches!(c, '"' | '\'')) else { return word };
    word.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
