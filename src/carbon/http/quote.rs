//! What messages quote of what others say: little, on one line, and nothing that was sent in confidence.

use std::cmp::Reverse;

use crate::carbon::secret::Secret;

/// So many characters are told.
const SHOWN: usize = 160;
/// A shorter piece of a credential tells nothing, and may well be part of a word.
pub(super) const RECOGNIZABLE: usize = 4;

/// The beginning of a text, as one line without control characters.
pub(in crate::carbon) fn brief(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let mut line = String::new();
    for word in words {
        if line.len() > SHOWN {
            break;
        }
        line.push_str(if line.is_empty() { "" } else { " " });
        line.extend(word.chars().take(SHOWN));
    }
    line.chars().take(SHOWN).collect()
}

/// Texts that no message may have, should an answer repeat them.
#[derive(Clone)]
pub(super) struct Confidences(Vec<Secret>);

impl Confidences {
    /// Hides these, as they are and as a query has them.
    pub(super) fn new(texts: impl IntoIterator<Item = String>) -> Self {
        let both = |text: String| [form_urlencoded::byte_serialize(text.as_bytes()).collect(), text];
        let mut texts: Vec<String> =
            texts.into_iter().flat_map(both).filter(|text| !text.is_empty()).collect();
        // One that is part of another one would leave the rest of it.
        texts.sort_by_key(|text| Reverse(text.len()));
        Self(texts.into_iter().map(Secret::new).collect())
    }

    /// The text without them, nor what is left of one where the text was cut off.
    pub(super) fn hide_in(&self, text: &str) -> String {
        let mut text =
            self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret.expose(), "..."));
        for secret in self.0.iter().map(Secret::expose) {
            let mut parts = (RECOGNIZABLE..secret.len()).rev().filter_map(|length| secret.get(..length));
            let kept = parts.find_map(|part| text.strip_suffix(part)).map(str::len);
            if let Some(kept) = kept {
                text.truncate(kept);
                text.push_str("...");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_is_one_short_line() {
        assert_eq!(brief(" a\r\nb\u{1b}[31m "), "a b [31m");
        assert_eq!(brief(&"x".repeat(1000)).len(), SHOWN);
        assert_eq!(brief(&"x ".repeat(1000)).len(), SHOWN);
    }

    #[test]
    fn a_secret_that_an_answer_repeats_is_taken_out() {
        let secrets = Confidences::new(["hun/ter2", "hun/ter2-and-more", ""].map(str::to_owned));
        for (text, expected) in [
            ("http://host: bad token hun/ter2 for hun/ter2", "http://host: bad token ... for ..."),
            ("hun/ter2-and-more", "..."),
            ("token=hun%2Fter2&x", "token=...&x"),
            ("token hun/te", "token ..."),
            ("token=hun%2", "token=..."),
            ("a hun", "a hun"),
            ("", ""),
        ] {
            assert_eq!(secrets.hide_in(text), expected, "{text}");
        }
        assert_eq!(Confidences::new([String::new()]).hide_in("as it was"), "as it was");
    }
}
