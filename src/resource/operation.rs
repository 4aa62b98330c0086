//! What happened to an object, and which of these happenings a rule wants.

use std::fmt;

/// One kind of change to an object, named as in `admissionregistration.k8s.io`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// The object came into being.
    Create,
    /// The object's content changed.
    Update,
    /// The object went away, or was asked to.
    Delete,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        })
    }
}

/// A set of [`Operation`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Operations(u8);

impl Operations {
    /// Every operation.
    pub const ALL: Self = Self(0b111);
    /// No operation.
    pub const NONE: Self = Self(0);

    const fn bit(operation: Operation) -> u8 {
        match operation {
            Operation::Create => 0b001,
            Operation::Update => 0b010,
            Operation::Delete => 0b100,
        }
    }

    /// This set and `operation`.
    #[must_use]
    pub const fn with(self, operation: Operation) -> Self {
        Self(self.0 | Self::bit(operation))
    }

    /// Whatever is in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether `operation` is in the set.
    #[must_use]
    pub const fn contains(self, operation: Operation) -> bool {
        self.0 & Self::bit(operation) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in() {
        let set = Operations::NONE.with(Operation::Create).union(Operations::NONE.with(Operation::Delete));
        assert!(set.contains(Operation::Create));
        assert!(!set.contains(Operation::Update));
        assert!(set.contains(Operation::Delete));
        assert_eq!(set.with(Operation::Update), Operations::ALL);
    }
}
