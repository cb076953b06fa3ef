//! Flags, named as exporters name them, and what they set.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::cli::carbon::CREDENTIALS;
use crate::cli::{health, manual, quantity, when};
use crate::config::{ConfigError, DEFAULT_FILE, Flag, Loaded, load};

/// Flags with a value: name, name of the value, help. The key in the configuration is the same with `_` for `-`.
const VALUES: &[(&str, &str, &str)] = &[
    ("web.telemetry-path", "PATH", "Path of the metrics [default: /metrics]"),
    ("web.max-requests", "N", "Requests served at once; more get a 503 [default: 40]"),
    ("path.procfs", "DIR", "Where procfs is mounted [default: /proc]"),
    ("path.sysfs", "DIR", "Where sysfs is mounted [default: /sys]"),
    (
        "path.rootfs",
        "DIR",
        "Where the host's root is mounted, for the files of container runtimes [default: /]",
    ),
    ("nvml.library", "FILE", "NVML library to load [default: libnvidia-ml.so.1, once the driver is loaded]"),
    ("sample.interval", "DURATION", "Time between two samples, 100ms to 60s [default: 1s]"),
    ("carbon.zone", "ZONE", "Grid zone, such as FR, US-CA or SE-SE3 [default: the world's average]"),
    ("carbon.cloud", "REGION", "Cloud region, such as aws:eu-west-3"),
    ("carbon.intensity", "G_PER_KWH", "Constant carbon intensity in grams per kWh"),
    ("carbon.basis", "BASIS", "Which emissions the factor counts: lifecycle or direct"),
    ("carbon.source", "NAMES", "Live sources, such as neso or rte; more in the file [default: none]"),
    (
        "carbon.pue",
        "RATIO",
        "Power usage effectiveness of the facility, 1 to 10 [default: none, 1.0 is used]",
    ),
    ("carbon.wue", "RATIO", "Litres of site water per kWh of IT energy [default: not known]"),
    ("names.wait", "DURATION", "How long new series wait for their name, up to 60s [default: 10s]"),
    ("names.labels", "KEYS", "Labels of pods and containers to show, with commas between [default: none]"),
    ("names.annotations", "KEYS", "Their annotations to show, with commas between [default: none]"),
    ("kubernetes.source", "WHO", "Who tells the names of pods: auto, api, kubelet or files [default: auto]"),
    ("kubernetes.node", "NAME", "The node's name in Kubernetes [default: $NODE_NAME, else the host name]"),
    ("kubernetes.kubeconfig", "FILE", "Credentials for the API server [default: those of the own pod]"),
    ("jobs.dir", "DIR", "Where a prolog script may write a file for each job [default: /run/wattprint/jobs]"),
    ("state.dir", "DIR", "Where grid data is kept over a restart [default: $STATE_DIRECTORY, else nowhere]"),
    ("log.level", "LEVEL", "error, warn, info, debug or trace [default: info]"),
    ("log.format", "FORMAT", "text or json [default: text]"),
];

/// Collectors that can be switched, and what they read.
const COLLECTORS: &[(&str, &str)] = &[
    ("rapl", "energy counters of CPU packages and memory (/sys/class/powercap)"),
    ("hwmon", "energy and power inputs of /sys/class/hwmon"),
    ("estimate", "the model for components that nothing measures"),
    ("nvml", "NVIDIA GPUs and their processes (NVML)"),
    ("drm", "AMD and Intel GPUs and their processes (sysfs and fdinfo)"),
    ("cgroup", "CPU time and memory of cgroups"),
    ("process", "CPU time of processes"),
    ("kubernetes", "names of pods (API server, kubelet or its logs' directories)"),
    ("podresources", "the kubelet's allocations of GPUs (pod-resources socket)"),
    ("containers", "names of containers (files of docker, podman, containerd and CRI-O)"),
    ("jobs", "names of batch jobs (environment, spool files and --jobs.dir)"),
    ("vms", "UUIDs and owners of VMs (/run/libvirt)"),
];

