//! A page of the manual in the language of man(7).

/// A page that is being written.
pub(super) struct Page(String);

impl Page {
    /// A page with its title line.
    pub(super) fn new(name: &str, section: u8, date: &str) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        let manual = if section == 5 { "File Formats" } else { "User Commands" };
        Self(format!(
            ".TH \"{}\" \"{section}\" \"{date}\" \"wattprint {version}\" \"{manual}\"\n",
            escape(&name.to_uppercase())
        ))
    }

    pub(super) fn section(&mut self, title: &str) {
        self.0.push_str(&format!(".SH {title}\n"));
    }

    pub(super) fn subsection(&mut self, title: &str) {
        self.0.push_str(&format!(".SS \"{}\"\n", escape(title)));
    }

    /// The line of the section NAME.
    pub(super) fn name(&mut self, name: &str, about: &str) {
        self.section("NAME");
        self.0.push_str(&format!("{} \\- {}\n", escape(name), escape(about)));
    }

    /// A line of text.
    pub(super) fn text(&mut self, text: &str) {
        self.0.push_str(&line(&escape(text)));
    }

    /// A word in bold and what follows it.
    pub(super) fn command(&mut self, bold: &str, rest: &str) {
        let space = if rest.is_empty() { "" } else { " " };
        self.0.push_str(&format!("\\fB{}\\fR{space}{}\n", escape(bold), escape(rest)));
    }

    pub(super) fn paragraph(&mut self) {
        self.0.push_str(".PP\n");
    }

    /// A tag in bold, its argument in italics, and a text that is set in from them.
    pub(super) fn item(&mut self, bold: &str, italic: &str, text: &str) {
        let argument = if italic.is_empty() { String::new() } else { format!(" \\fI{}\\fR", escape(italic)) };
        self.0.push_str(&format!(".TP\n\\fB{}\\fR{argument}\n{}", escape(bold), line(&escape(text))));
    }

    /// Lines as they stand.
    pub(super) fn example(&mut self, text: &str) {
        self.0.push_str(".nf\n");
        for each in text.lines() {
            self.0.push_str(&line(&escape(each)));
        }
        self.0.push_str(".fi\n");
    }

    /// References to other pages, as `name` and section.
    pub(super) fn see_also(&mut self, pages: &[(String, u8)]) {
        self.section("SEE ALSO");
        for (at, (name, section)) in pages.iter().enumerate() {
            let comma = if at + 1 < pages.len() { "," } else { "" };
            self.0.push_str(&format!(".BR {} ({section}){}\n", escape(name), comma));
        }
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// Hyphens of flags must stay what a reader can copy.
fn escape(text: &str) -> String {
    text.replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('"', "\\(dq")
        .replace('`', "\\(ga")
        .replace('\'', "\\(aq")
}

/// A line that isn't taken for a request.
fn line(text: &str) -> String {
    let guard = if text.starts_with('.') { "\\&" } else { "" };
    format!("{guard}{text}\n")
}
