//! What the documentation says of itself and of the code is true.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The path and the text of every page.
fn pages() -> Vec<(PathBuf, String)> {
    let dirs = [root().to_owned(), root().join("docs"), root().join("docs/examples")];
    let entries = dirs.iter().flat_map(|dir| std::fs::read_dir(dir).unwrap()).map(|entry| entry.unwrap().path());
    let paths = entries.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    paths.map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
}

/// Links within the documentation lead to a file, and to a heading that it has.
#[test]
fn every_link_leads_somewhere() {
    for (path, markdown) in pages() {
        let links = markdown.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            let text = std::fs::read_to_string(&target);
            let text = text.unwrap_or_else(|error| panic!("{}: {link}: {error}", path.display()));
            let mut anchors = text.lines().filter(|line| line.starts_with('#')).map(anchor_of);
            assert!(anchor.is_empty() || anchors.any(|found| found == anchor), "{}: {link}", path.display());
        }
    }
}

/// How a heading is referred to.
fn anchor_of(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

const KINDS: [&str; 4] = ["git-provider", "git-target", "watch-rule", "cluster-watch-rule"];

fn page(kind: &str) -> String {
    std::fs::read_to_string(root().join(format!("docs/{kind}.md"))).unwrap()
}

/// Every reason and event that the pages of the kinds explain is one that the operator says.
#[test]
fn every_reason_that_is_explained_exists() {
    let said = literals(&root().join("src"));
    for kind in KINDS {
        let page = page(kind);
        let tables = page.split("\n\n").filter(|part| part.starts_with("| reason |") || part.starts_with("| event |"));
        let first_cells = tables.flat_map(|table| table.lines().skip(2)).filter_map(|row| row.split('|').nth(1));
        let explained: BTreeSet<&str> = first_cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
        assert!(!explained.is_empty(), "{kind} explains no reason");
        let unsaid: Vec<_> = explained.into_iter().filter(|word| !said.contains(*word)).collect();
        assert!(unsaid.is_empty(), "docs/{kind}.md explains what nobody says: {unsaid:?}");
    }
}

/// Every reason of a condition and of an event is explained on a page.
#[test]
fn every_reason_is_explained() {
    // Where reasons are made, and what stands there besides in their form.
    const PLACES: [&str; 9] = [
        "controllers/announcements.rs",
        "controllers/events.rs",
        "controllers/outcome",
        "git/classify.rs",
        "git/worker",
        "rules/access.rs",
        "rules/compile.rs",
        "rules/routing.rs",
        "rules/target.rs",
    ];
    const OTHER: [&str; 6] = ["True", "False", "Unknown", "Committed", "GitProvider", "Mirror"];
    let pages: String = KINDS.into_iter().map(page).collect();
    let words = PLACES.iter().flat_map(|place| literals(&root().join("src").join(place)));
    let is_camel = |word: &String| {
        word.starts_with(|c: char| c.is_ascii_uppercase())
            && word.chars().any(|c| c.is_ascii_lowercase())
            && word.chars().all(|c| c.is_ascii_alphabetic())
    };
    let reasons = words.filter(|word| is_camel(word) && !OTHER.contains(&word.as_str()));
    let missing: BTreeSet<_> = reasons.filter(|reason| !pages.contains(&format!("`{reason}`"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Every text between quotes in the file, or in the files of the directory, tests aside.
fn literals(path: &Path) -> BTreeSet<String> {
    if path.is_dir() {
        return std::fs::read_dir(path).unwrap().flat_map(|entry| literals(&entry.unwrap().path())).collect();
    }
    if path.file_stem().unwrap().to_str().unwrap().ends_with("tests") {
        return BTreeSet::new();
    }
    let code = std::fs::read_to_string(path).unwrap();
    let code = code.split("#[cfg(test)]").next().unwrap_or_default();
    // Character literals of a quote would shift all that follows.
    let code = code.replace("'\"'", "").replace("\\\"", "");
    code.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}
