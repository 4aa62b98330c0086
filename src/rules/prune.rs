//! Which files of a target are removed.

/// When files go, and how many at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prune {
    /// When.
    pub mode: PruneMode,
    /// How many files one sweep may remove; the rest waits for the next. `None`: any number; 0: none.
    pub cap: Option<usize>,
}

/// When a file goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PruneMode {
    /// When its object is gone or selected no more.
    #[default]
    Always,
    /// When its object was seen to be deleted.
    OnEvent,
    /// Not at all.
    Never,
}

impl PruneMode {
    /// The mode of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "Always" => Some(Self::Always),
            "OnEvent" => Some(Self::OnEvent),
            "Never" => Some(Self::Never),
            _ => None,
        }
    }
}
