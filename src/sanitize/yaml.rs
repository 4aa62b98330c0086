//! The deterministic emitter: one object, one sequence of bytes, whatever the server's order of keys was.
//!
//! Block style, two spaces a level, the dash of a sequence in the column of its key (as `kubectl` and
//! `sigs.k8s.io/yaml` write it), nothing wrapped, LF, one final newline, no `---`.

use super::SanitizeError;
use super::json::{Document, Kind, NodeId};
use super::scalar::{self, STEP, Style};
use crate::resource::ResourceType;
use std::borrow::Cow;

/// The largest YAML that is written, in bytes. Ten times what etcd stores; deep nesting multiplies a text.
pub const MAX_YAML_BYTES: usize = 16 * 1024 * 1024;

/// The longest key, as written and in bytes, that stands before its `:`. Readers look for the colon in the
/// first 1024 characters only; a longer key is marked with `? `.
const LONGEST_SIMPLE_KEY: usize = 1000;

/// What stands in the place of a top-level key that the type decides, not the object.
const FROM_THE_TYPE: [&str; 2] = ["apiVersion", "kind"];

/// Where a mapping stands, as far as that decides the order of its keys.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Root,
    Metadata,
    Below,
}

impl Place {
    /// Keys with a lower rank come first; within a rank they are sorted by their bytes.
    fn rank(self, key: &str) -> u8 {
        match (self, key) {
            (Self::Root, "metadata") | (Self::Metadata, "name") => 0,
            (Self::Metadata, "namespace") => 1,
            (Self::Metadata, "labels") => 2,
            (Self::Metadata, "annotations") => 3,
            _ => 4,
        }
    }
}

/// The YAML of what is left of `document`, with the `apiVersion` and `kind` of its type.
///
/// # Errors
///
/// [`SanitizeError::DuplicateKey`], and [`SanitizeError::TooLarge`] beyond [`MAX_YAML_BYTES`].
pub(super) fn emit(document: &Document<'_>, kind: &ResourceType) -> Result<Vec<u8>, SanitizeError> {
    let out = String::with_capacity(document.raw(document.root()).len());
    let mut emitter = Emitter { document, out, members: Vec::with_capacity(32), last_kept: None };
    for (key, value) in FROM_THE_TYPE.into_iter().zip([kind.api_version().as_str(), kind.kind.as_str()]) {
        scalar::write_key(&mut emitter.out, key);
        emitter.out.push_str(": ");
        scalar::write_inline(&mut emitter.out, value, scalar::key_style(value));
        emitter.out.push('\n');
    }
    emitter.mapping(document.root(), 0, Place::Root, false)?;
    Ok(emitter.finish().into_bytes())
}

struct Entry<'a> {
    rank: u8,
    key: Cow<'a, str>,
    value: NodeId,
}

struct Emitter<'d, 'a> {
    document: &'d Document<'a>,
    out: String,
    /// The sorted members of all mappings that are open, the innermost last.
    members: Vec<Entry<'a>>,
    /// The last literal that ends with empty lines, and where it starts.
    last_kept: Option<(usize, NodeId)>,
}

