//! What the administrator of the operator decides for everybody.

use super::wildcards::Wildcards;
use crate::resource::HostPolicy;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// What the administrator of the operator permits, and what counts where a resource does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Which hosts providers may name.
    pub hosts: HostPolicy,
    /// The namespaces whose providers may use the operator's own credentials.
    pub ambient_namespaces: BTreeSet<String>,
    /// What is written of Secrets at most.
    pub secrets: SecretsPolicy,
    /// How many files one sweep of one target may remove at most; `None`: any number.
    pub deletes_cap: Option<usize>,
    /// What rules select that do not name it.
    pub wildcards: Wildcards,
    /// How much is watched at most.
    pub limits: PlanLimits,
}

/// What is written of Secrets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum SecretsPolicy {
    /// All of them, readable for whoever reads the repository.
    #[default]
    Plaintext,
    /// None.
    Omit,
}

impl SecretsPolicy {
    /// The stricter of both.
    #[must_use]
    pub fn at_least(self, floor: Self) -> Self {
        self.max(floor)
    }
}

/// Another word than those of [`SecretsPolicy`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no policy for Secrets: write Plaintext or Omit")]
pub struct UnknownSecretsPolicy(String);

impl FromStr for SecretsPolicy {
    type Err = UnknownSecretsPolicy;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "Plaintext" => Ok(Self::Plaintext),
            "Omit" => Ok(Self::Omit),
            _ => Err(UnknownSecretsPolicy(text.to_owned())),
        }
    }
}

impl fmt::Display for SecretsPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plaintext => "Plaintext",
            Self::Omit => "Omit",
        })
    }
}

/// How much is watched at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanLimits {
    /// In how many namespaces a type is watched one by one, before it is watched in all.
    pub namespaced_watch_limit: usize,
    /// How many watches there are, of all types together.
    pub max_watches: usize,
}

impl Default for PlanLimits {
    fn default() -> Self {
        Self { namespaced_watch_limit: 10, max_watches: 300 }
    }
}
