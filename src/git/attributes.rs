//! Paths that git would store as something else than what is written: those under a clean filter, such as that of
//! git-crypt or LFS. fast-import runs no filter, so such a path would be committed in clear; its target is refused.
//!
//! What counts are the `.gitattributes` files of the branch. `text` and `eol` change nothing about files that have no
//! carriage returns, and ours have none.

use crate::resource::{NamespacedName, Oid, RepoPath};
use std::collections::{BTreeMap, HashSet};

/// The name of the files that hold attributes.
pub const FILE_NAME: &str = ".gitattributes";

/// The attributes that make git store something else.
pub const HARMFUL: [&str; 3] = ["filter", "ident", "working-tree-encoding"];

/// The files with attributes at, above and below our folders: path -> blob id.
pub type AttributeFiles = BTreeMap<String, Oid>;

/// A path that must not be written, and the attribute that says so, such as `filter=git-crypt`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filtered {
    /// The path.
    pub path: RepoPath,
    /// The attribute.
    pub attribute: String,
}

impl Filtered {
    /// One sentence that says what is wrong, and what to do.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Self { path, attribute } = self;
        format!(
            "{path:?} has the attribute {attribute:?} on the branch: git would not store it as it is written here, and no \
             filter is run, so nothing is written for this target; take the attribute off this path in {FILE_NAME}, leave \
             the type out of the rules, or choose another spec.baseFolder",
            path = path.as_str()
        )
    }
}

/// What `git update-index -z --index-info` reads, to make an index of `files`.
#[must_use]
pub fn index_info(files: &AttributeFiles) -> Vec<u8> {
    files.iter().flat_map(|(path, oid)| format!("100644 {oid}\t{path}\0").into_bytes()).collect()
}

/// What `git check-attr -z --stdin` reads.
#[must_use]
pub fn questions(paths: &[RepoPath]) -> Vec<u8> {
    paths.iter().flat_map(|path| format!("{path}\0").into_bytes()).collect()
}

/// Reads the answer of `git check-attr -z` for all of [`HARMFUL`] about `paths`; `None` unless it says something about
/// each.
#[must_use]
pub fn parse(answer: &[u8], paths: &[RepoPath]) -> Option<Vec<Filtered>> {
    let mut fields = answer.split(|byte| *byte == 0).map(|field| std::str::from_utf8(field).ok());
    let mut filtered = Vec::new();
    for path in paths {
        for attribute in HARMFUL {
            let (told, name, value) = (fields.next()??, fields.next()??, fields.next()??);
            if told != path.as_str() || name != attribute {
                return None;
            }
            if !is_harmless(attribute, value) {
                let attribute = if value == "set" { attribute.to_owned() } else { format!("{attribute}={value}") };
                filtered.push(Filtered { path: path.clone(), attribute });
            }
        }
    }
    (fields.next() == Some(Some("")) && fields.next().is_none()).then_some(filtered)
}

fn is_harmless(attribute: &str, value: &str) -> bool {
    let is_utf8 = || ["utf-8", "utf8"].iter().any(|name| value.eq_ignore_ascii_case(name));
    matches!(value, "unspecified" | "unset") || (attribute == "working-tree-encoding" && is_utf8())
}

/// What is known of the paths of one branch, as long as its attributes stay as they are.
#[derive(Debug, Default)]
pub struct AttributeGuard {
    /// `None` before anything was seen.
    files: Option<AttributeFiles>,
    /// Whether their content is at hand.
    has_files: bool,
    harmless: HashSet<RepoPath>,
    refused: BTreeMap<NamespacedName, Filtered>,
}

impl AttributeGuard {
    /// Takes over what the branch has now; returns whether it had something else before.
    pub fn observe(&mut self, files: &AttributeFiles) -> bool {
        if self.files.as_ref() == Some(files) {
            return false;
        }
        self.has_files = false;
        self.harmless.clear();
        self.refused.clear();
        self.files.replace(files.clone()).is_some()
    }

    /// Whether the content of the files is at hand.
    #[must_use]
    pub const fn has_files(&self) -> bool {
        self.has_files
    }

    /// Notes that it is.
    pub const fn note_files(&mut self) {
        self.has_files = true;
    }

