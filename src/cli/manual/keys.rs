//! wattprint.toml(5): the keys of the configuration.

use super::roff::Page;
use crate::config::DEFAULT_FILE;
use crate::config::describe::{Table, source, tables};

/// The page.
pub(super) fn page(date: &str) -> String {
    let mut page = Page::new("wattprint.toml", 5, date);
    page.name("wattprint.toml", "configuration of wattprint");
    page.section("SYNOPSIS");
    page.text(DEFAULT_FILE);
    page.section("DESCRIPTION");
    page.text("The file is TOML. Every key has a working default, and a key that isn't known is an error.");
    page.text("The environment overrides the file, and flags override both.");
    page.paragraph();
    page.text("A duration is a text with a unit, such as \"500ms\" or \"2h\", or a number of seconds.");
    page.paragraph();
    page.text("wattprint check says whether the file can be used. A running daemon rereads it on SIGHUP.");
    page.section("OPTIONS");
    for table in tables() {
        if table.name.is_empty() {
            page.subsection("Before the first table");
        } else {
            page.subsection(&format!("[{}]", table.name));
            page.text(table.about);
        }
        keys(&mut page, &table);
        if table.name == "carbon" {
            page.subsection("[[carbon.source]]");
            page.text("One live source; the table can be repeated, the preferred source first.");
            keys(&mut page, &source());
        }
    }
    page.section("EXIT STATUS");
    page.text(
        "A file that can't be used ends the daemon with 2, and says the line, the key and what is allowed.",
    );
    page.section("SIGNALS");
    page.item("HUP", "", "The daemon rereads the file.");
    page.section("FILES");
    page.item(DEFAULT_FILE, "", "Read where --config.file names no other, if it is there.");
    page.section("ENVIRONMENT");
    page.item(
        "WATTPRINT_TABLE__KEY",
        "",
        "A key of a table, in capitals, with two underscores between: WATTPRINT_WEB__MAX_REQUESTS is max_requests in [web].",
    );
    page.section("EXAMPLES");
    page.example(
        "[web]\nlisten_address = \"127.0.0.1:10125\"\n\n[carbon]\nzone = \"FR\"\n\n[[carbon.source]]\nprovider = \"rte\"",
    );
    page.see_also(&[("wattprint".to_owned(), 1), ("wattprint-check".to_owned(), 1)]);
    page.finish()
}

fn keys(page: &mut Page, table: &Table) {
    for key in &table.keys {
        let default = key.default.as_deref().unwrap_or(key.otherwise);
        let text = format!("{} Allowed: {}. Default: {default}.", key.about, key.allowed);
        page.item(key.name, "", &text);
    }
}
