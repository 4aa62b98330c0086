//! JSON as a tape: one flat list of nodes over the text that the server sent.
//!
//! Nothing is copied: strings stay as spans of the text and are unescaped when somebody looks, numbers stay
//! as the server wrote them, and taking something out only marks it.

use super::{SanitizeError, parser};
use std::borrow::Cow;

/// The largest JSON text that is read, in bytes: twice what etcd accepts as one request, by default.
pub const MAX_BYTES: usize = 3 * 1024 * 1024;

/// How deep objects and arrays may be nested, the object itself included.
pub const MAX_DEPTH: usize = 200;

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An object.
    Object,
    /// An array.
    Array,
    /// The name of a member of an object; its value follows.
    Key,
    /// A string.
    String,
    /// A number.
    Number,
    /// `true` or `false`.
    Bool,
    /// `null`.
    Null,
}

/// One entry of the tape. Offsets fit, because no text is longer than [`MAX_BYTES`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    /// Where its text starts; strings without their quotes.
    start: u32,
    /// Where its text ends.
    end: u32,
    /// Index of the first node that is not part of it.
    next: u32,
    pub(super) kind: Kind,
    /// Whether a string has escapes.
    escaped: bool,
    /// Whether a pass has taken the value out.
    removed: bool,
}

impl Node {
    pub(super) fn new(kind: Kind, start: usize, end: usize, next: usize, escaped: bool) -> Self {
        Self { start: start as u32, end: end as u32, next: next as u32, kind, escaped, removed: false }
    }

    /// Sets the end of a container: of its text, and on the tape.
    pub(super) fn close(&mut self, end: usize, next: usize) {
        self.end = end as u32;
        self.next = next as u32;
    }
}

/// Names a node of the [`Document`] that handed it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeId(usize);

/// One JSON object, read but not copied.
#[derive(Clone, Debug)]
pub struct Document<'a> {
    json: &'a str,
    nodes: Vec<Node>,
}

impl<'a> Document<'a> {
    /// Reads `json`, which must be one JSON object of at most [`MAX_BYTES`], nested at most [`MAX_DEPTH`] deep.
    ///
    /// # Errors
    ///
    /// [`SanitizeError`] when it is none, with the offset of the offending byte.
    pub fn parse(json: &'a str) -> Result<Self, SanitizeError> {
        Ok(Self { json, nodes: parser::parse(json)? })
    }

    /// The object itself.
    #[must_use]
    pub fn root(&self) -> NodeId {
        NodeId(0)
    }

    /// What `node` is.
    #[must_use]
    pub fn kind(&self, node: NodeId) -> Kind {
        self.nodes[node.0].kind
    }

