//! The fingerprint of a whole object, by which an admission request and a watch event are joined.
//!
//! Both sides carry the same object: in the request it has the old `resourceVersion` or none, and items of a
//! list have no `apiVersion` and `kind`, so these three are left out. Everything else counts, `managedFields`
//! and `status` included: they are what tells two writers apart.

use super::json::{Document, Kind, Member, NodeId};
use crate::resource::{ContentHash, Fingerprint};
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;

/// The fingerprint of `document` as it was read: what a pass has removed still counts.
///
/// Each half is the first half of a SHA-256 over the content alone, so neither the order of keys nor white space
/// nor the spelling of strings matters. Every value is hashed with its type and its length, so two objects that
/// differ never feed the same bytes.
///
/// Numbers count as they are written, except that every spelling of zero is one: the API server answers
/// `-0` in the request and `0` once it has read the object back from etcd. It is the only number that it
/// spells in two ways, since the request was already written by its own encoder (`1.0` has become `1`).
#[must_use]
pub fn fingerprint(document: &Document<'_>) -> Fingerprint {
    let (mut metadata, mut rest) = (Hasher::new(document), Hasher::new(document));
    let is_metadata = |member: &Member| document.string(member.key).as_deref() == Some("metadata");
    for member in document.all_members(document.root()).filter(is_metadata) {
        match document.kind(member.value) {
            Kind::Object => metadata.object(member.value, Place::Metadata),
            _ => metadata.value(member.value),
        }
    }
    rest.object(document.root(), Place::Root);
    Fingerprint { metadata: metadata.finish(), rest: rest.finish() }
}

/// The hash of what the passes have left of `document`, without the value at `path`.
#[must_use]
pub fn hash_without(document: &Document<'_>, path: &[&str]) -> ContentHash {
    let mut hasher = Hasher::new(document);
    hasher.left_out = Some(document.find(path));
    hasher.object(document.root(), Place::Below);
    hasher.finish()
}

/// Where an object stands, as far as that decides which members count.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Root,
    Metadata,
    Below,
}

impl Place {
    fn counts(self, key: &str) -> bool {
        match self {
            Self::Root => !matches!(key, "apiVersion" | "kind" | "metadata"),
            Self::Metadata => key != "resourceVersion",
            Self::Below => true,
        }
    }
}

struct Hasher<'d, 'a> {
    document: &'d Document<'a>,
    sha: Sha256,
    /// The sorted members of all objects that are open, the innermost last.
    keys: Vec<(Cow<'a, str>, NodeId)>,
    /// Set where what is removed does not count, with one more value that does not.
    left_out: Option<Option<NodeId>>,
}

impl<'d, 'a> Hasher<'d, 'a> {
    fn new(document: &'d Document<'a>) -> Self {
        Self { document, sha: Sha256::new(), keys: Vec::new(), left_out: None }
    }

    fn finish(self) -> ContentHash {
        let digest = self.sha.finalize();
        let mut half = [0; 16];
        half.copy_from_slice(&digest[..16]);
        ContentHash(half)
    }

    fn value(&mut self, node: NodeId) {
        let document = self.document;
        match document.kind(node) {
            Kind::Object => self.object(node, Place::Below),
            Kind::Array => {
                let left_out = self.left_out;
                let elements = || document.all_elements(node).filter(|&element| counts(document, left_out, element));
                self.tag(b'[', elements().count());
                elements().for_each(|element| self.value(element));
            }
            Kind::Key | Kind::String => self.text(b'"', &document.string(node).unwrap_or_default()),
            Kind::Number if is_zero(document.raw(node)) => self.text(b'#', "0"),
            Kind::Number => self.text(b'#', document.raw(node)),
            Kind::Bool | Kind::Null => self.text(b'=', document.raw(node)),
        }
    }

    fn object(&mut self, node: NodeId, place: Place) {
        let document = self.document;
        let first = self.keys.len();
        for member in document.all_members(node) {
            let key = document.string(member.key).unwrap_or_default();
            if place.counts(&key) && counts(document, self.left_out, member.value) {
                self.keys.push((key, member.value));
            }
        }
        // Stable: a key that stands there twice has a fixed order too.
        self.keys[first..].sort_by(|(a, _), (b, _)| a.cmp(b));
        let end = self.keys.len();
        self.tag(b'{', end - first);
        for index in first..end {
            let (key, value) = std::mem::replace(&mut self.keys[index], (Cow::Borrowed(""), node));
            self.text(b'"', &key);
            self.value(value);
        }
        self.keys.truncate(first);
    }

    fn text(&mut self, tag: u8, text: &str) {
        self.tag(tag, text.len());
        self.sha.update(text.as_bytes());
    }

