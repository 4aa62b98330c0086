//! Git object ids, and the id that some bytes would have as a blob.

use sha1::Digest as _;
use std::fmt;
use std::str::FromStr;

/// A Git object id of a SHA-1 repository (20 bytes) or a SHA-256 repository (32 bytes).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Oid {
    bytes: [u8; 32],
    len: u8,
}

/// Which hash a repository names its objects by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ObjectFormat {
    /// `sha1`, the default of git.
    #[default]
    Sha1,
    /// `sha256`.
    Sha256,
}

impl ObjectFormat {
    /// The name that git has for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }
}

impl FromStr for ObjectFormat {
    type Err = ParseOidError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "sha1" => Ok(Self::Sha1),
            "sha256" => Ok(Self::Sha256),
            _ => Err(ParseOidError { text: text.chars().take(80).collect() }),
        }
    }
}

impl Oid {
    /// The id that `content` has as a blob in a repository of `format`.
    #[must_use]
    pub fn of_blob(format: ObjectFormat, content: &[u8]) -> Self {
        let header = format!("blob {}\0", content.len());
        match format {
            ObjectFormat::Sha1 => {
                Self::from_digest(&sha1::Sha1::new().chain_update(header).chain_update(content).finalize())
            }
            ObjectFormat::Sha256 => {
                Self::from_digest(&sha2::Sha256::new().chain_update(header).chain_update(content).finalize())
            }
        }
    }

    fn from_digest(digest: &[u8]) -> Self {
        let mut bytes = [0; 32];
        let len = digest.len().min(32);
        bytes[..len].copy_from_slice(&digest[..len]);
        // At most 32, by the line above.
        Self { bytes, len: len as u8 }
    }

    /// The id itself: 20 or 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The first ten hex digits, for people.
    #[must_use]
    pub fn short(&self) -> String {
        self.to_string().chars().take(10).collect()
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Oid({self})")
    }
}

/// A text that is no Git object id.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is not a Git object id: 40 or 64 hex digits are expected")]
pub struct ParseOidError {
    text: String,
}

impl FromStr for Oid {
    type Err = ParseOidError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseOidError { text: text.chars().take(80).collect() };
        let digits = text.as_bytes();
        if digits.len() != 40 && digits.len() != 64 {
            return Err(error());
        }
        let nibble = |digit: u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let (Some(high), Some(low)) = (nibble(pair[0]), nibble(pair[1])) else { return Err(error()) };
            *byte = high << 4 | low;
        }
        // 20 or 32, by the check above.
        Ok(Self { bytes, len: (digits.len() / 2) as u8 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_blob_has_its_well_known_ids() {
        assert_eq!(Oid::of_blob(ObjectFormat::Sha1, b"").to_string(), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
        assert_eq!(
            Oid::of_blob(ObjectFormat::Sha256, b"").to_string(),
            "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813"
        );
    }

    #[test]
    fn text_round_trips_and_everything_else_is_refused() {
        for text in ["e69de29bb2d1d6434b8b29ae775ad8c2e48c5391", &"ab".repeat(32)] {
            assert_eq!(text.parse::<Oid>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "e69de2",
            &"zz".repeat(20),
            &"AB".repeat(20),
            &"ab".repeat(21),
            "-e69de29bb2d1d6434b8b29ae775ad8c2e48c539",
        ] {
            assert!(text.parse::<Oid>().is_err(), "{text}");
        }
    }
}