    /// The text of `node` as the server wrote it; of a string, what stands between the quotes.
    #[must_use]
    pub fn raw(&self, node: NodeId) -> &'a str {
        let Node { start, end, .. } = self.nodes[node.0];
        &self.json[start as usize..end as usize]
    }

    /// The value of a string or key, without escapes; a lone surrogate becomes U+FFFD. `None` for all else.
    #[must_use]
    pub fn string(&self, node: NodeId) -> Option<Cow<'a, str>> {
        match self.kind(node) {
            Kind::String | Kind::Key => Some(self.unescaped(node)),
            _ => None,
        }
    }

    fn unescaped(&self, node: NodeId) -> Cow<'a, str> {
        let raw = self.raw(node);
        if self.nodes[node.0].escaped { Cow::Owned(unescape(raw)) } else { Cow::Borrowed(raw) }
    }

    /// The value of the member `key` of an object; `None` when it has none, and for all that is no object.
    #[must_use]
    pub fn get(&self, node: NodeId, key: &str) -> Option<NodeId> {
        self.members(node).find(|member| self.unescaped(member.key) == key).map(|member| member.value)
    }

    /// The value at the end of a path of keys.
    #[must_use]
    pub fn find(&self, path: &[&str]) -> Option<NodeId> {
        path.iter().try_fold(self.root(), |node, key| self.get(node, key))
    }

    /// The members of an object that are not removed, in the order of the text; nothing for all else.
    pub fn members(&self, node: NodeId) -> impl Iterator<Item = Member> {
        self.all_members(node).filter(|member| !self.nodes[member.value.0].removed)
    }

    /// The members of an object, those that are removed included.
    pub(super) fn all_members(&self, node: NodeId) -> impl Iterator<Item = Member> {
        self.children(node, Kind::Object).step_by(2).map(|key| Member { key, value: NodeId(key.0 + 1) })
    }

    /// The elements of an array that are not removed; nothing for all else.
    pub fn elements(&self, node: NodeId) -> impl Iterator<Item = NodeId> {
        self.all_elements(node).filter(|element| !self.nodes[element.0].removed)
    }

    /// The elements of an array, those that are removed included.
    pub(super) fn all_elements(&self, node: NodeId) -> impl Iterator<Item = NodeId> {
        self.children(node, Kind::Array)
    }

    /// The nodes directly below a container of that kind: elements, or keys and values in turn.
    fn children(&self, node: NodeId, of: Kind) -> impl Iterator<Item = NodeId> {
        let Node { kind, next: end, .. } = self.nodes[node.0];
        let mut at = node.0 + 1;
        std::iter::from_fn(move || {
            if kind != of || at >= end as usize {
                return None;
            }
            let child = NodeId(at);
            at = self.nodes[at].next as usize;
            Some(child)
        })
    }

    /// Whether an object or array holds nothing, or nothing any more; true for all that is neither.
    #[must_use]
    pub fn is_empty(&self, node: NodeId) -> bool {
        self.members(node).next().is_none() && self.elements(node).next().is_none()
    }

    /// Whether all that an object or array held was taken out; not if it came empty.
    pub(super) fn is_emptied(&self, node: NodeId) -> bool {
        let came_empty = self.all_members(node).next().is_none() && self.all_elements(node).next().is_none();
        !came_empty && self.is_empty(node)
    }

    /// Every member of every object, at any depth, below a removed value too, in the order of the text.
    pub(super) fn all_members_below_root(&self) -> impl Iterator<Item = Member> {
        let keys = self.nodes.iter().enumerate().filter(|(_, node)| node.kind == Kind::Key);
        keys.map(|(index, _)| Member { key: NodeId(index), value: NodeId(index + 1) })
    }

    /// Whether a pass has taken `node` out.
    pub(super) fn is_removed(&self, node: NodeId) -> bool {
        self.nodes[node.0].removed
    }

    /// Takes out a value: an element, or a member together with its key.
    pub fn remove(&mut self, value: NodeId) {
        self.nodes[value.0].removed = true;
    }

    /// Takes out the members of an object for which `unwanted` says so, and tells whether there was one.
    pub fn remove_members(&mut self, object: NodeId, mut unwanted: impl FnMut(&Self, &str, NodeId) -> bool) -> bool {
        let doomed: Vec<NodeId> = self
            .members(object)
            .filter(|member| unwanted(self, &self.unescaped(member.key), member.value))
            .map(|member| member.value)
            .collect();
        doomed.iter().for_each(|&value| self.remove(value));
        !doomed.is_empty()
    }

    /// Takes out the elements of an array for which `unwanted` says so, and then an array that this has emptied:
    /// one that came empty stays.
    pub(super) fn remove_elements(&mut self, array: NodeId, mut unwanted: impl FnMut(&Self, NodeId) -> bool) {
        let doomed: Vec<NodeId> = self.elements(array).filter(|&element| unwanted(self, element)).collect();
        doomed.iter().for_each(|&element| self.remove(element));
        if !doomed.is_empty() && self.is_empty(array) {
            self.remove(array);
        }
    }

    /// As [`Self::remove_members`], and then takes out an object that this has emptied: one that came empty stays.
    pub(super) fn prune_members(&mut self, object: NodeId, unwanted: impl FnMut(&Self, &str, NodeId) -> bool) {
        if self.remove_members(object, unwanted) && self.is_empty(object) {
            self.remove(object);
        }
    }
}

/// A member of an object.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Its name: a node of kind [`Kind::Key`].
    pub key: NodeId,
    /// Its value.
    pub value: NodeId,
}

/// The value of a string whose escapes the parser has checked.
fn unescape(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let escape = rest.as_bytes().get(at + 1).copied().unwrap_or_default();
        rest = rest.get(at + 2..).unwrap_or_default();
        match escape {
            b'u' => {
                let (character, taken) = unicode(rest);
                text.push(character);
                rest = &rest[taken..];
            }
            b'b' => text.push('\u{8}'),
            b'f' => text.push('\u{c}'),
            b'n' => text.push('\n'),
            b'r' => text.push('\r'),
            b't' => text.push('\t'),
            same => text.push(char::from(same)),
        }
    }
    text.push_str(rest);
    text
}

