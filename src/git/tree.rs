//! What the branch holds below our folders: path -> blob id, and what stands in the way of a path.

use super::attributes::{AttributeFiles, FILE_NAME};
use crate::resource::{BaseFolder, Oid, RepoPath};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// Mode of a folder in a tree.
const FOLDER: &str = "040000";
/// Mode of a plain file in a tree.
const PLAIN_FILE: &str = "100644";

/// Path -> blob id of every file below our folders.
#[derive(Clone, Debug, Default)]
pub struct TreeIndex {
    files: BTreeMap<RepoPath, Entry>,
    /// What is no plain file (symlinks, submodules, executables) and what no [`RepoPath`] can name.
    foreign: BTreeSet<String>,
    /// `None` before anything was read.
    attributes: Option<AttributeFiles>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    oid: Oid,
    /// Whether we are known to have made these bytes. A file that somebody else made may say the same in other words.
    ours: bool,
}

impl TreeIndex {
    /// Reads the answer of `git ls-tree -r -z`, keeping what lies below one of `folders`, and whatever stands where one
    /// of them would have to be.
    #[must_use]
    pub fn parse<'a>(listing: &[u8], folders: impl Iterator<Item = &'a BaseFolder> + Clone) -> Self {
        let prefixes: Vec<String> = folders.map(BaseFolder::prefix).collect();
        let mut index = Self::default();
        let mut attributes = AttributeFiles::new();
        for entry in listing.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()) {
            let Some((mode, oid, path)) = parse_entry(entry) else { continue };
            // A folder is in nobody's way.
            if mode == FOLDER {
                continue;
            }
            if path.rsplit('/').next() == Some(FILE_NAME)
                && let Ok(oid) = oid.parse()
            {
                attributes.insert(path.clone(), oid);
            }
            let ours =
                prefixes.iter().any(|prefix| path.starts_with(prefix) || prefix.starts_with(&format!("{path}/")));
            if !ours {
                continue;
            }
            match (RepoPath::new(&path), oid.parse()) {
                (Ok(path), Ok(oid)) if mode == PLAIN_FILE => {
                    index.files.insert(path, Entry { oid, ours: false });
                }
                _ => {
                    index.foreign.insert(path);
                }
            }
        }
        index.attributes = Some(attributes);
        index
    }

    /// The files with attributes in what was read; `None` before anything was.
    #[must_use]
    pub const fn attributes(&self) -> Option<&AttributeFiles> {
        self.attributes.as_ref()
    }

    /// The blob at `path`.
    #[must_use]
    pub fn get(&self, path: &RepoPath) -> Option<Oid> {
        self.files.get(path).map(|entry| entry.oid)
    }

    /// The blob at `path`, unless we are known to have made it.
    #[must_use]
    pub fn doubtful(&self, path: &RepoPath) -> Option<Oid> {
        self.files.get(path).filter(|entry| !entry.ours).map(|entry| entry.oid)
    }

    /// Notes that `path` now holds `oid`, which we made.
    pub fn insert(&mut self, path: RepoPath, oid: Oid) {
        self.files.insert(path, Entry { oid, ours: true });
    }

    /// Notes that `path` still holds `oid`, which somebody else made.
    pub fn leave(&mut self, path: RepoPath, oid: Oid) {
        self.files.insert(path, Entry { oid, ours: false });
    }

    /// Takes over what `before` knew of files that are still the same.
    pub fn inherit(&mut self, before: &Self) {
        for (path, entry) in &mut self.files {
            entry.ours |= before.files.get(path).is_some_and(|known| known.ours && known.oid == entry.oid);
        }
    }

    /// Notes that `path` is gone.
    pub fn remove(&mut self, path: &RepoPath) {
        self.files.remove(path);
    }

    /// The files whose path starts with `prefix`.
    pub fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a RepoPath, Oid)> {
        let from = (Bound::Included(prefix), Bound::Unbounded);
        self.files
            .range::<str, _>(from)
            .take_while(move |(path, _)| path.as_str().starts_with(prefix))
            .map(|(path, entry)| (path, entry.oid))
    }

    /// The names of the folders in the folder that `prefix` is, in order. Looks at a few files of each only.
    #[must_use]
    pub fn folders_in(&self, prefix: &str) -> Vec<&str> {
        let mut folders = Vec::new();
        let mut from = Bound::Included(prefix.to_owned());
        while let Some((path, _)) =
            self.files.range::<str, _>((from.as_ref().map(String::as_str), Bound::Unbounded)).next()
            && let Some(rest) = path.as_str().strip_prefix(prefix)
        {
            match rest.split_once('/') {
                Some((folder, _)) => {
                    folders.push(folder);
                    // The first path that sorts after all that start with the folder and its slash.
                    from = Bound::Included(format!("{prefix}{folder}0"));
                }
                None => from = Bound::Excluded(path.to_string()),
            }
        }
        folders
    }

    /// Whether a file at `path` would replace something foreign: a file or link where a folder must be, a folder, link
    /// or executable where the file must be. fast-import would replace them without a word.
    #[must_use]
    pub fn obstacle(&self, path: &RepoPath) -> Option<String> {
        if self.foreign.contains(path.as_str()) {
            return Some(path.to_string());
        }
        let above = path.ancestors().find(|above| self.holds(above)).map(str::to_owned);
        above.or_else(|| {
            let inside = format!("{path}/");
            let foreign = self.foreign.range(inside.clone()..).next().filter(|below| below.starts_with(&inside));
            self.below(&inside).next().map(|(below, _)| below.to_string()).or_else(|| foreign.cloned())
        })
    }

    /// What stands where `folder` or a folder above it must be.
    #[must_use]
    pub fn obstacle_to_folder(&self, folder: &BaseFolder) -> Option<String> {
        folder.levels().find(|level| self.holds(level)).map(str::to_owned)
    }

    fn holds(&self, path: &str) -> bool {
        self.files.contains_key(path) || self.foreign.contains(path)
    }
}

