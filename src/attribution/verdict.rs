//! How firmly the author of a change is known.

use super::record::{Record, User};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The largest number of users that a verdict without an author names.
pub const MAX_CANDIDATES: usize = 8;

/// How the author of a change was proven. Ordered: the first is the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tier {
    /// One user's request had this base version and this very content.
    Exact,
    /// One user's request had this base version; deletions and `/scale` carry no content.
    Version,
    /// A list showed the object, so versions may have been missed; one user's request had this very content.
    Relisted,
    /// Only one user's request fits, and it does not pin the version or the content.
    Inferred,
    /// The requests of two or more users fit.
    Ambiguous,
    /// No request fits, or requests that might fit were lost.
    None,
}

impl Tier {
    /// All of them, the strongest first.
    pub const ALL: [Self; 6] =
        [Self::Exact, Self::Version, Self::Relisted, Self::Inferred, Self::Ambiguous, Self::None];

    /// The name in trailers, metrics and the status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Version => "version",
            Self::Relisted => "relisted",
            Self::Inferred => "inferred",
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

    /// Judges the requests that fit a change, each with what it amounts to. Of one user's the strongest counts;
    /// `complete` says that no record that might fit was lost.
    pub(super) fn among(fitting: &[(Arc<Record>, Tier)], complete: bool) -> Self {
        let candidates = users(fitting.iter().map(|(record, _)| record));
        if candidates.len() > 1 {
            return Self { tier: Tier::Ambiguous, author: None, candidates };
        }
        let strongest = fitting.iter().map(|(_, tier)| *tier).min();
        let last = fitting.iter().filter(|(_, tier)| Some(*tier) == strongest).max_by_key(|(record, _)| record.at);
        match last {
            Some((record, tier)) if complete => Self {
                tier: *tier,
                author: Some(Author {
                    user: record.user.clone(),
                    at: record.at,
                    field_manager: record.field_manager.clone(),
                }),
                candidates: Vec::new(),
            },
            _ => Self::none(),
        }
    }

    /// On a change that may be of several versions, by those who sent `records`: whoever made the last of them is not
    /// its author.
    pub(super) fn merged<'a>(records: impl Iterator<Item = &'a Arc<Record>>) -> Self {
        Self { tier: Tier::Relisted, author: None, candidates: users(records) }
    }

    /// The same of a change that shows earlier versions as well, which `others` have made as far as that is known: nobody
    /// is its only author.
    #[must_use]
    pub fn merged_with(self, mut others: BTreeSet<String>) -> Self {
        others.extend(self.candidates);
        others.extend(self.author.map(|author| author.user.name));
        let tier = if others.is_empty() || self.tier == Tier::Ambiguous { self.tier } else { Tier::Relisted };
        Self { tier, author: None, candidates: others.into_iter().take(MAX_CANDIDATES).collect() }
    }

    /// How firmly the author is known.
    #[must_use]
    pub const fn tier(&self) -> Tier {
        self.tier
    }

    /// The proven author; `None` when the tier is [`Tier::Ambiguous`] or [`Tier::None`], or when the change is one of
    /// several versions at once.
    #[must_use]
    pub const fn author(&self) -> Option<&Author> {
        self.author.as_ref()
    }

    /// The names of the users who had a part in it or may have, when there is no author: sorted, distinct, at most
    /// [`MAX_CANDIDATES`]; otherwise empty.
    #[must_use]
    pub fn candidates(&self) -> &[String] {
        &self.candidates
    }
}

/// The distinct users, in order.
fn users<'a>(records: impl Iterator<Item = &'a Arc<Record>>) -> Vec<String> {
    let mut names: Vec<&str> = records.map(|record| record.user.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().take(MAX_CANDIDATES).map(str::to_owned).collect()
}
