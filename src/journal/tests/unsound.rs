//! Files that can't be used as a journal.

use super::*;

/// A closed journal with something in it, as bytes.
fn sound() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    save(&journal, "DE", &[series("DE", &[3.0; 500])]).unwrap();
    let path = journal.path().to_owned();
    drop(journal);
    assert!(is_empty(&aside::companion(&path, "-wal")), "all of it is in the one file");
    fs::read(path).unwrap()
}

/// Puts bytes in a journal's place, opens it, and checks that they are kept and a new journal works.
fn is_set_aside(bytes: &[u8], reason: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE_NAME);
    fs::write(&path, bytes).unwrap();
    let (journal, set_aside) = Journal::open(dir.path()).unwrap();
    let set_aside = set_aside.expect("it is unsound");
    assert_eq!(set_aside.path, dir.path().join("wattprint.sqlite.corrupt-1"));
    assert!(set_aside.reason.contains(reason), "{}", set_aside.reason);
    assert!(fs::read(&set_aside.path).unwrap() == bytes, "it is changed");
    assert_eq!(journal.load_series().unwrap(), KeptSeries::default());
    save(&journal, "DE", &[series("DE", &[1.0])]).unwrap();
    drop(journal);
    assert_eq!(open(dir.path()).load_series().unwrap().sources.len(), 1);
}

#[test]
fn sound_bytes_are_a_journal() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(FILE_NAME), sound()).unwrap();
    assert_eq!(open(dir.path()).load_series().unwrap().sources.len(), 1);
}

#[test]
fn garbage_is_set_aside() {
    is_set_aside(&b"not a database. ".repeat(500), "not a database");
    is_set_aside(&[0; 8_192], "not a database");
    is_set_aside(b"xyz", "not a database");
}

#[test]
fn a_corrupt_header_is_set_aside() {
    let mut magic = sound();
    magic[3] = b'!';
    is_set_aside(&magic, "not a database");
    let mut page_size = sound();
    page_size[16..18].copy_from_slice(&[0x01, 0x07]);
    is_set_aside(&page_size, "not a database");
}

#[test]
fn a_truncated_file_is_set_aside() {
    let whole = sound();
    assert!(whole.len() > 4 * 4_096);
    is_set_aside(&whole[..whole.len() / 2], "malformed");
    is_set_aside(&whole[..4_096], "malformed");
    is_set_aside(&whole[..50], "malformed");
}

#[test]
fn damage_within_is_set_aside() {
    let mut bytes = sound();
    let end = bytes.len();
    for byte in &mut bytes[end - 3 * 4_096..] {
        *byte = !*byte;
    }
    is_set_aside(&bytes, "");
}

#[test]
fn an_empty_file_is_a_journal_that_was_not_begun() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(FILE_NAME), "").unwrap();
    save(&open(dir.path()), "DE", &[series("DE", &[1.0])]).unwrap();
    assert_eq!(open(dir.path()).load_series().unwrap().sources.len(), 1);
}

/// The bytes of a database that these statements make.
fn database(statements: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("other");
    Connection::open(&path).unwrap().execute_batch(statements).unwrap();
    fs::read(path).unwrap()
}

#[test]
fn databases_of_other_programs_are_set_aside() {
    is_set_aside(&database("CREATE TABLE notes (text)"), "another program");
    is_set_aside(&database("CREATE TABLE notes (text); PRAGMA user_version = 1"), "another program");
    is_set_aside(&database("CREATE TABLE notes (text); PRAGMA user_version = 99"), "another program");
}

#[test]
fn a_schema_that_its_version_does_not_have_is_set_aside() {
    let ours = |rest: &str| database(&format!("PRAGMA application_id = {}; {rest}", 0x7761_7474));
    is_set_aside(&ours("PRAGMA user_version = 1"), "no such table");
    let table = "PRAGMA user_version = 1; CREATE TABLE grid_series (id INTEGER PRIMARY KEY, source TEXT);";
    is_set_aside(&ours(table), "no such column");
}

#[test]
fn what_was_set_aside_is_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let name = |ending: &str| dir.path().join(format!("{FILE_NAME}{ending}"));
    // A log without its database still takes the name.
    fs::write(name(".corrupt-2-wal"), "log").unwrap();
    for (bytes, place) in [("first", ".corrupt-1"), ("second", ".corrupt-3"), ("third", ".corrupt-4")] {
        for ending in ["", "-wal"] {
            fs::write(name(ending), format!("{bytes}{ending}")).unwrap();
        }
        let (journal, set_aside) = Journal::open(dir.path()).unwrap();
        assert_eq!(set_aside.unwrap().path, name(place));
        drop(journal);
        fs::remove_file(name("")).unwrap();
    }
    let text = |ending: &str| fs::read_to_string(name(ending)).unwrap();
    assert_eq!(text(".corrupt-2-wal"), "log");
    for (bytes, place) in [("first", ".corrupt-1"), ("second", ".corrupt-3"), ("third", ".corrupt-4")] {
        for ending in ["", "-wal"] {
            assert_eq!(text(&format!("{place}{ending}")), format!("{bytes}{ending}"));
        }
    }
}

#[test]
fn an_empty_file_beside_a_log_is_set_aside_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE_NAME);
    fs::write(&path, "").unwrap();
    fs::write(aside::companion(&path, "-wal"), "what is left").unwrap();
    let (_journal, set_aside) = Journal::open(dir.path()).unwrap();
    let kept = fs::read_to_string(aside::companion(&set_aside.unwrap().path, "-wal")).unwrap();
    assert_eq!(kept, "what is left");
}

#[test]
fn a_file_that_cannot_be_moved_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let error = aside::set_aside(&dir.path().join("no\0name"), String::new()).unwrap_err();
    assert!(matches!(error, JournalError::Directory { .. }), "{error}");
}
