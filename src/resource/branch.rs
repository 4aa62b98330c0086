//! Branch names and the patterns that admit them.

use super::glob;
use std::fmt;

/// A branch name that `git check-ref-format --branch` accepts, without `refs/heads/`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BranchName(String);

/// A branch name that git would refuse.
#[derive(Debug, thiserror::Error)]
#[error("{name:?} is not a branch name: {reason}")]
pub struct InvalidBranchName {
    name: String,
    reason: &'static str,
}

impl BranchName {
    /// Checks `name` against the rules of `git check-ref-format`.
    ///
    /// # Errors
    /// Says which rule the name breaks.
    pub fn new(name: &str) -> Result<Self, InvalidBranchName> {
        match broken_rule(name) {
            None => Ok(Self(name.to_owned())),
            Some(reason) => Err(InvalidBranchName { name: name.chars().take(80).collect(), reason }),
        }
    }

    /// The name, as in `main`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The full ref, as in `refs/heads/main`.
    #[must_use]
    pub fn to_ref(&self) -> String {
        format!("refs/heads/{}", self.0)
    }
}

fn broken_rule(name: &str) -> Option<&'static str> {
    if name.is_empty() || name.len() > 200 {
        return Some("it must have 1 to 200 bytes");
    }
    if name.starts_with('-') || name == "@" || name == "HEAD" {
        return Some("it must not start with `-`, nor be `@` or `HEAD`");
    }
    if name.contains("..") || name.contains("@{") || name.contains("//") {
        return Some("it must not contain `..`, `@{` or `//`");
    }
    if name.ends_with('.') || name.starts_with('/') || name.ends_with('/') {
        return Some("it must not end in `.`, nor start or end with `/`");
    }
    if name.chars().any(|c| c.is_control() || " ~^:?*[\\".contains(c)) {
        return Some("it must not contain spaces, control characters or any of ~^:?*[\\");
    }
    if name.split('/').any(|part| part.starts_with('.') || part.ends_with(".lock")) {
        return Some("no part of it may start with `.` or end in `.lock`");
    }
    None
}

impl fmt::Display for BranchName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An exact branch name, or a glob in which `*` stands for any run of characters, `/` included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BranchPattern(String);

impl BranchPattern {
    /// A pattern as it is written in `spec.allowedBranches`.
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        Self(pattern.to_owned())
    }

    /// Whether `branch` is admitted.
    #[must_use]
    pub fn admits(&self, branch: &BranchName) -> bool {
        glob::matches(&self.0, branch.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_git_refuses_are_refused() {
        for name in ["main", "release/1.2", "feature/a-b_c", "ä"] {
            assert!(BranchName::new(name).is_ok(), "{name}");
        }
        for name in [
            "",
            "-x",
            "@",
            "HEAD",
            "a..b",
            "a@{b",
            "a//b",
            "a.",
            "/a",
            "a/",
            "a b",
            "a~b",
            "a^b",
            "a:b",
            "a?b",
            "a*b",
            "a[b",
            "a\\b",
            "a\nb",
            ".a",
            "a/.b",
            "a.lock",
            "a.lock/b",
            "--upload-pack=x",
        ] {
            assert!(BranchName::new(name).is_err(), "{name}");
        }
    }

    #[test]
    fn patterns_admit_exact_names_and_globs() {
        let table = [
            ("main", "main", true),
            ("main", "main2", false),
            ("release/*", "release/1", true),
            ("release/*", "release/1/2", true),
            ("release/*", "releases", false),
            ("*", "anything/at/all", true),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("", "main", false),
        ];
        for (pattern, branch, expected) in table {
            let branch = BranchName::new(branch).unwrap();
            assert_eq!(BranchPattern::new(pattern).admits(&branch), expected, "{pattern} {branch}");
        }
    }
}
