use proptest::prelude::{any, prop, proptest};

use super::*;
use crate::carbon::providers::harness::own::{NOW, entry, problem};
use crate::config::ProviderKind;

/// A file whose pointers are checked as those of any source are.
fn source(pointers: [Option<&str>; 5]) -> Source {
    let mut source = entry(ProviderKind::File);
    source.path = Some("/nowhere".into());
    let mut pointers = pointers.into_iter().map(|pointer| pointer.map(str::to_owned));
    let mut next = || pointers.next().flatten();
    (source.items, source.value) = (next(), next());
    (source.start, source.end, source.estimated) = (next(), next(), next());
    source
}

#[test]
fn pointers_must_fit_together() {
    for (pointers, key) in [
        ([None, Some("value"), None, None, None], "value"),
        ([Some("data"), Some("/v"), Some("/s"), None, None], "items"),
        ([None, None, Some("/s"), None, None], "value"),
        ([None, Some("/v"), None, Some("/e"), None], "start"),
        ([None, Some("/v"), Some("/s"), None, None], "step"),
        ([Some("/data"), Some("/v"), None, None, None], "start"),
        ([None, None, None, None, Some("/e")], "value"),
    ] {
        let (at, text) = problem(&source(pointers));
        assert_eq!(at, key, "{pointers:?}: {text}");
    }
    let mut without_length = source([None, Some("/v"), None, None, None]);
    without_length.step = Some(Duration::ZERO);
    assert_eq!(problem(&without_length).0, "step");
}

#[test]
fn moments_are_texts_with_an_offset_or_numbers() {
    let now = Some(NOW);
    for (value, expected) in [
        (serde_json::json!("2027-01-15T08:00:00Z"), now),
        (serde_json::json!("2027-01-15T09:00+01:00"), now),
        (serde_json::json!(1_800_000_000), now),
        (serde_json::json!(1_800_000_000.0), now),
        (serde_json::json!(1_800_000_000_000_u64), now),
        (serde_json::json!(0), Some(UnixTime::default())),
        (serde_json::json!("2027-01-15T08:00:00"), None),
        (serde_json::json!("1800000000"), None),
        (serde_json::json!(-1), None),
        (serde_json::json!(null), None),
        (serde_json::json!([1_800_000_000]), None),
    ] {
        assert_eq!(moment(&value).ok(), expected, "{value}");
    }
    assert!(moment(&serde_json::json!("x".repeat(10_000))).unwrap_err().len() < 400);
}

#[test]
fn flags_are_up_unless_they_say_no() {
    for (flag, set) in [
        (serde_json::json!(true), true),
        (serde_json::json!("TIME_SLICER_AVERAGE"), true),
        (serde_json::json!(1), true),
        (serde_json::json!(false), false),
        (serde_json::json!(null), false),
        (serde_json::json!(""), false),
        (serde_json::json!("false"), false),
        (serde_json::json!(0), false),
    ] {
        assert_eq!(is_set(&flag), set, "{flag}");
    }
}

fn any_json() -> impl proptest::prelude::Strategy<Value = Value> {
    use proptest::prelude::{Just, Strategy, prop_oneof};
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        "[0-9TZ:+-]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[vsedq]", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_document_panics(document in any_json()) {
        let told = source([Some(""), Some("/v"), Some("/s"), Some("/e"), Some("/d")]);
        let given = source([None, Some("/v"), None, None, None]);
        for source in [told, given] {
            let layout = Layout::new(&source, Signal::AverageDirect, Duration::from_secs(60)).unwrap();
            let _ = layout.slots(&document, NOW, NOW);
        }
        let _ = Layout::own(Signal::AverageDirect).slots(&document, NOW, NOW);
    }
}
