//! How firmly the author of a change is known.

use super::record::{Record, User};
use std::sync::Arc;

/// The largest number of candidates that an ambiguous verdict names.
pub const MAX_CANDIDATES: usize = 8;

/// How the author of a change was proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tier {
    /// One user's request had this base version and this very content.
    Exact,
    /// One user's request had this base version; deletions carry no content.
    Version,
    /// The requests of two or more users fit.
    Ambiguous,
    /// No request fits, or requests that might fit were lost.
    None,
}

impl Tier {
    /// The name in trailers, metrics and the status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Version => "version",
            Self::Ambiguous => "ambiguous",
            Self::None => "none",
        }
    }
}

/// A proven author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// Who.
    pub user: User,
    /// When the request was admitted; of several that fit, the last.
    pub at: jiff::Timestamp,
    /// The field manager of that request.
    pub field_manager: Option<String>,
}

/// Who made one change, as far as that is proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    tier: Tier,
    author: Option<Author>,
    candidates: Vec<String>,
}

impl Verdict {
    /// Nobody is known.
    #[must_use]
    pub const fn none() -> Self {
        Self { tier: Tier::None, author: None, candidates: Vec::new() }
    }

    /// Judges the records that fit a change. `proof` is what a single user among them amounts to;
    /// `complete` says that no record that might fit was lost.
    pub(super) fn among(records: &[Arc<Record>], proof: Tier, complete: bool) -> Self {
        let mut names: Vec<&str> = records.iter().map(|record| record.user.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        if names.len() > 1 {
            let candidates = names.into_iter().take(MAX_CANDIDATES).map(str::to_owned).collect();
            return Self { tier: Tier::Ambiguous, author: None, candidates };
        }
        match records.iter().max_by_key(|record| record.at) {
            Some(last) if complete => Self {
                tier: proof,
                author: Some(Author {
                    user: last.user.clone(),
                    at: last.at,
                    field_manager: last.field_manager.clone(),
                }),
                candidates: Vec::new(),
            },
            _ => Self::none(),
        }
    }

    /// How firmly the author is known.
    #[must_use]
    pub const fn tier(&self) -> Tier {
        self.tier
    }

    /// The proven author; `None` when the tier is [`Tier::Ambiguous`] or [`Tier::None`].
    #[must_use]
    pub const fn author(&self) -> Option<&Author> {
        self.author.as_ref()
    }

    /// The user names that fit when two or more do: sorted, distinct, at most [`MAX_CANDIDATES`];
    /// otherwise empty.
    #[must_use]
    pub fn candidates(&self) -> &[String] {
        &self.candidates
    }
}
