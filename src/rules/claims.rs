//! Which target has which folder.

use super::compile::Rejection;
use super::set::Target;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is known of a target's access to its repository. Those that come first take folders from those that come after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum WriteAccess {
    /// It has had it.
    Proven,
    /// Nobody has tried it yet.
    #[default]
    Unknown,
    /// It was refused, and has never had it.
    Denied,
}

/// The folders that targets have, by repository and branch.
#[derive(Default)]
pub(super) struct Claims(BTreeMap<(String, String), Vec<Claim>>);

struct Claim {
    target: Arc<Target>,
    access: WriteAccess,
}

impl Claims {
    pub(super) fn take(&mut self, target: Arc<Target>, access: WriteAccess) {
        self.0.entry(repository_and_branch(&target)).or_default().push(Claim { target, access });
    }

    /// Two targets in one folder would delete each other's files; the one that came first keeps it, through whatever provider.
    /// One that was denied keeps out only those that would be denied just so.
    pub(super) fn admit(&self, target: &Target) -> Result<(), Rejection> {
        let there = self.0.get(&repository_and_branch(target)).into_iter().flatten();
        let mut counting =
            there.filter(|claim| claim.access != WriteAccess::Denied || claim.target.branch == target.branch);
        let Some(Claim { target: first, .. }) =
            counting.find(|claim| claim.target.base_folder.overlaps(&target.base_folder))
        else {
            return Ok(());
        };
        // Who works in other namespaces, and where, is nobody's business here.
        let theirs = if first.name.namespace == target.name.namespace {
            format!("{} of GitTarget {}", first.base_folder, first.name)
        } else {
            "that of a GitTarget in another namespace".to_owned()
        };
        let message = format!(
            "folder {} overlaps {theirs}, which had it first, on the same branch; make a target with a folder of its own",
            target.base_folder
        );
        Err(Rejection { reason: "BaseFolderOverlap", message })
    }
}

fn repository_and_branch(target: &Target) -> (String, String) {
    (target.branch.url.normalized(), target.branch.branch.to_string())
}