/// The character of the `\u` escape whose digits `rest` starts with, and how many bytes of `rest` it takes.
fn unicode(rest: &str) -> (char, usize) {
    let unit = |at: usize| rest.get(at..at + 4).and_then(|digits| u32::from_str_radix(digits, 16).ok());
    let first = unit(0).unwrap_or_default();
    if (0xD800..0xDC00).contains(&first)
        && rest.get(4..6) == Some("\\u")
        && let Some(second @ 0xDC00..0xE000) = unit(6)
    {
        let pair = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
        return (char::from_u32(pair).unwrap_or(char::REPLACEMENT_CHARACTER), 10);
    }
    (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn strings(json: &str) -> Vec<String> {
        let document = Document::parse(json).unwrap();
        let list = document.get(document.root(), "a").unwrap();
        document.elements(list).map(|node| document.string(node).unwrap().into_owned()).collect()
    }

    #[test]
    fn escapes_are_decoded_and_lone_surrogates_replaced() {
        let json = r#"{"\u0061":["plain","\"\\\/\b\f\n\r\t","\u00fc\uD83D\ude00","\ud83d","\ude00x","\ud83d\ud83d\ude00","\ud83d\n","\ud83d\u0041"]}"#;
        let expected =
            ["plain", "\"\\/\u{8}\u{c}\n\r\t", "ü😀", "\u{fffd}", "\u{fffd}x", "\u{fffd}😀", "\u{fffd}\n", "\u{fffd}A"];
        assert_eq!(strings(json), expected);
    }

    #[test]
    fn members_and_elements_skip_what_is_removed() {
        let mut document = Document::parse(r#" { "a" : [ 1 , {"x":[]} , null ] , "b" : { } , "c" : true } "#).unwrap();
        let root = document.root();
        let list = document.get(root, "a").unwrap();
        let kinds: Vec<_> = document.elements(list).map(|node| document.kind(node)).collect();
        assert_eq!(kinds, [Kind::Number, Kind::Object, Kind::Null]);
        let second = document.elements(list).nth(1).unwrap();
        assert_eq!(document.raw(second), r#"{"x":[]}"#);

        document.remove(second);
        assert_eq!(document.elements(list).map(|node| document.raw(node)).collect::<Vec<_>>(), ["1", "null"]);
        assert!(document.remove_members(root, |document, key, value| key == "b" && document.is_empty(value)));
        assert!(!document.remove_members(root, |_, key, _| key == "b"));
        assert_eq!(document.get(root, "b"), None);
        let keys: Vec<_> = document.members(root).map(|member| document.string(member.key).unwrap()).collect();
        assert_eq!(keys, ["a", "c"]);
        assert_eq!(document.find(&["a", "x"]), None);
        assert_eq!(document.get(document.get(root, "c").unwrap(), "c"), None);
    }

    #[test]
    fn what_is_no_json_object_is_refused_with_its_offset() {
        for (json, offset) in [
            ("", 0),
            (" ", 1),
            ("{", 1),
            ("{]", 1),
            ("{\"a\"", 4),
            ("{\"a\":", 5),
            ("{\"a\":}", 5),
            ("{\"a\":1,}", 7),
            ("{,}", 1),
            ("{\"a\":[1,]}", 8),
            ("{\"a\":[1}", 7),
            ("{\"a\":1]", 6),
            ("{\"a\":01}", 6),
            ("{\"a\":-}", 6),
            ("{\"a\":1.}", 7),
            ("{\"a\":.5}", 5),
            ("{\"a\":1e}", 7),
            ("{\"a\":+1}", 5),
            ("{\"a\":tru}", 8),
            ("{\"a\":NaN}", 5),
            ("{\"a\":\"\\x\"}", 7),
            ("{\"a\":\"\\u12g4\"}", 10),
            ("{\"a\":\"\n\"}", 6),
            ("{\"a\":\"", 6),
            ("{a:1}", 1),
            ("{'a':1}", 1),
            ("{\"a\":1}x", 7),
            ("{\"a\":1}{}", 7),
            ("\u{feff}{}", 0),
            ("{\"a\" 1}", 5),
            ("{\"a\":1 \"b\":2}", 7),
            ("{}\0", 2),
        ] {
            assert_eq!(Document::parse(json).unwrap_err(), SanitizeError::NotJson { offset }, "{json}");
        }
        for json in ["[]", "\"a\"", "1", "-1", "true", "null"] {
            assert_eq!(Document::parse(json).unwrap_err(), SanitizeError::NotAnObject, "{json}");
        }
    }

    #[test]
    fn depth_and_size_are_bounded() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(Document::parse(&nested(MAX_DEPTH - 1)).is_ok());
        assert_eq!(Document::parse(&nested(MAX_DEPTH)).unwrap_err(), SanitizeError::TooDeep { limit: MAX_DEPTH });
        assert_eq!(Document::parse(&nested(1_000_000)).unwrap_err(), SanitizeError::TooDeep { limit: MAX_DEPTH });
        let wide = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
        assert!(Document::parse(&wide(MAX_BYTES)).is_ok());
        assert_eq!(Document::parse(&wide(MAX_BYTES + 1)).unwrap_err(), SanitizeError::TooLarge { limit: MAX_BYTES });
    }

    proptest! {
        #[test]
        fn it_accepts_exactly_what_serde_json_accepts(json in r#"\{("[a\\u0-9"]{0,3}"?:?([\[\]{},:0-9.eE+\-" \\ntfu]|true|null|"a"){0,8}){0,3}\}?"#) {
            let theirs = serde_json::from_str::<serde_json::Value>(&json);
            let range = theirs.as_ref().is_err_and(|error| error.to_string().contains("out of range"));
            // serde_json refuses lone surrogates and numbers beyond f64; both are fine here.
            prop_assume!(!range && !json.contains("\\u"));
            prop_assert_eq!(Document::parse(&json).is_ok(), theirs.is_ok_and(|value| value.is_object()), "{}", json);
        }

        #[test]
        fn no_text_panics(json in "\\PC*") {
            let read = Document::parse(&json).is_ok();
            prop_assert!(!read || json.trim_start().starts_with('{'), "read");
        }
    }
}
