//! `wattprint serve`: measure and serve metrics until a signal ends it.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tracing::{info, warn};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::carbon::fetch;
use crate::cli::carbon::{self, Carbon, Purpose};
use crate::cli::confine::confine;
use crate::cli::live::Live;
use crate::cli::reload::{self, LogHandle, Reloader, Reread, Running};
use crate::cli::systemd::{Notifier, Pulse};
use crate::cli::{CliError, names, raise_open_files};
use crate::config::{Loaded, LogFormat, LogLevel, Settings};
use crate::identity::NameBoard;
use crate::sampler::{Clock, Ending, Order, Sampler};
use crate::snapshot::SnapshotCell;
use crate::units::UnixTime;
use crate::web::{self, WebSettings};

/// A sampler that hangs in a system call is left behind after this time.
const SAMPLER_GRACE: Duration = Duration::from_millis(500);

/// How often it is looked whether the sampler makes progress.
const LOOK: Duration = Duration::from_secs(1);

/// A shorter watchdog isn't served more often than this.
const SHORTEST_LOOK: Duration = Duration::from_millis(100);

pub(super) fn run(loaded: &Loaded, purpose: Purpose, reread: Reread) -> Result<(), CliError> {
    let settings = &loaded.settings;
    // One thread is enough: handlers only hand out what is encoded already.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // From here on a SIGHUP is kept until it can be heeded.
    let hangup = {
        let _inside = runtime.enter();
        signal(SignalKind::hangup())?
    };
    let log = start_log(settings);
    confine();
    let web = web_settings(loaded)?;
    // Before any thread is there, since it changes the environment.
    let handed_over =
        web::inherited(settings.web.systemd_socket).map_err(|error| CliError::web(&loaded.origins, error))?;
    let Carbon { pricer, work } = carbon::carbon(loaded, purpose)?;
    let clock = Clock::new()?;
    let listeners = handed_over.map_or_else(|| web::bind(&web.listen), Ok)?;
    info!(version = env!("CARGO_PKG_VERSION"), "wattprint starts");
    if let Some(notice) = pricer.fallback().notice().filter(|_| work.sources.is_empty()) {
        warn!("{notice}");
    }
    if let Some(stand_in) = carbon::poor_stand_in(loaded, &pricer)
        .filter(|_| purpose == Purpose::Account && !work.sources.is_empty())
    {
        warn!("{stand_in}");
    }
    if settings.simulate {
        warn!("simulated: the meters are made up, no figure is real");
    }
    let wall: fetch::Clock = Arc::new(move || UnixTime::since_epoch(clock.unix()));
    let live = Live::begin(settings, work, &wall);
    let names = Arc::new(NameBoard::new());
    let name_workers = names::begin(settings, &names);
    let counted = reload::counted(&pricer);
    let boards = (Arc::clone(&live.board), Arc::clone(&names));
    let sampler = Sampler::new(settings, pricer, boards, clock, raise_open_files());
    info!(layout = %sampler.workloads().layout(), "cgroups");
    let cell = Arc::new(SnapshotCell::new());
    let (orders, ordered) = mpsc::channel();
    let published = Arc::clone(&cell);
    let thread =
        thread::Builder::new().name("sampler".to_owned()).spawn(move || sampler.run(&published, &ordered))?;
    let running =
        Running { settings: settings.clone(), counted, purpose, live, names: (names, name_workers), log };
    let reloader = Reloader::start(running, reread, orders.clone())?;
    let outcome =
        runtime.block_on(serve(listeners, web, cell, clock, (&thread, &orders), (hangup, &reloader)));
    // The receiver is gone if the sampler ended already.
    let _ = orders.send(Order::Stop);
    reloader.stop();
    runtime.block_on(wait_for(&thread));
    runtime.shutdown_background();
    if thread.is_finished()
        && let Ok(Ending::NeedsNewContainer(reason)) = thread.join()
    {
        return Err(CliError::NeedsNewContainer(reason));
    }
    outcome
}

