//! Whether the remote lets us write, found out without writing.

use super::BranchClone;
use crate::git::cli::{GitError, Output};
use crate::git::push::PushOutcome;
use crate::git::spec::Credentials;

/// The branch that a probe would make.
const PROBE: &str = "refs/heads/gitops-reverser-write-probe";

impl BranchClone {
    /// Asks the remote as a push would, with a commit that nobody needs, and stops short of sending it. Rules that protect
    /// a branch stay unseen: the server looks at them only when something is sent.
    ///
    /// # Errors
    /// When the remote cannot be reached or lets us only read.
    pub async fn probe(&self, credentials: &Credentials) -> Result<(), GitError> {
        let tree = self.write_object("-ttree", String::new()).await?;
        let nobody = "gitops-reverser <gitops-reverser@users.noreply.invalid> 0 +0000";
        let commit = format!("tree {tree}\nauthor {nobody}\ncommitter {nobody}\n\nprobe\n");
        let commit = self.write_object("-tcommit", commit).await?;
        let result = self
            .remote_command("push", credentials, |push| {
                let push = push.flag("--dry-run").flag("--porcelain").flag("--no-verify").flag("--no-follow-tags");
                push.operand("origin").operand(format!("{commit}:{PROBE}"))
            })
            .await;
        match PushOutcome::of(result) {
            // Whatever stands at that name: the server has let us in.
            PushOutcome::Pushed | PushOutcome::Stale(_) | PushOutcome::TooShallow | PushOutcome::Rejected(_) => Ok(()),
            PushOutcome::Unknown(error) => Err(error),
        }
    }

    async fn write_object(&self, kind: &'static str, content: String) -> Result<String, GitError> {
        let command = self.command("hash-object").flag(kind).flag("-w").flag("--stdin");
        let output = command.input(content.into_bytes()).run().await.and_then(Output::success)?;
        Ok(output.text().trim().to_owned())
    }
}