/// The command line.
pub(super) fn command() -> Command {
    let mut command = Command::new("wattprint")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Attributes this node's power and CO2e to containers, pods, jobs, services, VMs and processes")
        .after_help(
            "Each setting can also stand in the configuration file (TOML) or in the environment: \
             web.max-requests is max_requests in [web] and WATTPRINT_WEB__MAX_REQUESTS.",
        )
        .subcommand(Command::new("serve").about("Measure and serve metrics (the default)"))
        .subcommand(
            Command::new("check")
                .about("Say what can be measured here, what can't, and what would fix it")
                .after_help(
                    "Exit code: 0 if something measured is in use, 1 if only models are, 2 if nothing works.",
                )
                .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON")),
        )
        .subcommand(
            Command::new("health")
                .about("Ask the daemon of this machine whether it makes progress")
                .after_help(
                    "Where the configuration can't be used, which a running daemon may have refused, flags and the environment \
                     say where it listens; until a restart heeds another web.listen_address, --address does. Exit code: 0 if it does, 1 if not or if nobody answers, 2 if it was asked wrongly.",
                )
                .arg(
                    Arg::new("ready")
                        .long("ready")
                        .action(ArgAction::SetTrue)
                        .help("Ask whether it has something to show, instead"),
                )
                .arg(
                    Arg::new("all")
                        .long("all")
                        .action(ArgAction::SetTrue)
                        .help("Ask at every address that the name has, instead of until one answers well"),
                )
                .arg(
                    Arg::new("address")
                        .long("address")
                        .value_name("HOST:PORT")
                        .value_parser(health::address)
                        .help("Ask here [default: web.listen_address]"),
                )
                .arg(
                    Arg::new("timeout")
                        .long("timeout")
                        .value_name("DURATION")
                        .value_parser(health::timeout)
                        .default_value("2s")
                        .help("How long the answer may take, or with --all all of them"),
                ),
        )
        .subcommand(
            Command::new("release-gpus")
                .about("Make a running daemon give back its GPU handles, so that the driver can be unloaded")
                .after_help(
                    "It sends SIGUSR1 (with --resume SIGUSR2) and waits until the handles are gone. Exit code: 0 if \
                     they are, 1 if not.",
                )
                .arg(
                    Arg::new("pid")
                        .long("pid")
                        .value_name("PID")
                        .value_parser(value_parser!(i32).range(1..))
                        .help("The daemon [default: every one that is found]"),
                )
                .arg(
                    Arg::new("resume")
                        .long("resume")
                        .action(ArgAction::SetTrue)
                        .help("Take the GPUs in again"),
                ),
        )
        .subcommand(
            Command::new("relay").about("Measure nothing; poll the configured sources for other wattprints").after_help(
                "The others have a source with provider = \"relay\" and url = \"http://this-host:10125\".",
            ),
        )
        .subcommand(regions())
        .subcommand(when())
        .subcommand(manual::completions())
        .subcommand(manual::man())
        .arg(
            Arg::new("config.file")
                .long("config.file")
                .value_name("FILE")
                .global(true)
                .value_parser(value_parser!(PathBuf))
                .help(format!("Configuration file [default: {DEFAULT_FILE}, if it is there]")),
        )
        .arg(
            Arg::new("web.listen-address")
                .long("web.listen-address")
                .value_name("HOST:PORT")
                .global(true)
                .action(ArgAction::Append)
                .help("Address to listen on; can be given several times [default: :10125]"),
        )
        .arg(
            switch("web.systemd-socket").help("Refuse to start without sockets of systemd; those that come are used anyway"),
        )
        .arg(switch("simulate").help("Make up a node's meters, for demos; every meter says so"));
    for (name, value, help) in VALUES {
        command = command.arg(Arg::new(*name).long(*name).value_name(*value).global(true).help(*help));
    }
    for (name, reads) in COLLECTORS {
        let on: &'static str = collector_flag(name, true);
        let off: &'static str = collector_flag(name, false);
        command = command
            .arg(switch(on).overrides_with(off).help(format!("Read {reads} [default]")))
            .arg(switch(off).overrides_with(on).help(format!("Don't read {reads}")));
    }
    command
}

