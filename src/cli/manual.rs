//! `wattprint completions` and `wattprint man`: what packages install beside the program. Both are made from the
//! definition of the command line and from the table of keys.

mod keys;
mod pages;
mod roff;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command, value_parser};
use clap_complete::Shell;

use super::{CliError, flags};

/// `wattprint completions`.
pub(super) fn completions() -> Command {
    Command::new("completions")
        .about("Print completions for a shell")
        .after_help("The packages install them. By hand: source <(wattprint completions bash).")
        .arg(
            Arg::new("shell")
                .value_name("SHELL")
                .required(true)
                .value_parser(["bash", "zsh", "fish"])
                .help("The shell"),
        )
}

/// `wattprint man`.
pub(super) fn man() -> Command {
    Command::new("man")
        .about("Write the manual's pages into a directory")
        .after_help("The directory is made where it is missing. Pages carry the day of SOURCE_DATE_EPOCH, else today's.")
        .arg(
            Arg::new("dir")
                .value_name("DIR")
                .required(true)
                .value_parser(value_parser!(std::path::PathBuf))
                .help("The directory"),
        )
}

/// Prints the completions for the shell that is asked for.
pub(super) fn complete(options: &ArgMatches, out: &mut dyn Write) -> Result<ExitCode, CliError> {
    let shell = match options.get_one::<String>("shell").map(String::as_str) {
        Some("zsh") => Shell::Zsh,
        Some("fish") => Shell::Fish,
        _ => Shell::Bash,
    };
    // Written at once, since the generator panics where a pipe is closed.
    let mut text = Vec::new();
    let mut command = flags::command();
    clap_complete::generate(shell, &mut command, "wattprint", &mut text);
    if shell == Shell::Fish {
        text = for_fish(&String::from_utf8_lossy(&text), &command).into_bytes();
    }
    out.write_all(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// The generator's functions find the subcommand with fish's argparse, which refuses options with a dot. These look for
/// its name instead.
fn for_fish(text: &str, command: &Command) -> String {
    let names: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
    let functions = format!(
        "function __fish_wattprint_needs_command\n\tnot __fish_seen_subcommand_from {}\nend\n\n\
         function __fish_wattprint_using_subcommand\n\t__fish_seen_subcommand_from $argv\nend\n\n",
        names.join(" ")
    );
    let lines =
        text.lines().skip_while(|line| !line.starts_with("complete ")).map(|line| format!("{line}\n"));
    functions + &lines.collect::<String>()
}

/// Writes every page. `epoch` is `SOURCE_DATE_EPOCH`.
pub(super) fn write(options: &ArgMatches, epoch: Option<&str>) -> Result<ExitCode, CliError> {
    let dir = options.get_one::<std::path::PathBuf>("dir").map_or(Path::new("."), |dir| dir.as_path());
    let named = |path: &Path, error: &std::io::Error| CliError::NotWritten {
        path: path.to_owned(),
        problem: error.to_string(),
    };
    std::fs::create_dir_all(dir).map_err(|error| named(dir, &error))?;
    let date = date(epoch);
    let command = flags::command();
    let mut all = vec![
        ("wattprint.1".to_owned(), pages::main(&command, &date)),
        ("wattprint.toml.5".to_owned(), keys::page(&date)),
    ];
    for subcommand in command.get_subcommands() {
        all.push((format!("wattprint-{}.1", subcommand.get_name()), pages::subcommand(subcommand, &date)));
    }
    for (name, text) in all {
        let path = dir.join(name);
        std::fs::write(&path, text).map_err(|error| named(&path, &error))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The day that pages carry, as a build that must be repeatable gives it, else today's.
fn date(epoch: Option<&str>) -> String {
    let given =
        epoch.and_then(|text| text.parse().ok()).and_then(|second| jiff::Timestamp::from_second(second).ok());
    let time = given.unwrap_or_else(jiff::Timestamp::now);
    time.strftime("%Y-%m-%d").to_string()
}
