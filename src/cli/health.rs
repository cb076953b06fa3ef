//! `wattprint health`: ask the daemon of this machine how it is. It touches no hardware and is over soon, for probes.

use std::ffi::OsString;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use clap::ArgMatches;

use crate::cli::serve::web_settings;
use crate::cli::{CliError, flags};
use crate::sampler::Clock;
use crate::web::{self, ListenAddress};

/// More of an answer isn't read.
const MAX_ANSWER: u64 = 16 * 1024;
/// More of those that don't answer well aren't named.
const MAX_NAMED: usize = 10;
/// Where many are asked, one that is silent may take so much of the time.
const SHARE: u32 = 10;

/// The time that is left for answers; absent when there is none.
type Left<'a> = dyn Fn() -> Option<Duration> + 'a;

/// A time that the answer may take.
///
/// # Errors
/// It isn't one, or it is none at all.
pub(super) fn timeout(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("must be more than nothing".to_owned()),
        Ok(duration) => Ok(duration),
        Err(_) => Err("expected a time with a unit, such as 2s or 500ms".to_owned()),
    }
}

/// An address to ask at.
///
/// # Errors
/// It isn't one.
pub(super) fn address(text: &str) -> Result<ListenAddress, String> {
    web::parse_listen(text).map_err(|error| error.to_string())
}

/// Asks at each listen address until one answers well, or with `--all` at every address of each.
pub(super) fn run(
    matches: &ArgMatches,
    options: &ArgMatches,
    environment: &[(OsString, OsString)],
    out: &mut dyn Write,
) -> Result<ExitCode, CliError> {
    let configured = |loaded| Ok::<_, CliError>(web_settings(&loaded)?.listen);
    let (listens, refused) = match options.get_one::<ListenAddress>("address") {
        Some(address) => (vec![address.clone()], None),
        None => {
            let settings = flags::settings(matches, environment.to_vec());
            match settings.map_err(CliError::from).and_then(configured) {
                Ok(listens) => (listens, None),
                // The daemon goes on with what it read before.
                Err(refused) => {
                    let settings = flags::settings_without_file(matches, environment.to_vec())?;
                    (configured(settings)?, Some(refused))
                }
            }
        }
    };
    let path = if options.get_flag("ready") { "/-/ready" } else { "/-/healthy" };
    let patience = options.get_one::<Duration>("timeout").copied().unwrap_or(Duration::from_secs(2));
    let clock = Clock::new()?;
    let left = within(clock, patience);
    let asked = match options.get_flag("all") {
        true => ask_all(&listens, |address| {
            let share = left()?.min(patience / SHARE);
            Some(ask(address, path, &within(clock, share)))
        }),
        false => ask_one(&listens, path, &left),
    };
    match asked {
        Ok(said) => {
            writeln!(out, "{said}")?;
            Ok(ExitCode::SUCCESS)
        }
        Err(problem) => Err(CliError::Unhealthy(match refused {
            Some(refused) => format!("{problem}; the configuration can't be used: {refused}"),
            None => problem,
        })),
    }
}

/// Tells what is left of a time that begins now.
fn within(clock: Clock, patience: Duration) -> impl Fn() -> Option<Duration> {
    let end = clock.now().monotonic.saturating_add(patience);
    move || Some(end.saturating_sub(clock.now().monotonic)).filter(|left| !left.is_zero())
}

/// What the first that answers well says; the error says what the first one said.
fn ask_one(listens: &[ListenAddress], path: &str, left: &Left<'_>) -> Result<String, String> {
    let mut problem = None;
    for listen in listens {
        let addresses = match listen.reachable() {
            Ok(addresses) => addresses,
            Err(error) => {
                problem.get_or_insert(format!("{listen}: {error}"));
                continue;
            }
        };
        for address in addresses {
            match ask(address, path, left) {
                Ok(said) => return Ok(said),
                Err(why) => drop(problem.get_or_insert(format!("http://{address}{path}: {why}"))),
            }
        }
    }
    Err(problem.unwrap_or_else(|| "no listen address is configured".to_owned()))
}