/// `wattprint regions`.
fn regions() -> Command {
    Command::new("regions")
        .about("Rank grid zones and cloud regions by what the same work would emit there")
        .after_help(
            "Give --energy, or --power and --hours. Life-cycle and direct figures are ranked apart: they aren't \
             comparable. carbon.pue counts at --from, where that is the configured place or none is configured.",
        )
        .arg(
            Arg::new("energy")
                .long("energy")
                .value_name("ENERGY")
                .value_parser(quantity::energy)
                .required_unless_present("power")
                .conflicts_with_all(["power", "hours"])
                .help("Energy of the IT equipment, such as 120kWh or 1.5MWh"),
        )
        .arg(
            Arg::new("power")
                .long("power")
                .value_name("POWER")
                .value_parser(quantity::power)
                .requires("hours")
                .help("Its power instead, such as 8kW; needs --hours"),
        )
        .arg(
            Arg::new("hours")
                .long("hours")
                .value_name("HOURS")
                .value_parser(quantity::hours)
                .requires("power")
                .help("How long that power is drawn"),
        )
        .arg(
            Arg::new("from")
                .long("from")
                .value_name("PLACE")
                .help("Compare with this grid zone or cloud region, such as FR or aws:eu-west-3"),
        )
        .arg(
            Arg::new("basis")
                .long("basis")
                .value_name("BASIS")
                .value_parser(["lifecycle", "direct"])
                .help("Only one list [default: both]"),
        )
        .arg(
            Arg::new("only")
                .long("only")
                .value_name("KIND")
                .value_parser(["zones", "clouds"])
                .help("Only grid zones or only cloud regions [default: both]"),
        )
        .arg(
            Arg::new("limit")
                .long("limit")
                .value_name("N")
                .value_parser(value_parser!(usize))
                .default_value("15")
                .help("Places in each list, beside --from and the last one; 0 for all"),
        )
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON"))
}

/// `wattprint when`.
fn when() -> Command {
    Command::new("when")
        .about("Say when in the forecast to begin something, and what that saves against beginning now")
        .after_help(
            "Asks the daemon of this machine, else the configured sources. Times are UTC. Exit code: 0 if there is an \
             answer, 1 if there is no forecast, 2 if it was asked wrongly.",
        )
        .arg(
            Arg::new("hours")
                .long("hours")
                .value_name("HOURS")
                .required(true)
                .value_parser(when::length)
                .help("How long it takes: 0.25 to 72 hours, or with units, such as 90min"),
        )
        .arg(
            Arg::new("energy")
                .long("energy")
                .value_name("ENERGY")
                .value_parser(quantity::energy)
                .conflicts_with("power")
                .help("Say grams, too, for this energy of the IT equipment, such as 120kWh"),
        )
        .arg(
            Arg::new("power")
                .long("power")
                .value_name("POWER")
                .value_parser(quantity::power)
                .help("Say grams, too, for this power over these hours, such as 8kW"),
        )
        .arg(
            Arg::new("daemon")
                .long("daemon")
                .value_name("URL")
                .value_parser(when::daemon)
                .help("Ask this wattprint, such as http://node1:10125 [default: the one of this machine]"),
        )
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON"))
}

fn switch(name: &'static str) -> Arg {
    Arg::new(name).long(name).global(true).action(ArgAction::SetTrue)
}

/// The flag and the configuration key of each switch of a collector.
fn collector_flag(name: &str, on: bool) -> &'static str {
    match (name, on) {
        ("rapl", true) => "collector.rapl",
        ("rapl", false) => "no-collector.rapl",
        ("hwmon", true) => "collector.hwmon",
        ("hwmon", false) => "no-collector.hwmon",
        ("estimate", true) => "collector.estimate",
        ("estimate", false) => "no-collector.estimate",
        ("nvml", true) => "collector.nvml",
        ("nvml", false) => "no-collector.nvml",
        ("drm", true) => "collector.drm",
        ("drm", false) => "no-collector.drm",
        ("cgroup", true) => "collector.cgroup",
        ("cgroup", false) => "no-collector.cgroup",
        ("kubernetes", true) => "collector.kubernetes",
        ("kubernetes", false) => "no-collector.kubernetes",
        ("podresources", true) => "collector.podresources",
        ("podresources", false) => "no-collector.podresources",
        ("containers", true) => "collector.containers",
        ("containers", false) => "no-collector.containers",
        ("jobs", true) => "collector.jobs",
        ("jobs", false) => "no-collector.jobs",
        ("vms", true) => "collector.vms",
        ("vms", false) => "no-collector.vms",
        (_, true) => "collector.process",
        (_, false) => "no-collector.process",
    }
}

/// Puts the settings together from file, environment and flags.
pub(super) fn settings(
    matches: &ArgMatches,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Loaded, ConfigError> {
    let file = inner(matches).get_one::<PathBuf>("config.file").map(PathBuf::as_path);
    load_with(matches, file, environment)
}

/// The settings of a daemon that runs by a configuration which can't be used any more, as far as flags and the environment
/// tell.
pub(super) fn settings_without_file(
    matches: &ArgMatches,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Loaded, ConfigError> {
    load_with(matches, Some(Path::new("/dev/null")), environment)
}

fn inner(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, inner)| inner)
}

