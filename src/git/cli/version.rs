//! Which git is installed.

use std::fmt;

/// A git version, as in `2.39.5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u32,
    minor: u32,
}

impl Version {
    /// The oldest version that is supported (Debian 12).
    pub const OLDEST: Self = Self { major: 2, minor: 39 };

    /// Reads the answer of `git --version`; `None` when it has another form.
    #[must_use]
    pub fn parse(answer: &str) -> Option<Self> {
        let mut parts = answer.trim().strip_prefix("git version ")?.split(['.', ' ', '-']);
        Some(Self { major: parts.next()?.parse().ok()?, minor: parts.next()?.parse().ok()? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vendors_suffixes_do_not_matter() {
        for (answer, expected) in [
            ("git version 2.39.5\n", Some((2, 39))),
            ("git version 2.47.0.windows.1", Some((2, 47))),
            ("git version 2.50-rc1", Some((2, 50))),
            ("git version 3.0.0 (Vendor Git-154)", Some((3, 0))),
            ("gitk 2.39", None),
            ("git version x", None),
        ] {
            assert_eq!(Version::parse(answer).map(|v| (v.major, v.minor)), expected, "{answer}");
        }
        assert!(Version::parse("git version 2.9.0").unwrap() < Version::OLDEST);
    }
}
