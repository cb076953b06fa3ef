//! The command line: one file for each subcommand.

mod carbon;
mod check;
mod confine;
mod flags;
mod health;
mod live;
mod manual;
mod names;
mod quantity;
mod regions;
mod release_gpus;
mod reload;
mod serve;
mod systemd;
mod when;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::carbon::factors::FactorError;
use crate::cli::carbon::Purpose;
use crate::config::{ConfigError, Loaded, Origins};
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
    #[error("the thread that rereads the configuration ended unexpectedly; the log says why")]
    ReloaderEnded,
    /// An orchestrator starts the container anew, with what the host has now.
    #[error("the GPU driver can be used from a new container only: {0}")]
    NeedsNewContainer(String),
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// A page of the manual, or its directory.
    #[error("{}: {problem}; name a directory that can be written", path.display())]
    NotWritten { path: PathBuf, problem: String },
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
            // Starting again with the same unit wouldn't help.
            WebError::NoSockets | WebError::Inherited { .. } => {
                Self::setting(origins, "web.systemd_socket", error.to_string())
            }
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
            | Self::ReloaderEnded
            | Self::NeedsNewContainer(_)
            | Self::Json(_)
            | Self::NotWritten { .. }
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
    let environment: Vec<(OsString, OsString)> = environment.into_iter().collect();
    // These need no configuration, and must work where there is a broken one.
    match matches.subcommand() {
        Some(("completions", options)) => {
            return manual::complete(options, out).unwrap_or_else(|error| fail(err, &error));
        }
        Some(("man", options)) => {
            let epoch = environment.iter().find(|(name, _)| name == "SOURCE_DATE_EPOCH");
            let epoch = epoch.and_then(|(_, value)| value.to_str());
            return manual::write(options, epoch).unwrap_or_else(|error| fail(err, &error));
        }
        _ => {}
    }
    if let Some(("health", options)) = matches.subcommand() {
        return health::run(&matches, options, &environment, out).unwrap_or_else(|error| fail(err, &error));
    }
    let loaded = match flags::settings(&matches, environment.clone()) {
        Ok(loaded) => loaded,
        Err(error) => return fail(err, &error.into()),
    };
    let outcome = match matches.subcommand() {
        Some(("check", options)) => check::run(&loaded, options.get_flag("json"), out),
        Some(("regions", options)) => regions::run(&loaded, options, out),
        Some(("release-gpus", options)) => {
            let pid = options.get_one::<i32>("pid").copied();
            release_gpus::run(&loaded, pid, options.get_flag("resume"), out)
        }
        Some(("when", options)) => when::run(&loaded, options, out),
        Some(("relay", _)) => carbon::relay(loaded)
            .and_then(|loaded| {
                let again = again(&matches, environment, carbon::relay);
                serve::run(&loaded, Purpose::Relay, again)
            })
            .map(|()| ExitCode::SUCCESS),
        _ => serve::run(&loaded, Purpose::Account, again(&matches, environment, Ok))
            .map(|()| ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|error| fail(err, &error))
}

/// Reads the settings again, with the same flags and environment.
fn again(
    matches: &clap::ArgMatches,
    environment: Vec<(OsString, OsString)>,
    then: fn(Loaded) -> Result<Loaded, CliError>,
) -> reload::Reread {
    let matches = matches.clone();
    Box::new(move || then(flags::settings(&matches, environment.clone())?))
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
