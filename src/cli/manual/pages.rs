//! wattprint(1) and a page for each subcommand.

use clap::{Arg, ArgAction, Command};

use super::roff::Page;
use crate::config::DEFAULT_FILE;

/// Exit codes that subcommands give a meaning of their own.
const STATUS: &[(&str, &[(&str, &str)])] = &[
    (
        "check",
        &[
            ("0", "Something measured is in use."),
            ("1", "Only models are in use."),
            ("2", "Nothing works, or the usage or configuration is wrong."),
        ],
    ),
    (
        "health",
        &[
            ("0", "The daemon is healthy."),
            ("1", "It isn't, or none answers; a line on standard error says why."),
            ("2", "It was asked wrongly."),
        ],
    ),
    (
        "release-gpus",
        &[
            ("0", "The handles are gone."),
            ("1", "They aren't."),
            ("2", "The usage or the configuration is wrong."),
        ],
    ),
    (
        "when",
        &[
            ("0", "There is an answer."),
            ("1", "There is no forecast."),
            ("2", "It was asked wrongly, or the configuration is wrong."),
        ],
    ),
];

/// Exit codes of all others.
const USUAL: &[(&str, &str)] = &[
    ("0", "It ended as asked."),
    ("1", "It can't run; a line on standard error says why."),
    ("2", "The usage or the configuration is wrong."),
];

/// wattprint(1).
pub(super) fn main(command: &Command, date: &str) -> String {
    let mut page = Page::new("wattprint", 1, date);
    page.name("wattprint", &about(command));
    page.section("SYNOPSIS");
    page.command("wattprint", "[OPTIONS] [COMMAND]");
    page.section("DESCRIPTION");
    page.text("Without a command it measures, and serves metrics over HTTP until it is told to end.");
    page.paragraph();
    page.text(&after(command));
    page.section("COMMANDS");
    for each in command.get_subcommands() {
        page.item(each.get_name(), "", &sentence(&about(each)));
    }
    page.section("OPTIONS");
    page.text("They can stand before or after the command.");
    options(&mut page, command);
    page.item("-V, --version", "", "Print the version.");
    status(&mut page, USUAL);
    signals(&mut page);
    files(&mut page);
    environment(&mut page);
    let others = command.get_subcommands().map(|each| (format!("wattprint-{}", each.get_name()), 1));
    let mut others: Vec<(String, u8)> = others.collect();
    others.push(("wattprint.toml".to_owned(), 5));
    others.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
    page.see_also(&others);
    page.finish()
}

/// The page of a subcommand.
pub(super) fn subcommand(command: &Command, date: &str) -> String {
    let name = format!("wattprint-{}", command.get_name());
    let mut page = Page::new(&name, 1, date);
    page.name(&name, &about(command));
    page.section("SYNOPSIS");
    let arguments = command.get_positionals().map(value);
    let arguments: Vec<String> = std::iter::once("[OPTIONS]".to_owned()).chain(arguments).collect();
    page.command(&format!("wattprint {}", command.get_name()), &arguments.join(" "));
    page.section("DESCRIPTION");
    page.text(&sentence(&about(command)));
    let after = after(command);
    if !after.is_empty() {
        page.paragraph();
        page.text(&after);
    }
    page.section("OPTIONS");
    page.text("Beside these, every option of wattprint(1) is allowed.");
    options(&mut page, command);
    let own = STATUS.iter().find(|(of, _)| *of == command.get_name());
    status(&mut page, own.map_or(USUAL, |(_, codes)| codes));
    if matches!(command.get_name(), "serve" | "relay") {
        signals(&mut page);
    }
    files(&mut page);
    environment(&mut page);
    page.see_also(&[("wattprint".to_owned(), 1), ("wattprint.toml".to_owned(), 5)]);
    page.finish()
}

fn options(page: &mut Page, command: &Command) {
    for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let tag = match (arg.get_short(), arg.get_long()) {
            (Some(short), Some(long)) => format!("-{short}, --{long}"),
            (None, Some(long)) => format!("--{long}"),
            (Some(short), None) => format!("-{short}"),
            (None, None) => String::new(),
        };
        let takes = !matches!(arg.get_action(), ArgAction::SetTrue | ArgAction::SetFalse | ArgAction::Count);
        let mut text = sentence(&help);
        let values: Vec<String> =
            arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
        if takes && !values.is_empty() {
            text.push_str(&format!(" One of: {}.", values.join(", ")));
        }
        if let Some(default) = arg.get_default_values().first().filter(|_| takes) {
            text.push_str(&format!(" Default: {}.", default.to_string_lossy()));
        }
        let value = if takes { value(arg) } else { String::new() };
        if tag.is_empty() { page.item(&value, "", &text) } else { page.item(&tag, &value, &text) }
    }
    page.item("-h, --help", "", "Print help.");
}

fn value(arg: &Arg) -> String {
    arg.get_value_names().and_then(<[_]>::first).map(ToString::to_string).unwrap_or_default()
}

fn status(page: &mut Page, codes: &[(&str, &str)]) {
    page.section("EXIT STATUS");
    for (code, meaning) in codes {
        page.item(code, "", meaning);
    }
}

fn signals(page: &mut Page) {
    page.section("SIGNALS");
    page.item("HUP", "", "Reread the configuration. One that can't be used changes nothing.");
    page.item("USR1", "", "Give back the GPU handles, so that the driver can be unloaded.");
    page.item("USR2", "", "Take the GPUs in again.");
    page.item("TERM, INT", "", "Write what is kept over a restart, and end.");
}

fn files(page: &mut Page) {
    page.section("FILES");
    page.item(
        DEFAULT_FILE,
        "",
        "The configuration, where --config.file names no other; see wattprint.toml(5).",
    );
    page.item("/etc/default/wattprint", "", "Flags of the service, as WATTPRINT_OPTS.");
    page.item("/var/lib/wattprint", "", "What the service keeps over a restart.");
}

fn environment(page: &mut Page) {
    page.section("ENVIRONMENT");
    page.item(
        "WATTPRINT_TABLE__KEY",
        "",
        "A key of the configuration, in capitals, with two underscores after the table: WATTPRINT_CARBON__ZONE.",
    );
    page.item("STATE_DIRECTORY", "", "Where state is kept, unless the configuration says so.");
    page.item("NODE_NAME", "", "The node's name in Kubernetes, unless the configuration says so.");
}

fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

fn after(command: &Command) -> String {
    command.get_after_help().map(ToString::to_string).unwrap_or_default()
}

/// A help text as a sentence.
fn sentence(text: &str) -> String {
    if text.is_empty() || text.ends_with('.') { text.to_owned() } else { format!("{text}.") }
}
