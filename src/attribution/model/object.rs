//! The simulated object: what it holds, and what a write makes of it.

use crate::attribution::{Asked, Propagation};
use crate::resource::{ContentHash, Fingerprint};
use std::sync::Arc;

/// Under which name each user's writes stand in `managedFields`: the first two work with the same tool.
pub(super) const MANAGER_OF: [usize; 5] = [0, 0, 1, 2, 0];
/// Where `/scale` stands in `managedFields`.
const SCALE: usize = 3;

const FINALIZER: u8 = 1;
const FOREGROUND: u8 = 2;
const ORPHAN: u8 = 4;
const TERMINATING: u8 = 8;

/// A whole object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Content {
    data: u8,
    label: u8,
    replicas: u8,
    status: u8,
    flags: u8,
    /// When each manager wrote last.
    managers: [u8; 4],
}

/// What a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intent {
    /// The whole object, on this version or not at all: data, label, finalizer.
    Put(u8, u8, bool),
    /// One field, on whatever version there is.
    Data(u8),
    Label(u8),
    Replicas(u8),
    /// By `/status`, which takes labels too.
    Status(u8, Option<u8>),
    Scale(u8),
    Delete(Propagation),
    /// First a note in the status, then the end.
    Evict,
    EvictMarked,
    /// Takes the finalizers of an object that is to go.
    Collect,
}

/// What a request leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Same,
    Content(Content),
    Gone,
}

impl Intent {
    pub(super) fn any(random: &mut fastrand::Rng) -> Self {
        const PROPAGATIONS: [Propagation; 4] =
            [Propagation::Background, Propagation::Foreground, Propagation::Orphan, Propagation::Default];
        let value = random.u8(..3);
        match random.u8(..20) {
            0..3 => Self::Put(value, random.u8(..3), random.u8(..3) == 0),
            3..7 => Self::Data(value),
            7..9 => Self::Label(value),
            9 => Self::Replicas(value),
            10..12 => Self::Status(value, None),
            12 => Self::Status(value, Some(random.u8(..3))),
            13..15 => Self::Scale(value),
            15..17 => Self::Delete(PROPAGATIONS[random.usize(..4)]),
            17 => Self::Evict,
            _ => Self::Collect,
        }
    }
}

impl Content {
    pub(super) fn new(random: &mut fastrand::Rng, manager: usize, clock: u8) -> Self {
        let mut managers = [0; 4];
        managers[manager] = clock;
        let flags = if random.u8(..3) == 0 { FINALIZER } else { 0 };
        Self { data: random.u8(..3), label: random.u8(..3), replicas: 1, status: 0, flags, managers }
    }

    pub(super) fn after(&self, intent: &Intent, user: u8, clock: u8) -> Outcome {
        let mut new = *self;
        let mut manager = Some(MANAGER_OF[usize::from(user)]);
        match *intent {
            Intent::Put(data, label, finalizer) => {
                (new.data, new.label) = (data, label);
                if !self.is_terminating() {
                    new.flags = self.flags & !FINALIZER | if finalizer { FINALIZER } else { 0 };
                }
            }
            Intent::Data(data) => new.data = data,
            Intent::Label(label) => new.label = label,
            Intent::Replicas(replicas) => new.replicas = replicas,
            Intent::Status(status, label) => {
                new.status = status;
                new.label = label.unwrap_or(new.label);
            }
            Intent::Scale(replicas) => {
                new.replicas = replicas;
                manager = Some(SCALE);
            }
            Intent::Evict => {
                new.status = 7;
                manager = None;
            }
            Intent::Delete(_) | Intent::EvictMarked if self.is_terminating() => return Outcome::Same,
            Intent::Delete(propagation) => return self.deleted(propagation),
            Intent::EvictMarked => return self.deleted(Propagation::Background),
            Intent::Collect if self.is_terminating() => return Outcome::Gone,
            Intent::Collect => return Outcome::Same,
        }
        if new == *self {
            return Outcome::Same;
        }
        if let Some(manager) = manager {
            new.managers[manager] = clock;
        }
        Outcome::Content(new)
    }

    fn deleted(self, propagation: Propagation) -> Outcome {
        let flags = match propagation {
            Propagation::Foreground => self.flags & !ORPHAN | FOREGROUND,
            Propagation::Orphan => self.flags & !FOREGROUND | ORPHAN,
            Propagation::Background => self.flags & !ORPHAN & !FOREGROUND,
            Propagation::Default => self.flags,
        };
        if flags == 0 { Outcome::Gone } else { Outcome::Content(Self { flags: flags | TERMINATING, ..self }) }
    }

    pub(super) const fn is_terminating(&self) -> bool {
        self.flags & TERMINATING != 0
    }

    /// What the finalizers say.
    pub(super) const fn propagation(&self) -> Propagation {
        match (self.flags & FOREGROUND != 0, self.flags & ORPHAN != 0) {
            (true, _) => Propagation::Foreground,
            (false, true) => Propagation::Orphan,
            (false, false) => Propagation::Background,
        }
    }

    pub(super) fn replicas(&self) -> u64 {
        self.replicas.into()
    }

    /// What goes into its file.
    pub(super) const fn file(&self) -> [u8; 4] {
        [self.data, self.label, self.replicas, self.flags]
    }

    pub(super) const fn but_replicas(&self) -> [u8; 3] {
        [self.data, self.label, self.flags]
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        let [a, b, c, d] = self.managers;
        let mut metadata = [0; 16];
        metadata[..6].copy_from_slice(&[self.label, self.flags, a, b, c, d]);
        let mut rest = [0; 16];
        rest[..3].copy_from_slice(&[self.data, self.replicas, self.status]);
        Fingerprint { metadata: ContentHash(metadata), rest: ContentHash(rest) }
    }

    pub(super) fn asked(&self) -> Asked {
        Asked { api_version: Arc::from("v1"), content: self.fingerprint() }
    }
}

/// When the last of the managers wrote.
pub(super) fn last_write(fingerprint: Fingerprint) -> u8 {
    fingerprint.metadata.0[2..6].iter().copied().max().unwrap_or_default()
}

/// The fingerprint as it would be without `managedFields`.
pub(super) const fn without_managers(mut fingerprint: Fingerprint) -> Fingerprint {
    let mut manager = 2;
    while manager < 6 {
        fingerprint.metadata.0[manager] = 0;
        manager += 1;
    }
    fingerprint
}
