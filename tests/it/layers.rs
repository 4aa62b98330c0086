//! The layers of the source: a module imports only from lower ones, and some doings have one place only.

use std::path::{Path, PathBuf};

/// Modules by layer, lowest first; those of one line never import each other.
const LAYERS: [&[&str]; 9] = [
    &["api", "resource", "telemetry"],
    &["sanitize", "rules", "attribution"],
    &["change"],
    &["git"],
    &["watch", "webhook"],
    &["controllers", "commands"],
    &["cli"],
    &["app"],
    &["main", "lib"],
];

/// What only one place may do: the text that does it, and where it may stand.
const ONE_PLACE: [(&str, &str); 7] = [
    ("process::Command", "git/cli/"),
    ("Command::new(", "git/cli/"),
    ("patch_status", "controllers/"),
    ("replace_status", "controllers/"),
    ("patch_subresource", "controllers/"),
    ("tokio::spawn(", "app.rs"),
    ("allow(unsafe_code)", "nowhere"),
];

fn layer(module: &str) -> usize {
    LAYERS
        .iter()
        .position(|layer| layer.contains(&module))
        .unwrap_or_else(|| panic!("src/{module} has no layer: add it to LAYERS"))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// Every module of the crate that `text` names with a path, a group of imports included.
fn imports(text: &str) -> Vec<String> {
    let mut modules = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        let group = rest.strip_prefix('{').and_then(|group| group.split_once("};")).map(|(group, _)| group);
        let parts: Vec<&str> = match group {
            Some(group) => group.split(',').collect(),
            None => vec![rest],
        };
        let name =
            |part: &str| part.trim().chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect::<String>();
        modules.extend(parts.into_iter().map(name).filter(|module| !module.is_empty()));
    }
    modules
}

fn violations(file: &str, text: &str) -> Vec<String> {
    let module = file.split('/').next().unwrap().trim_end_matches(".rs");
    let code = || text.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
    let upwards = imports(&code().collect::<Vec<_>>().join("\n"))
        .into_iter()
        .filter(|imported| imported != module && layer(imported) >= layer(module))
        .map(|imported| format!("{file} imports crate::{imported}, which is not below it"));
    let misplaced = ONE_PLACE
        .iter()
        .filter(|_| !file.ends_with("_tests.rs"))
        .filter(|(doing, place)| !file.starts_with(place) && code().any(|line| line.contains(doing)))
        .map(|(doing, place)| format!("{file} has {doing:?}, which belongs into {place}"));
    upwards.chain(misplaced).collect()
}

#[test]
fn modules_import_only_from_lower_layers() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let found: Vec<String> = sources(&root)
        .iter()
        .flat_map(|path| {
            let file = path.strip_prefix(&root).unwrap().to_str().unwrap();
            violations(file, &std::fs::read_to_string(path).unwrap())
        })
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn violations_are_found() {
    for (file, text) in [
        ("resource/id.rs", "use crate::git::pool::Pool;"),
        ("watch/plane.rs", "use crate::webhook::serve;"),
        ("api/refs.rs", "use crate::{\n    sanitize::Document,\n};"),
        ("rules/set.rs", "fn f() { crate::attribution::x() }"),
        ("watch/plane.rs", "let c = std::process::Command::new(\"git\");"),
        ("git/worker.rs", "tokio::process::Command"),
        ("git/worker.rs", "api.patch_status(name)"),
        ("watch/plane.rs", "tokio::spawn(async {});"),
    ] {
        assert!(!violations(file, text).is_empty(), "{file}: {text}");
    }
    for (file, text) in [
        ("git/worker.rs", "use crate::change::Change;\nuse crate::git::pool;"),
        ("git/cli/process.rs", "use tokio::process::Command;"),
        ("watch/plane.rs", "// see crate::app and tokio::spawn(..)"),
    ] {
        assert_eq!(violations(file, text), Vec::<String>::new());
    }
}
