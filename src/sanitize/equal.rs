//! Whether a file in Git is the object already, only formatted otherwise.

use super::Manifest;
use super::number::same_number;
use super::reader;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use std::collections::BTreeMap;
use std::fmt;

/// How many bytes a file may have beyond four times those of the manifest: comments, white space, escapes.
const ROOM: usize = 64 * 1024;

/// Whether `existing`, the content of a file, is one YAML document that says the same as `manifest`, whatever its
/// comments, order of keys, quotes and styles.
///
/// Numbers are the same when they have exactly the same value; no other value is converted. What is no YAML, is
/// larger than the manifest could ever be written, or unfolds to more than it holds, is not the same: when in doubt
/// the answer is no, and the file gets the manifest's own bytes.
#[must_use]
pub fn same_object(existing: &[u8], manifest: &Manifest) -> bool {
    if existing == manifest.bytes() {
        return true;
    }
    let size = manifest.len();
    if existing.len() > size.saturating_mul(4).saturating_add(ROOM) {
        return false;
    }
    let (Ok(existing), Ok(ours)) = (str::from_utf8(existing), str::from_utf8(manifest.bytes())) else { return false };
    let Some(theirs) = reader::read::<Value>(existing, size) else { return false };
    reader::read::<Value>(ours, size).is_some_and(|own| Comparison { existing, ours }.same(&theirs, &own))
}

/// A value of a YAML document.
enum Value {
    Null,
    Bool(bool),
    Integer(i128),
    /// A number that is no 64-bit integer: where it stands in the text.
    Number {
        start: usize,
        end: usize,
    },
    String(String),
    List(Vec<Self>),
    Map(BTreeMap<String, Self>),
}

/// The texts that the numbers of the two sides are spans of.
struct Comparison<'a> {
    existing: &'a str,
    ours: &'a str,
}

impl Comparison<'_> {
    fn same(&self, theirs: &Value, own: &Value) -> bool {
        match (theirs, own) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Integer(a), Value::Integer(b)) => a == b,
            (Value::String(a), Value::String(b)) => a == b,
            (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| self.same(a, b)),
            (Value::Map(a), Value::Map(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|((a_key, a), (b_key, b))| a_key == b_key && self.same(a, b))
            }
            _ => match (digits(theirs, self.existing), digits(own, self.ours)) {
                (Some(a), Some(b)) => same_number(&a, &b),
                _ => false,
            },
        }
    }
}

/// The text of a number.
fn digits(value: &Value, text: &str) -> Option<String> {
    match value {
        Value::Integer(number) => Some(number.to_string()),
        Value::Number { start, end } => text.get(*start..*end).map(str::to_owned),
        _ => None,
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value: Bare(value), defined, .. } = Spanned::<Bare>::deserialize(deserializer)?;
        let Self::Number { .. } = value else { return Ok(value) };
        let span = defined.span();
        let (Some(start), Some(len)) = (span.byte_offset(), span.byte_len()) else {
            return Err(D::Error::custom("a number without a place"));
        };
        // Offsets into a text in memory.
        Ok(Self::Number { start: start as usize, end: (start + len) as usize })
    }
}

/// A value whose place is not known yet.
struct Bare(Value);

impl<'de> Deserialize<'de> for Bare {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Builder).map(Self)
    }
}

struct Builder;

