use std::collections::BTreeSet;
use std::path::Path;

use super::*;
use crate::config::load;

#[test]
fn every_key_and_every_table_is_described_once() {
    let keys: Vec<&str> = WORDS.iter().map(|(key, ..)| *key).collect();
    assert_eq!(keys, KEYS.iter().map(|(key, _)| *key).collect::<Vec<_>>());
    let of_sources: Vec<&str> = SOURCE_WORDS.iter().map(|(key, ..)| *key).collect();
    assert_eq!(of_sources, SOURCE_KEYS.iter().map(|(key, _)| *key).collect::<Vec<_>>());
    let tables: BTreeSet<&str> = KEYS.iter().filter_map(|(key, _)| Some(key.split_once('.')?.0)).collect();
    let named: BTreeSet<&str> = TABLES.iter().map(|(name, _)| *name).collect();
    assert_eq!(named, tables.into_iter().chain([BASELINE]).collect());
}

#[test]
fn what_has_no_default_says_what_holds_without_it() {
    for table in tables() {
        for key in table.keys {
            assert_eq!(key.default.is_none(), !key.otherwise.is_empty(), "{}.{}", table.name, key.name);
        }
    }
}

#[test]
fn every_example_can_be_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.toml");
    for table in tables() {
        for key in &table.keys {
            let header = if table.name.is_empty() { String::new() } else { format!("[{}]\n", table.name) };
            std::fs::write(&file, format!("{header}{} = {}\n", key.name, key.example)).unwrap();
            load(Some(&file), [], &[]).unwrap_or_else(|error| panic!("{}.{}: {error}", table.name, key.name));
        }
    }
    for key in source().keys {
        let provider = if key.name == "provider" { "" } else { "provider = \"neso\"\n" };
        std::fs::write(&file, format!("[[carbon.source]]\n{provider}{} = {}\n", key.name, key.example))
            .unwrap();
        load(Some(&file), [], &[]).unwrap_or_else(|error| panic!("{}: {error}", key.name));
    }
}

#[test]
fn the_default_file_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/config.toml");
    if std::env::var_os("WATTPRINT_BLESS").is_some() {
        std::fs::write(&path, default_file()).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap() == default_file(),
        "systemd/config.toml is stale: run this test with WATTPRINT_BLESS=1"
    );
}

#[test]
fn the_default_file_changes_nothing_with_and_without_its_comments() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.toml");
    let text = default_file();
    let open: Vec<&str> = text
        .lines()
        .map(|line| {
            line.strip_prefix('#').filter(|rest| !rest.is_empty() && !rest.starts_with(' ')).unwrap_or(line)
        })
        .collect();
    let defaults = tables().iter().flat_map(|table| &table.keys).filter(|key| key.default.is_some()).count();
    assert_eq!(open.iter().filter(|line| !line.starts_with('#') && line.contains(" = ")).count(), defaults);
    for content in [text.clone(), open.join("\n")] {
        std::fs::write(&file, content).unwrap();
        assert_eq!(load(Some(&file), [], &[]).unwrap().settings, Settings::default());
    }
}