/// How many answer well, where all do: a name may stand for many daemons. The error names those that don't. Nobody is asked
/// any more once `ask` gives nothing.
fn ask_all(
    listens: &[ListenAddress],
    ask: impl Fn(SocketAddr) -> Option<Result<String, String>>,
) -> Result<String, String> {
    let (mut asked, mut left_out) = (0_usize, 0_usize);
    let mut problems = Vec::new();
    for listen in listens {
        let addresses = match listen.reachable() {
            Ok(addresses) => addresses,
            Err(error) => {
                problems.push(format!("{listen} has no address, so nobody may be there: {error}"));
                continue;
            }
        };
        for address in addresses {
            match ask(address) {
                Some(answer) => {
                    asked = asked.saturating_add(1);
                    problems.extend(answer.err().map(|why| format!("{address}: {why}")));
                }
                None => left_out = left_out.saturating_add(1),
            }
        }
    }
    if problems.is_empty() && left_out == 0 {
        return Ok(format!("{asked} of {asked} answer well"));
    }
    if asked == 0 && left_out == 0 {
        return Err(problems.join("; "));
    }
    let mut named: Vec<String> = problems.iter().take(MAX_NAMED).cloned().collect();
    match problems.len().saturating_sub(MAX_NAMED) {
        0 => {}
        more => named.push(format!("and {more} more")),
    }
    if left_out > 0 {
        named.push(format!("{left_out} weren't asked, as no time was left"));
    }
    Err(format!("{} of {asked} that were asked don't answer well: {}", problems.len(), named.join("; ")))
}

/// The first line of a good answer; the error says in one line why there is none.
fn ask(address: SocketAddr, path: &str, left: &Left<'_>) -> Result<String, String> {
    let late = || "no answer in time".to_owned();
    let why = |error: std::io::Error| match error.kind() {
        ErrorKind::ConnectionRefused => "connection refused: no daemon listens here".to_owned(),
        ErrorKind::TimedOut | ErrorKind::WouldBlock => late(),
        _ => error.to_string(),
    };
    let mut stream = TcpStream::connect_timeout(&address, left().ok_or_else(late)?).map_err(why)?;
    stream.set_write_timeout(Some(left().ok_or_else(late)?)).map_err(why)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(why)?;
    let mut answer = Vec::new();
    let mut part = [0; 1024];
    let mut rest = stream.try_clone().map_err(why)?.take(MAX_ANSWER);
    loop {
        stream.set_read_timeout(Some(left().ok_or_else(late)?)).map_err(why)?;
        match rest.read(&mut part).map_err(why)? {
            0 => break,
            read => answer.extend_from_slice(part.get(..read).unwrap_or_default()),
        }
    }
    judge(&String::from_utf8_lossy(&answer))
}

/// What an answer says: its body where the status is 200.
fn judge(answer: &str) -> Result<String, String> {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    let said = body.lines().next().unwrap_or_default().trim();
    match status {
        "200" => Ok(said.to_owned()),
        "" => Err("the answer isn't HTTP".to_owned()),
        _ => Err(format!("status {status}: {said}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_200_is_well() {
        let answer = |status: &str| format!("HTTP/1.1 {status}\r\nX: y\r\n\r\nsaid\nmore\n");
        assert_eq!(judge(&answer("200 OK")), Ok("said".to_owned()));
        assert_eq!(judge(&answer("503 Service Unavailable")), Err("status 503: said".to_owned()));
        assert!(judge("").is_err());
    }

    #[test]
    fn all_are_asked_and_those_that_are_ill_are_named() {
        let listens = ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"].map(|text| address(text).unwrap());
        let ask = |ill: &'static [u16], until: u16| {
            ask_all(&listens, move |at| {
                let answer =
                    if ill.contains(&at.port()) { Err("late".to_owned()) } else { Ok(String::new()) };
                Some(answer).filter(|_| at.port() < until)
            })
        };
        assert_eq!(ask(&[], 9), Ok("3 of 3 answer well".to_owned()));
        let one_is_ill = "1 of 3 that were asked don't answer well: 127.0.0.1:2: late";
        assert_eq!(ask(&[2], 9), Err(one_is_ill.to_owned()));
        let no_time = "1 of 2 that were asked don't answer well: 127.0.0.1:2: late; 1 weren't asked, as no time was left";
        assert_eq!(ask(&[2], 3), Err(no_time.to_owned()));
    }

    #[test]
    fn a_timeout_has_a_unit_and_a_length() {
        assert_eq!(timeout("500ms"), Ok(Duration::from_millis(500)));
        assert!(timeout("0s").is_err() && timeout("2").is_err());
    }
}