impl<'de> Visitor<'de> for Builder {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON has too")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Number { start: 0, end: 0 })
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = access.next_element()? {
            list.push(element);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((Bare(key), value)) = access.next_entry()? {
            // kubectl makes a string of an integer too; readers disagree on every other key.
            let key = match key {
                Value::String(key) => key,
                Value::Integer(key) => key.to_string(),
                _ => return Err(A::Error::custom("a key that is no string")),
            };
            if map.insert(key, value).is_some() {
                return Err(A::Error::custom("a key that stands there twice"));
            }
        }
        Ok(Value::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{clean, fixtures, mk_kind};
    use super::super::samples;
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    fn manifest(object: &str) -> Manifest {
        let mut document = super::super::Document::parse(object).unwrap();
        super::super::manifest(&mut document, &mk_kind("", "Thing")).unwrap()
    }

    /// Whether a file with these lines after its type is the object with these members.
    fn same(lines: &str, members: &str) -> bool {
        same_object(format!("apiVersion: v1\nkind: Thing\n{lines}").as_bytes(), &manifest(&format!("{{{members}}}")))
    }

    #[test]
    fn formatting_does_not_count() {
        for (lines, members) in [
            ("a: 1\nb: x\n", r#""a":1,"b":"x""#),
            ("# why\nb: 'x' # because\n\na:     1\n", r#""a":1,"b":"x""#),
            ("{a: [1, {b: x}]}\n", r#""a":[1,{"b":"x"}]"#),
            ("a:\n    - 1\n    - b:  \"x\"\n", r#""a":[1,{"b":"x"}]"#),
            ("a: >-\n  one\n  line\nb: |\n  x\n", r#""a":"one line","b":"x\n""#),
            ("a: 10.0.0.1\nb: 2001-01-01x\n", r#""a":"10.0.0.1","b":"2001-01-01x""#),
            ("a: &x {b: 1}\nc: *x\n", r#""a":{"b":1},"c":{"b":1}"#),
            ("8080: x\n\"a\": ~\n", r#""8080":"x","a":null"#),
            ("a: 0x10\nb: 0644\nc: 0o17\nd: 1_000\n", r#""a":16,"b":420,"c":15,"d":1000"#),
            ("a: yes\nb: Off\n", r#""a":true,"b":false"#),
            ("a: 1.50\nb: 1e3\nc: -0.0\n", r#""a":1.5,"b":1000,"c":0"#),
            ("a: 18446744073709551615\nb: 1e400\n", r#""a":18446744073709551615,"b":1E400"#),
            ("a: 18446744073709551616000\n", r#""a":18446744073709551616000"#),
        ] {
            let lines = if lines.starts_with('{') {
                assert!(same_object(
                    lines.replacen('{', "{kind: Thing, apiVersion: v1, ", 1).as_bytes(),
                    &manifest(&format!("{{{members}}}"))
                ));
                continue;
            } else {
                lines
            };
            assert!(same(lines, members), "{lines}");
            assert!(same_object(
                format!("--- # first\n{lines}kind: Thing\napiVersion: \"v1\"\n...\n").as_bytes(),
                &manifest(&format!("{{{members}}}"))
            ));
            assert!(same(&lines.replace('\n', "\r\n"), members), "{lines}");
        }
    }

    #[test]
    fn content_counts() {
        for (lines, members) in [
            ("a: 1\n", r#""a":2"#),
            ("a: 1\n", r#""a":"1""#),
            ("a: '1'\n", r#""a":1"#),
            ("a: null\n", ""),
            ("", r#""a":null"#),
            ("a: {}\n", r#""a":[]"#),
            ("a: ''\n", r#""a":null"#),
            ("a: [1, 2]\n", r#""a":[2,1]"#),
            ("a: [1]\n", r#""a":[1,1]"#),
            ("a: true\n", r#""a":"true""#),
            ("a: yes\n", r#""a":"yes""#),
            ("a: x\nb: y\n", r#""a":"x""#),
            ("a: x\na: x\n", r#""a":"x""#),
            ("a: 18446744073709551615\n", r#""a":18446744073709551614"#),
            ("a: 18446744073709551617\n", r#""a":18446744073709551616"#),
            ("a: 0.30000000000000004\n", r#""a":0.3"#),
            ("a: 1e400\n", r#""a":1e401"#),
            ("a: .inf\n", r#""a":1e400"#),
            ("a: .nan\n", r#""a":".nan""#),
            ("yes: x\n", r#""yes":"x""#),
            ("a: |\n  x\n", r#""a":"x""#),
            ("---\na: x\n", r#""a":"x""#),
            ("a: x\n---\nb: y\n", r#""a":"x""#),
            ("a: x\n---\n", r#""a":"x","b":1"#),
            ("a: [x\n", r#""a":["x"]"#),
            ("a: *x\n", r#""a":"x""#),
            ("\ta: x\n", r#""a":"x""#),
        ] {
            assert!(!same(lines, members), "{lines}");
        }
        let thing = manifest("{}");
        for file in ["", "# nothing\n", "x", "- apiVersion: v1\n", "apiVersion: v2\nkind: Thing\n", "apiVersion: v1\n"]
        {
            assert!(!same_object(file.as_bytes(), &thing), "{file}");
        }
        assert!(!same_object(b"apiVersion: v1\nkind: Thing\nx: \xff\n", &thing));
    }

    #[test]
    fn hostile_files_are_something_else_and_cost_little() {
        let thing = manifest(r#"{"a":["lol","lol"]}"#);
        let mut bomb = "apiVersion: v1\nkind: Thing\na0: &a0 [lol, lol]\n".to_owned();
        for level in 1..60 {
            let before = level - 1;
            bomb.push_str(&format!("a{level}: &a{level} [*a{before}, *a{before}, *a{before}, *a{before}]\n"));
        }
        let long = format!("x: &x {:?}\ny: [{}]\n", "x".repeat(60_000), "*x, ".repeat(1_000));
        let merged = format!("x: &x {{a: 1}}\n{}", "<<: *x\n".repeat(1_000));
        for hostile in [
            bomb,
            long,
            merged,
            format!("a: {}", "[".repeat(60_000)),
            format!("a: {}{}", "[".repeat(60_000), "]".repeat(60_000)),
            format!("a: {}", "{a: ".repeat(15_000)),
            "- ".repeat(30_000),
            "? ".repeat(30_000),
            "a: &a [*a]\n".to_owned(),
            "a: &a\n  b: *a\n".to_owned(),
            "#".repeat(32 * 1024 * 1024),
            format!("a: {}\n", "1".repeat(60_000)),
            format!("a: 1e{}\n", "9".repeat(60_000)),
            "a: !!binary x\n".to_owned(),
            "%YAML 9.9\n---\na: 1\n".to_owned(),
        ] {
            assert!(!same_object(hostile.as_bytes(), &thing));
        }
    }

    #[test]
    fn an_object_as_deep_as_one_may_be_is_recognised() {
        let depth = super::super::json::MAX_DEPTH - 1;
        let deep = manifest(&format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth)));
        let file = format!("# deep\n{}", std::str::from_utf8(deep.bytes()).unwrap());
        assert!(same_object(file.as_bytes(), &deep));
        let flow = format!("apiVersion: v1\nkind: Thing\na: {}{}\n", "[".repeat(depth), "]".repeat(depth));
        assert!(same_object(flow.as_bytes(), &deep));
    }

    #[test]
    fn a_manifest_in_json_is_the_same_object() {
        for fixture in fixtures() {
            let bytes = clean(&fixture.live, &fixture.kind);
            let manifest = Manifest::new(bytes.clone().into_bytes());
            let json: Json = serde_yaml::from_str(&bytes).unwrap();
            for text in [json.to_string(), format!("{json:#}"), serde_yaml::to_string(&json).unwrap()] {
                assert!(same_object(text.as_bytes(), &manifest), "{text}");
            }
        }
    }

    /// Changes one leaf of `value`, the one that `at` points to.
    fn change(value: &mut Json, at: &mut usize) -> bool {
        match value {
            Json::Object(map) if !map.is_empty() => map.values_mut().any(|value| change(value, at)),
            Json::Array(list) if !list.is_empty() => list.iter_mut().any(|value| change(value, at)),
            leaf if *at == 0 => {
                *leaf = match leaf {
                    Json::Null => json!({}),
                    Json::Bool(value) => json!(!*value),
                    Json::Number(number) => json!(format!("{number}")),
                    Json::String(text) => json!(format!("{text}x")),
                    Json::Array(_) => json!([null]),
                    Json::Object(_) => json!(null),
                };
                true
            }
            _ => {
                *at -= 1;
                false
            }
        }
    }

    fn leaves(value: &Json) -> usize {
        match value {
            Json::Object(map) if !map.is_empty() => map.values().map(leaves).sum(),
            Json::Array(list) if !list.is_empty() => list.iter().map(leaves).sum(),
            _ => 1,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn the_same_object_is_recognised_and_any_other_is_not(
            mut object in samples::object(), at in any::<prop::sample::Index>(), seed in any::<u64>()
        ) {
            object["apiVersion"] = json!("v1");
            object["kind"] = json!("Thing");
            let own = manifest(&object.to_string());
            // What the passes have left.
            let left: Json = serde_yaml::from_slice(own.bytes()).unwrap();
            let mut rng = fastrand::Rng::with_seed(seed);
            let flow = samples::render(&left, &mut rng).replace(['\t', '\r'], " ");
            let block = format!("# by hand\n---\n{}# end\n", String::from_utf8(own.bytes().to_vec()).unwrap());
            prop_assert!(same_object(flow.as_bytes(), &own), "{}", flow);
            prop_assert!(same_object(block.as_bytes(), &own), "{}", block);

            let mut other = left.clone();
            prop_assert!(change(&mut other, &mut at.index(leaves(&left))));
            prop_assert!(!same_object(samples::render(&other, &mut rng).as_bytes(), &own), "{}", other);
            prop_assert!(!same_object(serde_yaml::to_string(&other).unwrap().as_bytes(), &own), "{}", other);
        }

        #[test]
        fn no_file_panics(file in "\\PC{0,40}([-a:&*\\[\\]{}!|>'\"\\n ,#?<]{0,20}\\n){0,4}") {
            let thing = manifest("{}");
            prop_assert!(!same_object(file.as_bytes(), &thing));
        }
    }
}
