//! The command line: one file for each subcommand.

mod carbon;
mod check;
mod flags;
mod health;
mod live;
mod names;
mod quantity;
mod regions;
mod release_gpus;
mod serve;
mod systemd;
mod when;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use crate::carbon::factors::FactorError;
use crate::cli::carbon::Purpose;
use crate::config::{ConfigError, Origins};
use crate::sampler::ClockError;
use crate::web::WebError;

/// Bad usage or a bad configuration.
const USAGE: u8 = 2;
/// The daemon can't run.
const FAILURE: u8 = 1;

/// Why a command ended.
#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// A setting that passed as a value but can't be used.
    #[error("{origin}{text}")]
    Setting { origin: String, text: String },
    #[error("{0}")]
    Clock(#[from] ClockError),
    #[error("{0}")]
    Web(#[from] WebError),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("the sampler ended unexpectedly; the log says why")]
    SamplerEnded,
    /// An orchestrator starts the container anew, with what the host has now.
    #[error("the GPU driver can be used from a new container only: {0}")]
    NeedsNewContainer(String),
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// Nobody who was asked knows enough of the time ahead.
    #[error("{0}")]
    NoForecast(String),
    #[error("{0}")]
    Unhealthy(String),
}

impl CliError {
    /// Names where the setting came from, before what is wrong with it.
    fn setting(origins: &Origins, key: &str, text: String) -> Self {
        Self::Setting { origin: origins.of(key).map_or(String::new(), |origin| format!("{origin}: ")), text }
    }

    fn factor(origins: &Origins, error: &FactorError) -> Self {
        let key = match error {
            FactorError::Intensity(_) => "carbon.intensity",
            FactorError::Pue(_) => "carbon.pue",
            FactorError::UnknownZone { .. } => "carbon.zone",
            FactorError::CloudSyntax(_) | FactorError::UnknownRegion { .. } => "carbon.cloud",
            FactorError::NoBasis => "carbon.intensity",
            FactorError::NotOnThisBasis { .. } => "carbon.basis",
            FactorError::Table(_) => "",
        };
        Self::setting(origins, key, error.to_string())
    }

    fn web(origins: &Origins, error: WebError) -> Self {
        match error {
            WebError::Address { value, problem } => {
                let key = "web.listen_address";
                Self::setting(origins, key, format!("{key} = {value:?}: {problem}"))
            }
            WebError::TelemetryPath { .. } => Self::setting(origins, "web.telemetry_path", error.to_string()),
            other => Self::Web(other),
        }
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) | Self::Setting { .. } => ExitCode::from(USAGE),
            Self::Clock(_)
            | Self::Web(_)
            | Self::Io(_)
            | Self::SamplerEnded
            | Self::NeedsNewContainer(_)
            | Self::Json(_)
            | Self::NoForecast(_)
            | Self::Unhealthy(_) => ExitCode::from(FAILURE),
        }
    }
}

/// Runs the command that the arguments ask for, and gives the exit code of the process. `out` and `err` are the
/// standard streams.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> ExitCode {
    let matches = match flags::command().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) => {
            // Help and version are answers, not errors.
            let text = error.render();
            if error.use_stderr() {
                let _ = writeln!(err, "wattprint: {}", one_line(&text.to_string()));
                return ExitCode::from(USAGE);
            }
            let _ = write!(out, "{text}");
            return ExitCode::SUCCESS;
        }
    };
    let loaded = match flags::settings(&matches, environment) {
        Ok(loaded) => loaded,
        Err(error) => return fail(err, &error.into()),
    };
    let outcome = match matches.subcommand() {
        Some(("check", options)) => check::run(&loaded, options.get_flag("json"), out),
        Some(("health", options)) => health::run(&loaded, options, out),
        Some(("regions", options)) => regions::run(&loaded, options, out),
        Some(("release-gpus", options)) => {
            let pid = options.get_one::<i32>("pid").copied();
            release_gpus::run(&loaded, pid, options.get_flag("resume"), out)
        }
        Some(("when", options)) => when::run(&loaded, options, out),
        Some(("relay", _)) => carbon::relay(loaded)
            .and_then(|loaded| serve::run(&loaded, Purpose::Relay))
            .map(|()| ExitCode::SUCCESS),
        _ => serve::run(&loaded, Purpose::Account).map(|()| ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|error| fail(err, &error))
}

/// What is wrong and the tip, without the usage that `--help` shows.
fn one_line(text: &str) -> String {
    let lines = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let said: Vec<&str> = lines.filter(|line| !line.is_empty() && !line.starts_with("For more")).collect();
    format!("{}; see --help", said.join("; ").trim_start_matches("error: "))
}

fn fail(err: &mut dyn Write, error: &CliError) -> ExitCode {
    // Nothing is left to be done where even this can't be written.
    let _ = writeln!(err, "wattprint: {error}");
    error.exit_code()
}

/// Raises the limit of open files as far as the system lets, and gives how many may be kept open for cgroups.
fn raise_open_files() -> usize {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    /// For sockets, the log and files that are opened for a moment.
    const RESERVED: u64 = 1_000;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return 0;
    };
    let limit = if setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() { hard } else { soft };
    usize::try_from(limit.saturating_sub(RESERVED)).unwrap_or(usize::MAX)
}