    /// Forgets who was refused, so that all are judged again; returns who it was.
    pub fn pardon(&mut self) -> Vec<NamespacedName> {
        std::mem::take(&mut self.refused).into_keys().collect()
    }

    /// Those of `paths` that nothing is known of, each once.
    pub fn unknown<'a>(&self, paths: impl Iterator<Item = &'a RepoPath>) -> Vec<RepoPath> {
        let mut asked = HashSet::new();
        paths.filter(|path| !self.harmless.contains(*path) && asked.insert(*path)).cloned().collect()
    }

    /// Notes that `paths` are stored as they are written.
    pub fn allow(&mut self, paths: impl IntoIterator<Item = RepoPath>) {
        self.harmless.extend(paths);
    }

    /// Notes that nothing is written for `target`.
    pub fn refuse(&mut self, target: NamespacedName, because: Filtered) {
        self.refused.entry(target).or_insert(because);
    }

    /// Why nothing is written for `target`.
    #[must_use]
    pub fn refusal(&self, target: &NamespacedName) -> Option<&Filtered> {
        self.refused.get(target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> RepoPath {
        RepoPath::new(name).unwrap()
    }

    fn answer(path: &str, values: [&str; 3]) -> String {
        HARMFUL.iter().zip(values).map(|(name, value)| format!("{path}\0{name}\0{value}\0")).collect()
    }

    #[test]
    fn only_what_changes_the_stored_bytes_is_harmful() {
        let none = "unspecified";
        for (values, expected) in [
            ([none, none, none], None),
            (["unset", "unset", "unset"], None),
            ([none, none, "UTF-8"], None),
            (["git-crypt", none, none], Some("filter=git-crypt")),
            (["set", none, none], Some("filter")),
            (["", none, none], Some("filter=")),
            ([none, "set", none], Some("ident")),
            ([none, none, "UTF-16"], Some("working-tree-encoding=UTF-16")),
        ] {
            let found = parse(answer("a/b", values).as_bytes(), &[path("a/b")]).unwrap();
            let found: Vec<&str> = found.iter().map(|filtered| filtered.attribute.as_str()).collect();
            assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{values:?}");
        }
    }

    #[test]
    fn an_answer_that_does_not_fit_is_none() {
        let (whole, paths) = (answer("a", ["unset"; 3]) + &answer("b", ["unset"; 3]), [path("a"), path("b")]);
        assert_eq!(parse(whole.as_bytes(), &paths), Some(Vec::new()));
        assert_eq!(parse(b"", &[]), Some(Vec::new()));
        assert_eq!(parse(whole.as_bytes(), &paths[..1]), None);
        assert_eq!(parse(&whole.as_bytes()[..whole.len() - 1], &paths), None);
        assert_eq!(parse(answer("a", ["unset"; 3]).as_bytes(), &paths), None);
        assert_eq!(parse(whole.replace("ident", "idEnt").as_bytes(), &paths), None);
        assert_eq!(parse(b"", &paths), None);
    }

    #[test]
    fn what_is_known_lasts_as_long_as_the_attributes() {
        let target = NamespacedName::new("team", "live");
        let files = |oid: &str| AttributeFiles::from([(FILE_NAME.to_owned(), oid.repeat(40).parse().unwrap())]);
        let mut guard = AttributeGuard::default();
        assert!(!guard.observe(&files("1")), "nothing was known before");
        guard.allow([path("a")]);
        guard.refuse(target.clone(), Filtered { path: path("b"), attribute: "filter=x".into() });
        assert!(!guard.observe(&files("1")));
        let paths = [path("a"), path("b"), path("b")];
        assert_eq!(guard.unknown(paths.iter()), [path("b")]);
        assert!(guard.refusal(&target).unwrap().sentence().contains("\"b\" has the attribute \"filter=x\""));
        assert_eq!(guard.pardon(), std::slice::from_ref(&target));
        assert_eq!(guard.refusal(&target), None);
        guard.note_files();
        assert!(guard.observe(&files("2")));
        assert!(!guard.has_files());
        assert_eq!(guard.unknown(paths.iter()), [path("a"), path("b")]);
    }
}