impl<'a> Emitter<'_, 'a> {
    /// A file ends with one newline: empty lines at its end, which editors trim, go into double quotes.
    fn finish(mut self) -> String {
        if let Some((start, node)) = self.last_kept.filter(|_| scalar::keeps_line_breaks(&self.out)) {
            let text = self.text(node);
            self.out.truncate(start);
            scalar::write_inline(&mut self.out, &text, Style::Double);
            self.out.push('\n');
        }
        self.out
    }

    fn text(&self, node: NodeId) -> Cow<'a, str> {
        self.document.string(node).unwrap_or_default()
    }

    /// The lines of a mapping; the first one continues a line when it stands behind a dash.
    fn mapping(&mut self, node: NodeId, indent: usize, place: Place, behind_dash: bool) -> Result<(), SanitizeError> {
        let first = self.members.len();
        self.gather(node, place);
        let end = self.members.len();
        if let Some([twice, _]) = self.members[first..].array_windows().find(|[a, b]| a.key == b.key) {
            return Err(SanitizeError::DuplicateKey { key: twice.key.chars().take(80).collect() });
        }
        for index in first..end {
            self.check_size()?;
            let Entry { key, value, .. } = &mut self.members[index];
            let (key, value) = (std::mem::take(key), *value);
            if index > first || !behind_dash {
                scalar::indentation(&mut self.out, indent);
            }
            self.key(&key, indent);
            let place = if place == Place::Root && key == "metadata" { Place::Metadata } else { Place::Below };
            self.member_value(value, indent, place)?;
        }
        self.members.truncate(first);
        Ok(())
    }

    /// Puts the members of an object, sorted, at the end of the list.
    fn gather(&mut self, node: NodeId, place: Place) {
        let first = self.members.len();
        for member in self.document.members(node) {
            let key = self.text(member.key);
            if place != Place::Root || !FROM_THE_TYPE.contains(&key.as_ref()) {
                self.members.push(Entry { rank: place.rank(&key), key, value: member.value });
            }
        }
        self.members[first..].sort_unstable_by(|a, b| (a.rank, &a.key).cmp(&(b.rank, &b.key)));
    }

    /// A key and its colon.
    fn key(&mut self, key: &str, indent: usize) {
        let start = self.out.len();
        scalar::write_key(&mut self.out, key);
        if self.out.len() - start > LONGEST_SIMPLE_KEY {
            self.out.insert_str(start, "? ");
            self.out.push('\n');
            scalar::indentation(&mut self.out, indent);
        }
        self.out.push(':');
    }

    /// What follows the colon of a key at `indent`.
    fn member_value(&mut self, node: NodeId, indent: usize, place: Place) -> Result<(), SanitizeError> {
        match self.document.kind(node) {
            Kind::Object if !self.document.is_empty(node) => {
                self.out.push('\n');
                self.mapping(node, indent + STEP, place, false)
            }
            Kind::Array if !self.document.is_empty(node) => {
                self.out.push('\n');
                self.sequence(node, indent, false)
            }
            _ => {
                self.out.push(' ');
                self.scalar(node, indent);
                Ok(())
            }
        }
    }

    /// The lines of a sequence; the first one continues a line when it stands behind a dash.
    fn sequence(&mut self, node: NodeId, indent: usize, behind_dash: bool) -> Result<(), SanitizeError> {
        let document = self.document;
        for (index, element) in document.elements(node).enumerate() {
            self.check_size()?;
            if index > 0 || !behind_dash {
                scalar::indentation(&mut self.out, indent);
            }
            self.out.push_str("- ");
            match document.kind(element) {
                Kind::Object if !document.is_empty(element) => {
                    self.mapping(element, indent + STEP, Place::Below, true)?;
                }
                Kind::Array if !document.is_empty(element) => self.sequence(element, indent + STEP, true)?,
                _ => self.scalar(element, indent),
            }
        }
        Ok(())
    }

    /// A scalar, `{}` or `[]`, and the end of the line.
    fn scalar(&mut self, node: NodeId, indent: usize) {
        match self.document.kind(node) {
            Kind::Object => self.out.push_str("{}"),
            Kind::Array => self.out.push_str("[]"),
            Kind::Number | Kind::Bool | Kind::Null => self.out.push_str(self.document.raw(node)),
            Kind::Key | Kind::String => {
                let text = self.text(node);
                match scalar::style(&text) {
                    Style::Literal { indicator } => {
                        if scalar::keeps_line_breaks(&text) {
                            self.last_kept = Some((self.out.len(), node));
                        }
                        scalar::write_literal(&mut self.out, &text, indicator, indent);
                    }
                    inline => scalar::write_inline(&mut self.out, &text, inline),
                }
            }
        }
        self.out.push('\n');
    }

    fn check_size(&self) -> Result<(), SanitizeError> {
        if self.out.len() > MAX_YAML_BYTES {
            return Err(SanitizeError::TooLarge { limit: MAX_YAML_BYTES });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{object, render};
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn mk_kind() -> ResourceType {
        let text = str::to_owned;
        ResourceType {
            group: text("example.com"),
            version: text("v1"),
            resource: text("things"),
            kind: text("Thing"),
            namespaced: true,
        }
    }

    /// The YAML of `json` without the two lines of the type.
    fn yaml(json: &str) -> String {
        let bytes = emit(&Document::parse(json).unwrap(), &mk_kind()).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        text.strip_prefix("apiVersion: example.com/v1\nkind: Thing\n").unwrap().to_owned()
    }

    #[test]
    fn shapes() {
        for (json, expected) in [
            ("{}", ""),
            (
                r#"{"kind":"Other","apiVersion":"v9","a":{"kind":"k","apiVersion":"v"}}"#,
                "a:\n  apiVersion: v\n  kind: k\n",
            ),
            (
                r#"{"Z":1,"a":2,"metadata":{"uid":"u","annotations":{"b":"1","a":"2"},"labels":{},"a":null,"namespace":"ns","name":"x"},"B":3}"#,
                "metadata:\n  name: x\n  namespace: ns\n  labels: {}\n  annotations:\n    a: \"2\"\n    b: \"1\"\n  a: null\n  uid: u\nB: 3\nZ: 1\na: 2\n",
            ),
            (
                r#"{"a":{"metadata":{"name":"x","annotations":{}}}}"#,
                "a:\n  metadata:\n    annotations: {}\n    name: x\n",
            ),
            (r#"{"é":1,"z":2,"\u0061":3,"~":4}"#, "a: 3\nz: 2\n\"~\": 4\né: 1\n"),
            (
                r#"{"a":[{"c":1,"b":[2,{"d":[]}]},[[3],[]],{},"x\ny",null]}"#,
                "a:\n- b:\n  - 2\n  - d: []\n  c: 1\n- - - 3\n  - []\n- {}\n- |-\n  x\n  y\n- null\n",
            ),
            (r#"{"a":[[{"b":" x\ny\n"}]]}"#, "a:\n- - b: |2\n       x\n      y\n"),
            (
                r#"{"num":[0,-0,-0.0,1.50,1e3,1E+400,123456789012345678901234567890]}"#,
                "num:\n- 0\n- -0\n- -0.0\n- 1.50\n- 1e3\n- 1E+400\n- 123456789012345678901234567890\n",
            ),
            (r#"{"a":"x\n\n","b":"y\n\n"}"#, "a: |+\n  x\n\nb: \"y\\n\\n\"\n"),
            (r#"{"a":["x\n\n","z"]}"#, "a:\n- |+\n  x\n\n- z\n"),
        ] {
            assert_eq!(yaml(json), expected, "{json}");
        }
    }

    #[test]
    fn a_key_that_is_too_long_for_its_colon_is_marked() {
        let short = "k".repeat(1000);
        let long = "k".repeat(1001);
        assert_eq!(yaml(&format!("{{{short:?}:1}}")), format!("{short}: 1\n"));
        assert_eq!(
            yaml(&format!(r#"{{"a":[{{{long:?}:{{"b":[1]}}}}]}}"#)),
            format!("a:\n- ? {long}\n  :\n    b:\n    - 1\n")
        );
        assert_eq!(yaml(&format!("{{{long:?}:\"x\"}}")), format!("? {long}\n: x\n"));
    }

    #[test]
    fn a_key_that_stands_twice_and_output_without_end_are_refused() {
        let refused = |json: &str| emit(&Document::parse(json).unwrap(), &mk_kind()).unwrap_err();
        let twice = |key: &str| SanitizeError::DuplicateKey { key: key.to_owned() };
        assert_eq!(refused(r#"{"a":1,"b":2,"\u0061":1}"#), twice("a"));
        assert_eq!(refused(r#"{"a":[{"b":1,"b":1}]}"#), twice("b"));
        assert_eq!(refused(r#"{"metadata":{},"spec":1,"metadata":{}}"#), twice("metadata"));
        let deep = format!("{{\"a\":{}1{}{}}}", "[".repeat(199), ",1".repeat(100_000), "]".repeat(199));
        assert_eq!(refused(&deep), SanitizeError::TooLarge { limit: MAX_YAML_BYTES });
    }

    /// What a reader must find in the YAML of `value`.
    fn expected(value: &Value) -> Value {
        let mut expected = value.clone();
        expected["apiVersion"] = json!("example.com/v1");
        expected["kind"] = json!("Thing");
        expected
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn readers_find_the_same_object_and_order_does_not_count(value in object(), seed in any::<u64>()) {
            let mut rng = fastrand::Rng::with_seed(seed);
            let bytes = emit(&Document::parse(&value.to_string()).unwrap(), &mk_kind()).unwrap();
            let again = render(&value, &mut rng);
            prop_assert_eq!(&bytes, &emit(&Document::parse(&again).unwrap(), &mk_kind()).unwrap());

            let text = String::from_utf8(bytes).unwrap();
            prop_assert!(text.ends_with('\n') && !text.ends_with("\n\n") && !text.contains('\r'));
            let libyaml: Value = serde_yaml::from_str(&text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
            prop_assert_eq!(&libyaml, &expected(&value), "{}", text);
            let saphyr: Value = serde_saphyr::from_str(&text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
            prop_assert_eq!(&saphyr, &expected(&value), "{}", text);
        }

        #[test]
        fn mutated_json_never_panics(value in object(), at in any::<prop::sample::Index>(), with in "[\\[{}\"\\\\u,: \\]0-9]{0,3}", cut in any::<bool>()) {
            let mut json = value.to_string();
            let mut at = at.index(json.len());
            while !json.is_char_boundary(at) {
                at -= 1;
            }
            if cut { json.truncate(at) } else { json.insert_str(at, &with) }
            if let Ok(mut document) = Document::parse(&json) {
                prop_assert_eq!(super::super::fingerprint(&document), super::super::fingerprint(&document.clone()));
                match super::super::manifest(&mut document, &mk_kind()) {
                    Ok(manifest) => prop_assert!(!manifest.is_empty()),
                    Err(error) => prop_assert!(matches!(error, SanitizeError::DuplicateKey { .. }), "{error}"),
                }
            }
        }
    }
}