    /// What follows is a value of this type with this many bytes, elements or members: below 2^32, by the
    /// limit on the text.
    fn tag(&mut self, tag: u8, count: usize) {
        let [a, b, c, d] = (count as u32).to_le_bytes();
        self.sha.update([tag, a, b, c, d]);
    }
}

fn counts(document: &Document<'_>, left_out: Option<Option<NodeId>>, node: NodeId) -> bool {
    left_out.is_none_or(|left_out| left_out != Some(node) && !document.is_removed(node))
}

/// Whether a JSON number is zero, of either sign: no digit before the exponent is another.
fn is_zero(number: &str) -> bool {
    let mut mantissa = number.bytes().take_while(|byte| !matches!(byte, b'e' | b'E'));
    mantissa.all(|byte| matches!(byte, b'-' | b'0' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::super::samples::{object, render};
    use super::*;
    use proptest::prelude::*;

    fn hash(json: &str) -> Fingerprint {
        fingerprint(&Document::parse(json).unwrap())
    }

    #[test]
    fn what_the_api_server_changes_between_request_and_event_does_not_count() {
        let event =
            r#"{"apiVersion":"v1","kind":"X","metadata":{"name":"a","resourceVersion":"5"},"spec":{"n":0,"s":"a<b"}}"#;
        for same in [
            r#"{"metadata":{"name":"a"},"spec":{"n":0,"s":"a<b"}}"#,
            r#"{"metadata":{"resourceVersion":"4","name":"a"},"spec":{"s":"\u0061\u003cb","n":-0}}"#,
            r#" { "spec" : { "n" : -0.0 , "s" : "a<b" } , "kind" : "X" , "metadata" : { "name" : "a" } } "#,
            r#"{"metadata":{"name":"a"},"spec":{"n":0e5,"s":"a<b"}}"#,
        ] {
            assert_eq!(hash(event), hash(same), "{same}");
        }
        for other in [
            r#"{"metadata":{"name":"a"},"spec":{"n":"0","s":"a<b"}}"#,
            r#"{"metadata":{"name":"a"},"spec":{"n":0.5,"s":"a<b"}}"#,
            r#"{"metadata":{"name":"a"},"spec":{"n":null,"s":"a<b"}}"#,
            r#"{"metadata":{"name":"a"},"spec":{"n":0,"s":"a<b","apiVersion":"v1"}}"#,
            r#"{"metadata":{"name":"a"},"spec":{"n":0,"s":"a<b","metadata":{"resourceVersion":"5"}}}"#,
            r#"{"metadata":{"name":"a"},"spec":{"n":0,"s":"a<b"},"status":{}}"#,
            r#"{"metadata":{"name":"a","managedFields":[]},"spec":{"n":0,"s":"a<b"}}"#,
        ] {
            assert_ne!(hash(event), hash(other), "{other}");
        }
    }

    #[test]
    fn values_that_look_alike_differ() {
        let values = [
            "null",
            "true",
            "false",
            "0",
            "1",
            "1.0",
            "10",
            "\"\"",
            "\"null\"",
            "\"1\"",
            "[]",
            "{}",
            "[[]]",
            "[{}]",
            "[null]",
            r#"["a","b"]"#,
            r#"["ab"]"#,
            r#"["a\",\"b"]"#,
            r#"[["a"],"b"]"#,
            r#"[["a","b"]]"#,
            r#"{"a":"b"}"#,
            r#"{"a":{"b":null}}"#,
            r#"{"a":null,"b":null}"#,
            r#"{"ab":null}"#,
            // Told apart by the lengths alone: the texts hold what stands between two texts.
            r#"["a\"\u0000\u0000\u0000\u0000b","c"]"#,
            r#"["a","b\"\u0000\u0000\u0000\u0000c"]"#,
        ];
        for (index, a) in values.iter().enumerate() {
            for b in &values[..index] {
                assert_ne!(hash(&format!("{{\"x\":{a}}}")), hash(&format!("{{\"x\":{b}}}")), "{a} {b}");
            }
        }
    }

    #[test]
    fn what_a_pass_removed_still_counts() {
        let mut document = Document::parse(r#"{"status":{"a":[1,2]},"spec":1}"#).unwrap();
        let before = fingerprint(&document);
        let status = document.get(document.root(), "status").unwrap();
        document.remove(status);
        assert_eq!(fingerprint(&document), before);
    }

    #[test]
    fn metadata_and_the_rest_are_told_apart() {
        let one = hash(r#"{"metadata":{"name":"a"},"spec":1}"#);
        let metadata = hash(r#"{"metadata":{"name":"b"},"spec":1}"#);
        let rest = hash(r#"{"metadata":{"name":"a"},"spec":2}"#);
        assert!(one.metadata == rest.metadata && one.rest != rest.rest);
        assert!(one.metadata != metadata.metadata && one.rest == metadata.rest);
    }

    #[test]
    fn one_value_and_what_was_removed_can_be_left_out() {
        let without = |json: &str| {
            let mut document = Document::parse(json).unwrap();
            document.remove_members(document.root(), |_, key, _| key == "status");
            hash_without(&document, &["spec", "replicas"])
        };
        let three = without(r#"{"kind":"X","spec":{"replicas":3,"l":[1]},"status":{"replicas":3}}"#);
        assert_eq!(three, without(r#"{"kind":"X","spec":{"l":[1],"replicas":4}}"#));
        assert_eq!(three, without(r#"{"kind":"X","spec":{"l":[1]},"status":{}}"#));
        for other in [
            r#"{"kind":"X","spec":{"replicas":3,"l":[2]}}"#,
            r#"{"kind":"Y","spec":{"replicas":3,"l":[1]}}"#,
            r#"{"kind":"X","spec":{"replicas":3,"l":[1],"m":{"replicas":3}}}"#,
            r#"{"kind":"X"}"#,
        ] {
            assert_ne!(three, without(other), "{other}");
        }
    }

    proptest! {
        #[test]
        fn spelling_does_not_count_and_content_does(value in object(), other in object(), seed in any::<u64>()) {
            let mut rng = fastrand::Rng::with_seed(seed);
            let plain = hash(&serde_json::to_string(&value).unwrap());
            prop_assert_eq!(plain, hash(&render(&value, &mut rng)));
            prop_assert_eq!(plain == hash(&serde_json::to_string(&other).unwrap()), value == other);
        }
    }
}
