//! Changes that never came into a commit. Whoever changes the same file next is not the only author of what that commit
//! shows: versions were merged. Pure.

use crate::attribution::Verdict;
use crate::change::SeedScope;
use crate::resource::{NamespacedName, RepoPath, ResourceId};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// What is missing from the files of one branch.
#[derive(Debug, Default)]
pub struct Missed {
    /// Files of which a version was not written, with those of its users that are known.
    files: HashMap<RepoPath, BTreeSet<String>>,
    /// Targets of which nobody knows what was lost, with the lists that have made up for it.
    targets: BTreeMap<NamespacedName, HashSet<Arc<SeedScope>>>,
}

impl Missed {
    /// A version of the file `path` is not written, whose users `verdict` tells.
    pub fn version(&mut self, path: &RepoPath, verdict: &Verdict) {
        let users = self.files.entry(path.clone()).or_default();
        users.extend(verdict.author().map(|author| author.user.name.clone()));
        users.extend(verdict.candidates().iter().cloned());
    }

    /// The file `path` is not what its object has become, and nobody knows by whom.
    pub fn file(&mut self, path: RepoPath) {
        self.files.entry(path).or_default();
    }

    /// Anything of `target` may be lost, up to its next lists.
    pub fn target(&mut self, target: &NamespacedName) {
        self.targets.insert(target.clone(), HashSet::new());
    }

    /// A list of all that `scope` covers is complete.
    pub fn listed(&mut self, scope: &Arc<SeedScope>) {
        if let Some(lists) = self.targets.get_mut(&scope.target) {
            lists.insert(Arc::clone(scope));
        }
    }

    /// The file `path` is what its object has become.
    pub fn settled(&mut self, path: &RepoPath) {
        self.files.remove(path);
    }

    /// What `verdict` on a change of the file `path`, which holds `object` for `target`, says of the commit of it.
    pub fn judge(
        &mut self,
        verdict: Verdict,
        path: &RepoPath,
        target: &NamespacedName,
        object: &ResourceId,
    ) -> Verdict {
        let made_up_for = |scope: &Arc<SeedScope>| {
            scope.kind == object.kind && scope.namespaces.contains(object.name.namespace.as_deref())
        };
        let is_whole = self.targets.get(target).is_none_or(|lists| lists.iter().any(made_up_for));
        match self.files.remove(path) {
            None if is_whole => verdict,
            users => verdict.merged_with(users.unwrap_or_default()),
        }
    }

    /// Forgets what is about none of the targets that are `left`, or about a file that is in none of their folders.
    pub fn retain(&mut self, left: impl Fn(&NamespacedName) -> bool, is_in_folder: impl Fn(&RepoPath) -> bool) {
        self.targets.retain(|target, _| left(target));
        self.files.retain(|path, _| is_in_folder(path));
    }
}