/// Serves until a signal comes or the sampler ends.
async fn serve(
    listeners: Vec<std::net::TcpListener>,
    settings: WebSettings,
    cell: Arc<SnapshotCell>,
    clock: Clock,
    (sampler, orders): (&JoinHandle<Ending>, &mpsc::Sender<Order>),
    (mut hangup, reloader): (Signal, &Reloader),
) -> Result<(), CliError> {
    let (shutdown, ended) = watch::channel(false);
    let now = Arc::new(move || clock.now().monotonic);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut release = signal(SignalKind::user_defined1())?;
    let mut resume = signal(SignalKind::user_defined2())?;
    let notifier = Notifier::from_environment();
    let period = notifier.watchdog_interval().map_or(LOOK, |interval| interval.clamp(SHORTEST_LOOK, LOOK));
    let mut look = tokio::time::interval(period);
    let mut pulse = Pulse::new(&notifier, address(&listeners, &settings.telemetry_path));
    let snapshots = Arc::clone(&cell);
    let mut server = tokio::spawn(web::serve(listeners, settings, cell, now, ended));
    let outcome = loop {
        tokio::select! {
            _ = terminate.recv() => break Ok(()),
            _ = interrupt.recv() => break Ok(()),
            // The look below finds out if the sampler isn't there to hear it.
            _ = release.recv() => {
                info!("SIGUSR1: GPUs are given back as soon as no call is under way");
                let _ = orders.send(Order::ReleaseGpus);
            }
            _ = resume.recv() => {
                info!("SIGUSR2: GPUs are taken in again");
                let _ = orders.send(Order::ResumeGpus);
            }
            _ = hangup.recv() => reloader.ask(pulse.start()),
            _ = look.tick() => {
                if sampler.is_finished() {
                    break Err(CliError::SamplerEnded);
                }
                if reloader.has_ended() {
                    break Err(CliError::ReloaderEnded);
                }
                if let Some(snapshot) = snapshots.latest() {
                    pulse.tell(&snapshot, clock.now().monotonic);
                }
            }
            result = &mut server => {
                return result.map_err(std::io::Error::other)?.map_err(CliError::from);
            }
        }
    };
    info!("wattprint ends");
    notifier.stopping();
    // The server stops by itself within its grace.
    let _ = shutdown.send(true);
    server.await.map_err(std::io::Error::other)??;
    outcome
}

/// Where the metrics are, for people.
fn address(listeners: &[std::net::TcpListener], path: &str) -> String {
    let addresses = listeners.iter().filter_map(|listener| listener.local_addr().ok());
    let mut shown: Vec<String> = addresses
        .map(|address| match address.ip().is_unspecified() {
            true => format!("http://localhost:{}{path}", address.port()),
            false => format!("http://{address}{path}"),
        })
        .collect();
    shown.dedup();
    shown.join(" ")
}

async fn wait_for(thread: &JoinHandle<Ending>) {
    let step = Duration::from_millis(5);
    let mut waited = Duration::ZERO;
    while !thread.is_finished() && waited < SAMPLER_GRACE {
        tokio::time::sleep(step).await;
        waited = waited.saturating_add(step);
    }
}

/// What the server needs; fails where an address is none.
pub(super) fn web_settings(loaded: &Loaded) -> Result<WebSettings, CliError> {
    let web = &loaded.settings.web;
    let error = |error| CliError::web(&loaded.origins, error);
    web::check_telemetry_path(&web.telemetry_path).map_err(error)?;
    let listen = web.listen_address.iter().map(|address| web::parse_listen(address));
    Ok(WebSettings {
        listen: listen.collect::<Result<_, _>>().map_err(error)?,
        telemetry_path: web.telemetry_path.clone(),
        limits: web::Limits { max_requests: web.max_requests, ..web::Limits::default() },
    })
}

/// Sends the log to the standard error stream.
fn start_log(settings: &Settings) -> LogHandle {
    let log = &settings.log;
    let (filter, handle) = tracing_subscriber::reload::Layer::new(log_filter(log.level));
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    let registry = tracing_subscriber::registry().with(filter);
    // It fails only where a log was set up before, which is then used.
    let _ = match log.format {
        LogFormat::Text => registry.with(layer).try_init(),
        LogFormat::Json => registry.with(layer.json()).try_init(),
    };
    handle
}

/// What is written at a level.
pub(super) fn log_filter(of: LogLevel) -> Targets {
    // Libraries speak only where something is wrong with them.
    Targets::new()
        .with_default(LevelFilter::WARN)
        // It has a word on every try; whoever uses it says once what is wrong.
        .with_target("kube_client", LevelFilter::OFF)
        .with_target("wattprint", level(of))
}

const fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}