/// `<mode> SP <type> SP <oid> TAB <path>`.
fn parse_entry(entry: &[u8]) -> Option<(&str, &str, String)> {
    let tab = entry.iter().position(|byte| *byte == b'\t')?;
    let mut head = std::str::from_utf8(&entry[..tab]).ok()?.split(' ');
    let (mode, _, oid) = (head.next()?, head.next()?, head.next()?);
    Some((mode, oid, String::from_utf8_lossy(&entry[tab + 1..]).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OID: &str = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";

    fn mk_index(entries: &[(&str, &str)], folders: &[&str]) -> TreeIndex {
        let listing: String = entries.iter().map(|(mode, path)| format!("{mode} blob {OID}\t{path}\0")).collect();
        let folders: Vec<_> = folders.iter().map(|folder| BaseFolder::new(folder).unwrap()).collect();
        TreeIndex::parse(listing.as_bytes(), folders.iter())
    }

    #[test]
    fn only_our_folders_are_kept() {
        let index = mk_index(&[("100644", "a/x"), ("100644", "b/y"), ("100644", "ab/z")], &["a"]);
        assert_eq!(index.below("").map(|(path, _)| path.as_str()).collect::<Vec<_>>(), ["a/x"]);
    }

    #[test]
    fn folders_are_found_without_a_look_at_each_file() {
        let paths =
            ["a/b/v1/x/1", "a/b/v1/y/2", "a/b/v1-x/3", "a/b/v1.yaml", "a/b/v1alpha1/4", "a/b/v2/5/6", "a/c/v3/7"];
        let index = mk_index(&paths.map(|path| ("100644", path)), &["a"]);
        assert_eq!(index.folders_in("a/b/"), ["v1-x", "v1", "v1alpha1", "v2"]);
        assert_eq!(index.folders_in("a/d/"), Vec::<&str>::new());
    }

    #[test]
    fn foreign_things_in_the_way_are_seen() {
        let entries = [
            ("100644", "a/file"),
            ("120000", "a/link"),
            ("100755", "a/run.yaml"),
            ("160000", "a/sub"),
            ("100644", "a/d.yaml/x"),
            ("120000", "a/e.yaml/link"),
            ("100644", "c"),
        ];
        let index = mk_index(&entries, &["a", "c/d"]);
        for (path, blocked) in [
            ("a/new.yaml", false),
            ("a/file", false),
            ("a/file/x.yaml", true),
            ("a/link/x.yaml", true),
            ("a/link", true),
            ("a/run.yaml", true),
            ("a/sub/x.yaml", true),
            ("a/d.yaml", true),
            ("a/e.yaml", true),
            ("c/d/x.yaml", true),
        ] {
            assert_eq!(index.obstacle(&RepoPath::new(path).unwrap()).is_some(), blocked, "{path}");
        }
        assert_eq!(index.obstacle_to_folder(&BaseFolder::new("c/d").unwrap()).as_deref(), Some("c"));
        assert_eq!(index.obstacle_to_folder(&BaseFolder::new("a").unwrap()), None);
    }
}
