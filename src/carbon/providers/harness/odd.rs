//! Answers that are almost right.

use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};
use serde_json::{Value, json};

/// What takes the place of a value of an answer.
pub(super) fn odd_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(json!([])),
        Just(json!({})),
        Just(json!("")),
        Just(json!(true)),
        Just(json!(u64::MAX)),
        Just(json!(i64::MIN)),
        Just(json!(f64::MAX)),
        Just(json!("9999-12-31T23:59:59Z")),
        Just(json!("-009999-01-01T00:00Z")),
        any::<i32>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ]
}

/// The values in a value, itself included.
pub(super) fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

/// Puts `new` in the place of the value at this place, counted from the outside.
pub(super) fn replace(value: &mut Value, place: &mut usize, new: &Value) {
    if *place == 0 {
        *value = new.clone();
    }
    *place = place.wrapping_sub(1);
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, place, new)),
        Value::Object(fields) => fields.values_mut().for_each(|field| replace(field, place, new)),
        _ => {}
    }
}

/// What takes the place of a piece of an answer.
const ODD: [&str; 16] = [
    "",
    "null",
    "0",
    "-1",
    "1e999",
    "99999999999999999999",
    "\"\"",
    "[]",
    "{}",
    "<a>",
    "</a>",
    "<",
    "&#0;",
    "\u{0}",
    "\u{fffd}",
    "9999-12-31T23:59:60Z",
];

/// The answer with some of its pieces cut out, doubled or replaced, or bytes that have nothing to do with it.
pub(in crate::carbon::providers) fn mutated(good: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<prop::sample::Index>(), 0..24_usize, any::<prop::sample::Index>(), any::<bool>());
    let edits = prop::collection::vec(edit, 0..6).prop_map(move |edits| {
        let mut bytes = good.as_bytes().to_vec();
        for (place, length, odd, double) in edits {
            if bytes.is_empty() {
                break;
            }
            let start = place.index(bytes.len());
            let end = (start + length).min(bytes.len());
            let piece = if double { bytes[start..end].repeat(2) } else { odd.get(&ODD).as_bytes().to_vec() };
            bytes.splice(start..end, piece);
        }
        bytes
    });
    prop_oneof![6 => edits, 1 => prop::collection::vec(any::<u8>(), 0..200), 1 => Just(good.as_bytes().to_vec())]
}
