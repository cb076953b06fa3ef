//! Which configured source kept series belong to.

use std::fmt;

use crate::carbon::schedule::identity;
use crate::config::Source;

/// Names a configured source for as long as its configuration means the same. It has nothing in it that was configured but
/// the provider and the zone; the rest is only hashed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceKey(String);

impl SourceKey {
    /// The key of a source that asks for this zone.
    pub fn new(source: &Source, zone: &str) -> Self {
        // Where a credential lies, whom to trust and how often to ask don't change what a source says. What does is hashed
        // all the same, since an address may have a token in it.
        let meaning = Source {
            token_file: None,
            password_file: None,
            ca_file: None,
            interval: None,
            header: None,
            zone: None,
            ..source.clone()
        };
        let mut meaning = serde_json::to_value(meaning).unwrap_or_default();
        if let Some(keys) = meaning.as_object_mut() {
            // Keys that a later version adds change nothing where they aren't given.
            keys.retain(|_, value| !value.is_null());
        }
        let provider = source.provider.as_str();
        Self(format!("{provider}/{zone}/{:016x}", identity(&[&meaning.to_string()])))
    }

    /// A key as it was kept.
    pub(super) fn kept(text: String) -> Self {
        Self(text)
    }

    /// The key as it is kept.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ProviderKind;

    #[test]
    fn keys_tell_sources_apart_by_what_they_say() {
        let source = Source { url: Some("http://a/?key=s3cret".into()), ..Source::new(ProviderKind::Http) };
        let key = SourceKey::new(&source, "DE");
        assert!(key.as_str().starts_with("http/DE/") && !key.as_str().contains("s3cret"), "{key}");
        assert_eq!(key, SourceKey::new(&source, "DE"));
        let same = Source {
            token_file: Some("/t".into()),
            interval: Some(std::time::Duration::from_secs(60)),
            ..source.clone()
        };
        assert_eq!(key, SourceKey::new(&same, "DE"));
        let others = [
            (Source { url: Some("http://b".into()), ..source.clone() }, "DE"),
            (Source { value: Some("/x".into()), ..source.clone() }, "DE"),
            (Source { provider: ProviderKind::Prometheus, ..source.clone() }, "DE"),
            (source, "FR"),
        ];
        for (other, zone) in others {
            assert_ne!(key, SourceKey::new(&other, zone), "{other:?}");
        }
    }
}