fn load_with(
    matches: &ArgMatches,
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Loaded, ConfigError> {
    let uses_credentials = matches!(matches.subcommand_name(), None | Some("serve" | "relay"));
    let matches = inner(matches);
    let mut flags: Vec<Flag> = Vec::new();
    let mut add = |name: &str, key: &str, values: Vec<String>| {
        flags.push(Flag { name: format!("--{name}"), key: key.to_owned(), values });
    };
    for (name, _, _) in VALUES {
        if let Some(value) = matches.get_one::<String>(name) {
            add(name, &name.replace('-', "_"), vec![value.clone()]);
        }
    }
    if let Some(addresses) = matches.get_many::<String>("web.listen-address") {
        add("web.listen-address", "web.listen_address", addresses.cloned().collect());
    }
    for (name, _) in COLLECTORS {
        for on in [true, false] {
            let flag = collector_flag(name, on);
            if matches.get_flag(flag) {
                add(flag, collector_flag(name, true), vec![on.to_string()]);
            }
        }
    }
    if matches.get_flag("web.systemd-socket") {
        add("web.systemd-socket", "web.systemd_socket", vec![true.to_string()]);
    }
    if matches.get_flag("simulate") {
        add("simulate", "simulate", vec![true.to_string()]);
    }
    let mut environment: Vec<_> = environment.into_iter().collect();
    if !uses_credentials && !environment.iter().any(|(name, value)| name == CREDENTIALS && !value.is_empty())
    {
        // Only the service has them; for others such a path stays as it is written.
        environment.retain(|(name, _)| name != CREDENTIALS);
        environment.push((CREDENTIALS.into(), format!("${CREDENTIALS}").into()));
    }
    load(file, environment, &flags)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn parse(arguments: &[&str]) -> Result<Settings, ConfigError> {
        let arguments = std::iter::once("wattprint").chain(arguments.iter().copied());
        let none = ["--config.file", "/dev/null"];
        let arguments = arguments.chain(none);
        settings(&command().try_get_matches_from(arguments).unwrap(), []).map(|loaded| loaded.settings)
    }

    #[test]
    fn the_definition_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn flags_reach_their_settings_before_and_after_the_subcommand() {
        let settings =
            parse(&["--web.listen-address=:1", "--web.listen-address", ":2", "--sample.interval", "250ms"])
                .unwrap();
        assert_eq!(settings.web.listen_address, [":1", ":2"]);
        assert_eq!(settings.sample.interval.as_millis(), 250);
        let settings =
            parse(&["--carbon.zone=FR", "check", "--carbon.pue", "1.2", "--no-collector.rapl"]).unwrap();
        assert_eq!(settings.carbon.zone.as_deref(), Some("FR"));
        assert_eq!(settings.carbon.pue, Some(1.2));
        assert!(!settings.collector.rapl && settings.collector.hwmon);
    }

    #[test]
    fn every_flag_names_a_setting() {
        let known = serde_json::to_value(Settings::default()).unwrap();
        let keys = VALUES.iter().map(|(name, _, _)| name.replace('-', "_"));
        let collectors = COLLECTORS.iter().map(|(name, _)| collector_flag(name, true).to_owned());
        for key in keys.chain(collectors) {
            let (table, field) = key.split_once('.').unwrap();
            assert!(known[table].as_object().unwrap().contains_key(field), "{key}");
        }
    }

    #[test]
    fn the_last_switch_wins() {
        assert!(parse(&["--no-collector.rapl", "--collector.rapl"]).unwrap().collector.rapl);
        assert!(!parse(&["--collector.rapl", "--no-collector.rapl"]).unwrap().collector.rapl);
    }

    #[test]
    fn a_bad_value_names_its_flag_its_key_and_what_is_allowed() {
        let text = |arguments: &[&str]| parse(arguments).unwrap_err().to_string();
        assert_eq!(
            text(&["--carbon.pue=high"]),
            "flag --carbon.pue: carbon.pue = \"high\": allowed is 1 to 10"
        );
        assert_eq!(
            text(&["check", "--web.max-requests", "x"]),
            "flag --web.max-requests: web.max_requests = \"x\": allowed is 1 to 10000"
        );
    }

    #[test]
    fn the_keys_allow_what_the_emission_factors_allow() {
        use crate::carbon::factors::{MAX_INTENSITY, MAX_PUE};
        for (flag, most) in [("--carbon.intensity", MAX_INTENSITY), ("--carbon.pue", MAX_PUE)] {
            assert!(parse(&[&format!("{flag}={most}")]).is_ok(), "{flag}");
            assert!(parse(&[&format!("{flag}={}", most + 0.1)]).is_err(), "{flag}");
        }
    }
}
