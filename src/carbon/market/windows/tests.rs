use proptest::prelude::{any, prop, proptest};

use super::*;

const HEADER: &str = "start,end,share,intensity\n";

fn parsed(text: &str) -> Result<Vec<Window>, String> {
    parse(Path::new("w.csv"), text.as_bytes()).map_err(|error| error.to_string())
}

fn window(start: &str, end: &str, share: f64, intensity: f64) -> Window {
    let cover = Cover { share, intensity: GramsPerKwh(intensity) };
    Window { start: time(start).unwrap(), end: time(end).unwrap(), cover }
}

#[test]
fn windows_are_sorted_and_may_touch() {
    let text = "# certificates of 2026\n\
                start,end,share,intensity\n\
                2026-03-01T01:00:00Z, 2026-03-01T02:00:00Z, 0.5, 30\n\
                # the hour before\n\
                2026-03-01T01:00:00+01:00,2026-03-01T02:00:00+01:00,1,\n";
    assert_eq!(
        parsed(text).unwrap(),
        [
            window("2026-03-01T00:00:00Z", "2026-03-01T01:00:00Z", 1.0, 0.0),
            window("2026-03-01T01:00:00Z", "2026-03-01T02:00:00Z", 0.5, 30.0),
        ]
    );
}

#[test]
fn columns_may_stand_in_any_order_and_intensity_may_be_missing() {
    let text = "share,end,start\n0.25,2026-01-02T00:00:00Z,2026-01-01T00:00:00Z\n";
    let expected = [window("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", 0.25, 0.0)];
    assert_eq!(parsed(text).unwrap(), expected);
    assert_eq!(parsed(HEADER).unwrap(), []);
}

#[test]
fn the_hour_that_occurs_twice_in_autumn_is_two_windows() {
    let text = format!(
        "{HEADER}2026-10-25T02:00:00+02:00,2026-10-25T02:00:00+01:00,1,0\n\
         2026-10-25T02:00:00+01:00,2026-10-25T03:00:00+01:00,0,0\n"
    );
    let windows = parsed(&text).unwrap();
    assert_eq!(windows.iter().map(|window| window.end.since(window.start).as_secs()).sum::<u64>(), 7200);
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let hour = "2026-01-01T00:00:00Z,2026-01-01T01:00:00Z";
    for (text, expected) in [
        ("", "w.csv: line 1: no header: the first line must be start,end,share,intensity".to_owned()),
        (&format!("{hour},1,0\n"), "line 1: no header".to_owned()),
        ("start,end,stake\n", "line 1: \"stake\" is no column".to_owned()),
        ("start,end\n", "line 1: the column share is missing".to_owned()),
        ("start,end,share,share\n", "line 1: a column is there twice".to_owned()),
        (&format!("{HEADER}{hour},1\n"), "line 2: 3 columns where the header has 4".to_owned()),
        (
            &format!("{HEADER}#\n{hour},1.01,0\n"),
            "line 3: share = \"1.01\": must be a number from 0 to 1".to_owned(),
        ),
        (&format!("{HEADER}{hour},-0.1,0\n"), "line 2: share = \"-0.1\"".to_owned()),
        (&format!("{HEADER}{hour},NaN,0\n"), "line 2: share = \"NaN\"".to_owned()),
        (&format!("{HEADER}{hour},,0\n"), "line 2: share = \"\"".to_owned()),
        (
            &format!("{HEADER}{hour},1,2001\n"),
            "line 2: intensity = \"2001\": must be a number from 0 to 2000".to_owned(),
        ),
        (
            &format!("{HEADER}2026-01-01T01:00:00Z,2026-01-01T01:00:00Z,1,0\n"),
            "line 2: end must be after start".to_owned(),
        ),
        (
            &format!("{HEADER}2026-01-01T02:00:00Z,2026-01-01T01:00:00Z,1,0\n"),
            "line 2: end must be after start".to_owned(),
        ),
        (&format!("#\r\n{HEADER}\r\n\n#\n{hour},1,0\r\n\n{hour},1\r\n"), "line 8: 3 columns".to_owned()),
        (
            &format!("{HEADER}2026-01-01T00:00:00,2026-01-01T01:00:00Z,1,0\n"),
            "line 2: start = \"2026-01-01T00:00:00\": has no offset from UTC".to_owned(),
        ),
        (&format!("{HEADER}noon,{hour},1\n"), "line 2: start = \"noon\": must be a time such as".to_owned()),
        (
            &format!("{HEADER}2026-01-01T00:30:00Z,2026-01-01T02:00:00Z,1,0\n{hour},1,0\n"),
            "line 3: overlaps with the window of line 2".to_owned(),
        ),
        (
            &format!("{HEADER}{hour},1,0\n{hour},1,0\n"),
            "line 3: overlaps with the window of line 2".to_owned(),
        ),
    ] {
        let said = parsed(text).unwrap_err();
        assert!(said.starts_with("w.csv: line ") && said.contains(&expected), "{text:?} gave {said}");
    }
}

#[test]
fn what_is_no_text_is_told_with_its_line() {
    let said = parse(Path::new("w.csv"), b"start,end,share\n#\n\xff\n").unwrap_err().to_string();
    assert_eq!(said, "w.csv: line 3: isn't UTF-8");
    let bom = "\u{feff}start,end,share\r\n\"2026-01-01T00:00:00Z\",2026-01-01T01:00:00Z,1\r\n";
    assert_eq!(parsed(bom).unwrap().len(), 1);
}

#[test]
fn a_file_is_read_anew_when_it_changed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("windows.csv");
    let mut file = WindowsFile::new(&path);
    assert!(matches!(file.read(), Err(WindowsError::File(text)) if text.contains("windows.csv")));

    let good = format!("{HEADER}2026-01-01T00:00:00Z,2026-01-01T01:00:00Z,1,0\n");
    std::fs::write(&path, &good).unwrap();
    assert_eq!(file.read().unwrap().unwrap().len(), 1);
    assert_eq!(file.read().unwrap(), None);

    std::fs::write(&path, "oops\n").unwrap();
    assert!(file.read().is_err());
    assert_eq!(file.read().unwrap(), None, "the same bad file is told once");

    std::fs::write(&path, format!("{good}2026-01-01T01:00:00Z,2026-01-01T02:00:00Z,1,0\n")).unwrap();
    assert_eq!(file.read().unwrap().unwrap().len(), 2);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(Path::new("w.csv"), &bytes);
        let mut with_header = HEADER.as_bytes().to_vec();
        with_header.extend(bytes);
        let _ = parse(Path::new("w.csv"), &with_header);
    }
}
