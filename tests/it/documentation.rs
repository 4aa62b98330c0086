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

/// Every reason and event that the pages of the kinds explain is one that the operator says.
#[test]
#[ignore = "until all of them are said"]
fn every_reason_that_is_explained_exists() {
    let said = words_of_the_code();
    for kind in ["git-provider", "git-target", "watch-rule", "cluster-watch-rule"] {
        let page = std::fs::read_to_string(root().join(format!("docs/{kind}.md"))).unwrap();
        let tables =
            page.split("\n\n").filter(|part| ["| reason |", "| event |"].iter().any(|head| part.starts_with(head)));
        let first_cells = tables.flat_map(|table| table.lines().skip(2)).filter_map(|row| row.split('|').nth(1));
        let explained: BTreeSet<&str> = first_cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
        assert!(!explained.is_empty(), "{kind} explains no reason");
        let unsaid: Vec<_> = explained.into_iter().filter(|word| !said.contains(*word)).collect();
        assert!(unsaid.is_empty(), "docs/{kind}.md explains what nobody says: {unsaid:?}");
    }
}

/// Every text in the code that could be a reason.
fn words_of_the_code() -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    let mut dirs = vec![root().join("src")];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
                continue;
            }
            let code = std::fs::read_to_string(&path).unwrap();
            let code = code.split("#[cfg(test)]").next().unwrap_or_default();
            words.extend(code.split('"').skip(1).step_by(2).map(str::to_owned));
        }
    }
    words
}
