//! Any tree of values: two YAML readers that share no code find the same tree in what the emitter writes.

#![no_main]

use arbitrary::Arbitrary;
use gitops_reverser_fuzz::kind;
use gitops_reverser_fuzz::sanitize::{Document, manifest};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};

#[derive(Arbitrary, Debug)]
enum Tree {
    Null,
    Bool(bool),
    Integer(i64),
    Text(String),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

impl Tree {
    fn into_value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => value.into(),
            Self::Integer(value) => value.into(),
            Self::Text(value) => value.into(),
            Self::List(list) => list.into_iter().map(Self::into_value).collect(),
            Self::Map(members) => members.into_iter().map(|(key, tree)| (key, tree.into_value())).collect(),
        }
    }
}

fuzz_target!(|tree: Tree| {
    let data = tree.into_value();
    // No pass touches `data`, but for what it takes for metadata of templates.
    if data.to_string().contains("creationTimestamp") || data.to_string().contains("volumeClaimTemplates") {
        return;
    }
    let object = json!({"data": data}).to_string();
    // Deeper than an object may be.
    let Ok(mut document) = Document::parse(&object) else { return };
    let Ok(manifest) = manifest(&mut document, &kind(0)) else { return };
    let text = std::str::from_utf8(manifest.bytes()).expect("YAML is text");

    let mut expected = Map::new();
    expected.insert("apiVersion".to_owned(), json!("example.com/v1"));
    expected.insert("kind".to_owned(), json!("Thing"));
    expected.insert("data".to_owned(), data);
    let expected = Value::Object(expected);
    let libyaml: Value = serde_yaml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(libyaml, expected, "{text}");
    let saphyr: Value = serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(saphyr, expected, "{text}");
});
