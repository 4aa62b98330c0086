//! Importing commits that are signed.

use super::{BranchClone, import_deadline};
use crate::git::cli::GitError;
use crate::git::commit::Commit;
use crate::git::signing::{self, CommitObject, SigningKey};
use crate::git::{fast_import, journal};
use crate::resource::Oid;

/// Where fast-import makes the commits that are signed afterwards.
const UNSIGNED: &str = "refs/reverser/unsigned";
/// So many commits are read at a time: what git may say at once is bounded, and a replay may be of any length.
const AT_ONCE: usize = 1_000;

impl BranchClone {
    /// Adds `commits`, signed, on top of `tip` and moves `reference` there; returns their ids. With `is_scratch` the
    /// reference may be anywhere before, else it must be at `tip`.
    ///
    /// # Errors
    /// When git fails or the key does; the reference has not moved then.
    pub(super) async fn import_signed(
        &self,
        reference: &str,
        is_scratch: bool,
        tip: Option<Oid>,
        commits: &[Commit],
        key: &SigningKey,
    ) -> Result<Vec<Oid>, GitError> {
        let deadline = import_deadline(commits.len());
        let stream = fast_import::commits(UNSIGNED, tip, commits);
        // What a run that was killed left there is no ancestor of this.
        let import = self.command("fast-import").flag("--quiet").flag("--force").deadline(deadline);
        let output = import.offline().input(stream).run().await?.success()?;
        let unsigned = self.objects(&fast_import::printed_ids(&output.stdout, commits.len())?).await?;

        let failed = |problem: &str| GitError::Unreadable { command: "fast-import".into(), answer: problem.to_owned() };
        let signed = signing::sign(&unsigned, key, self.format())
            .ok_or_else(|| failed("commits that the signing key cannot sign"))?;
        let pack = signing::pack(&signed, self.format()).map_err(|source| Self::io("index-pack", source))?;
        let index = self.command("index-pack").flag("--stdin").flag("--strict").deadline(deadline);
        index.offline().input(pack).run().await?.success()?;

        let ids: Vec<Oid> = signed.iter().map(|commit| commit.id).collect();
        let Some(last) = ids.last() else { return Ok(ids) };
        let old = tip.map_or_else(|| "0".repeat(last.to_string().len()), |tip| tip.to_string());
        let old = if is_scratch { String::new() } else { format!(" {old}") };
        let update = format!("update {reference} {last}{old}\ndelete {UNSIGNED}\n");
        self.command("update-ref").flag("--stdin").input(update.into_bytes()).run().await?.success()?;
        Ok(ids)
    }

    async fn objects(&self, ids: &[Oid]) -> Result<Vec<CommitObject>, GitError> {
        let mut commits = Vec::with_capacity(ids.len());
        for part in ids.chunks(AT_ONCE) {
            let input: String = part.iter().map(|id| format!("{id}\n")).collect();
            let asked = self.command("cat-file").flag("--batch").offline().input(input.into_bytes());
            let output = asked.run().await?.success()?;
            let objects = journal::objects(&output.stdout).filter(|objects| objects.len() == part.len());
            let objects = objects.ok_or_else(|| GitError::unreadable("cat-file", &output.stdout))?;
            commits.extend(objects.into_iter().map(|(id, content)| CommitObject { id, content: content.to_vec() }));
        }
        Ok(commits)
    }
}
