//! Annotations whose value is itself a Kubernetes object: a copy, which may be stale, and may be secret.

use super::json::{Document, Kind};
use super::reader;
use base64::Engine as _;
use flate2::read::GzDecoder;
use serde::Deserialize;
use std::io::Read as _;

/// How many bytes of a compressed value are unpacked. A copy of an object that etcd could store is smaller.
const MAX_UNPACKED: u64 = 4 * 1024 * 1024;

/// What the base64 of every gzip stream starts with.
const GZIP_AS_BASE64: &str = "H4sI";

/// What every Kubernetes object has.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
}

/// Whether `value` is a Kubernetes object: as JSON, as YAML, or as the base64 of either, compressed by gzip.
pub(super) fn is_object(value: &str) -> bool {
    if value.trim_start().starts_with(GZIP_AS_BASE64) {
        return unpack(value.trim()).is_some_and(|text| is_plain_object(&text));
    }
    is_plain_object(value)
}

fn is_plain_object(text: &str) -> bool {
    if text.trim_start().starts_with('{') {
        return Document::parse(text).is_ok_and(|copy| {
            let is_string = |key| copy.get(copy.root(), key).is_some_and(|node| copy.kind(node) == Kind::String);
            is_string("apiVersion") && is_string("kind")
        });
    }
    // Looked at before it is read: next to no annotation is YAML.
    let has_line = |start: &str| text.lines().any(|line| line.trim_start().starts_with(start));
    has_line("apiVersion:") && has_line("kind:") && reader::read::<Head>(text, text.len()).is_some()
}

fn unpack(value: &str) -> Option<String> {
    let packed = base64::prelude::BASE64_STANDARD.decode(value).ok()?;
    let mut text = String::new();
    GzDecoder::new(packed.as_slice()).take(MAX_UNPACKED).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write as _;

    fn packed(text: &[u8]) -> String {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).unwrap();
        base64::prelude::BASE64_STANDARD.encode(encoder.finish().unwrap())
    }

    #[test]
    fn objects_are_found_plain_and_packed() {
        for object in [
            r#"{"apiVersion":"v1","kind":"Secret","data":{"a":"Yg=="}}"#,
            " {\"kind\":\"Secret\",\n\"apiVersion\":\"v1\"}\n",
            "apiVersion: v1\nkind: Secret\ndata:\n  a: Yg==\n",
            "  apiVersion: v1\n  kind: x\n",
            "---\n# a copy\nkind: Secret\nmetadata: {name: x}\napiVersion: v1",
        ] {
            assert!(is_object(object), "{object}");
            assert!(is_object(&packed(object.as_bytes())), "packed {object}");
        }
    }

    #[test]
    fn everything_else_is_kept() {
        for other in [
            "",
            "{}",
            "{apiVersion: v1, kind: x",
            r#"{"kind":"x"}"#,
            r#"{"apiVersion":1,"kind":"x"}"#,
            r#"{"spec":{"apiVersion":"v1","kind":"x"}}"#,
            r#"[{"op":"add","path":"/a"}]"#,
            "kind: Secret\napiVersion: [v1]\n",
            "apiVersion: v1 and\nkind: of: strange\n",
            "a:\n  apiVersion: v1\n  kind: x\n",
            "see apiVersion: and kind: below",
            "H4sI",
            "H4sIAAAAAAAA",
        ] {
            assert!(!is_object(other), "{other}");
            assert!(!is_object(&packed(other.as_bytes())), "packed {other}");
        }
        assert!(!is_object(&packed(b"\xff\xfe")));
    }

    #[test]
    fn what_never_stops_unpacking_is_no_object() {
        let mut bomb = br#"{"apiVersion":"v1","kind":"x","a":""#.to_vec();
        bomb.resize(16 * 1024 * 1024, b'a');
        bomb.extend_from_slice(b"\"}");
        assert!(!is_object(&packed(&bomb)));
    }
}
