//! Objects for property tests, and the many ways in which JSON can spell one.

use proptest::prelude::*;
use serde_json::{Map, Value};

/// Strings that YAML readers, and writers, get wrong, mixed with arbitrary ones.
pub(super) fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => "[a-z]{1,8}",
        2 => "\\PC{0,12}",
        2 => "[-+.:0-9_eExXobTZ ,]{1,10}",
        2 => "[a \t\n#:'\"\\\\|>-]{0,12}",
        1 => "[ \ta-c\n]{0,20}\n{0,3}",
        1 => any::<String>(),
        1 => proptest::sample::select(vec!["yes", "No", "on", "OFF", "y", "N", "null", "~", "", "<<", "=", ".inf", "-.INF", ".nan", "true"])
            .prop_map(str::to_owned),
    ]
}

/// Any JSON object that an API server could send, as content.
pub(super) fn object() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        4 => text().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => (-1000..1000i32).prop_map(|n| Value::from(f64::from(n) / 8.0)),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    let value = leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![members(inner.clone()), prop::collection::vec(inner, 0..4).prop_map(Value::from)]
    });
    members(value)
}

fn members(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop::collection::btree_map(text(), value, 0..5)
        .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>()))
}

/// `value` as JSON, with its keys in any order, white space anywhere and characters escaped at random.
pub(super) fn render(value: &Value, rng: &mut fastrand::Rng) -> String {
    let mut json = String::new();
    write(&mut json, value, rng);
    json
}

fn write(json: &mut String, value: &Value, rng: &mut fastrand::Rng) {
    match value {
        Value::Object(map) => {
            let mut members: Vec<_> = map.iter().collect();
            rng.shuffle(&mut members);
            json.push('{');
            for (index, (key, value)) in members.into_iter().enumerate() {
                json.push_str(if index == 0 { "" } else { "," });
                blank(json, rng);
                string(json, key, rng);
                blank(json, rng);
                json.push(':');
                blank(json, rng);
                write(json, value, rng);
                blank(json, rng);
            }
            json.push('}');
        }
        Value::Array(list) => {
            json.push('[');
            for (index, value) in list.iter().enumerate() {
                json.push_str(if index == 0 { "" } else { "," });
                blank(json, rng);
                write(json, value, rng);
            }
            blank(json, rng);
            json.push(']');
        }
        Value::String(text) => string(json, text, rng),
        Value::Null | Value::Bool(_) | Value::Number(_) => json.push_str(&value.to_string()),
    }
}

fn blank(json: &mut String, rng: &mut fastrand::Rng) {
    json.push_str(["", "", "", " ", "\n\t", "\r\n"][rng.usize(..6)]);
}

fn string(json: &mut String, text: &str, rng: &mut fastrand::Rng) {
    json.push('"');
    for character in text.chars() {
        if rng.u8(..4) == 0 {
            for unit in character.encode_utf16(&mut [0; 2]) {
                json.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            let quoted = Value::from(character.to_string()).to_string();
            json.push_str(&quoted[1..quoted.len() - 1]);
        }
    }
    json.push('"');
}
