//! What a clone asks of its remote.

use super::BranchClone;
use crate::git::classify::Class;
use crate::git::cli::{GitCommand, GitError, Output};
use crate::git::credentials::{Access, Authentication};
use crate::git::push::PushOutcome;
use crate::git::spec::Credentials;
use crate::resource::Oid;
use jiff::Timestamp;
use std::time::Duration;

/// How long the branch's worker may wait for the content of files that are not here.
const LOOK: Duration = Duration::from_secs(20);

/// What the remote said it has.
#[derive(Debug, Default)]
pub(super) struct Advertised {
    /// The tip of the branch.
    pub(super) branch: Option<Oid>,
    /// The tip of the default branch.
    pub(super) head: Option<Oid>,
}

impl BranchClone {
    /// The content of blobs; those that a partial clone lacks are fetched.
    ///
    /// # Errors
    /// When git fails.
    pub async fn read_blobs(&self, ids: &[Oid], credentials: &Credentials) -> Result<Vec<Vec<u8>>, GitError> {
        let input: String = ids.iter().map(|id| format!("{id}\n")).collect();
        // One request for all of them: cat-file would fetch each by itself. Where the server does not serve objects by
        // their id, it still may.
        let fetched = self
            .remote_command("fetch", credentials, |fetch| {
                let fetch =
                    fetch.flag("--quiet").flag("--no-tags").flag("--no-write-fetch-head").flag("--filter=blob:none");
                let fetch = fetch.config("fetch.negotiationAlgorithm", "noop").flag("--stdin");
                fetch.operand("origin").deadline(LOOK).input(input.clone().into_bytes())
            })
            .await;
        if let Err(error) = fetched.and_then(Output::success) {
            tracing::debug!(%error, "Blobs cannot be fetched by their ids");
        }
        let output = self
            .remote_command("cat-file", credentials, |command| {
                command.flag("--batch").lazy_fetch().deadline(LOOK).input(input.into_bytes())
            })
            .await?
            .success()?;
        parse_blobs(&output.stdout, ids.len()).ok_or_else(|| GitError::unreadable("cat-file", &output.stdout))
    }

    /// Asks the remote for the branch's tip and fetches it; `None` when the remote has no such branch.
    ///
    /// # Errors
    /// When the remote cannot be used.
    pub async fn fetch(&self, credentials: &Credentials) -> Result<Option<Oid>, GitError> {
        if self.advertised(credentials).await?.branch.is_none() {
            return Ok(None);
        }
        let refspec = format!("+{}:{}", self.key.branch.to_ref(), self.tracking());
        self.remote_command("fetch", credentials, |fetch| {
            fetch.flag("--quiet").flag("--no-tags").operand("origin").operand(refspec)
        })
        .await?
        .success()?;
        self.resolve(&self.tracking()).await
    }

    pub(super) async fn advertised(&self, credentials: &Credentials) -> Result<Advertised, GitError> {
        let (url, branch) = (self.key.url.as_str(), self.key.branch.to_ref());
        let output = self
            .remote_command("ls-remote", credentials, |command| {
                command.flag("--quiet").operand(url).operand("HEAD").operand(branch.clone())
            })
            .await?
            .success()?;
        let mut advertised = Advertised::default();
        for line in output.text().lines() {
            let (oid, name) = line.split_once('\t').ok_or_else(|| GitError::unreadable("ls-remote", &output.stdout))?;
            let oid = oid.parse().map_err(|_| GitError::unreadable("ls-remote", &output.stdout))?;
            match name {
                "HEAD" => advertised.head = Some(oid),
                name if name == branch => advertised.branch = Some(oid),
                // `refs/heads/main` also matches `refs/heads/x/refs/heads/main`.
                _ => {}
            }
        }
        Ok(advertised)
    }

    /// Pushes `tip`, fast-forward only.
    pub async fn push(&self, tip: Oid, credentials: &Credentials) -> PushOutcome {
        let refspec = format!("{tip}:{}", self.key.branch.to_ref());
        let result = self
            .remote_command("push", credentials, |push| {
                push.flag("--porcelain").flag("--no-verify").flag("--no-follow-tags").operand("origin").operand(refspec)
            })
            .await;
        PushOutcome::of(result)
    }

    pub(super) async fn remote_command(
        &self,
        subcommand: &'static str,
        credentials: &Credentials,
        arguments: impl FnOnce(GitCommand) -> GitCommand,
    ) -> Result<Output, GitError> {
        let access = Access::prepare(&self.git, credentials, &self.key.url, &self.secrets, Timestamp::now()).await?;
        let command = access
            .apply(self.command(subcommand))
            .remote(self.key.url.normalized())
            .deadline(self.git.patience().transfer);
        let output = access.redact(arguments(command).run().await?);
        if let Authentication::GithubApp(app) = &credentials.authentication
            && Class::of_output(&output) == Some(Class::Auth)
        {
            app.forget().await;
        }
        Ok(output)
    }
}

/// `<oid> SP blob SP <size> LF <content> LF`, or `<oid> SP missing LF`, which counts as empty.
fn parse_blobs(mut output: &[u8], expected: usize) -> Option<Vec<Vec<u8>>> {
    let mut blobs = Vec::with_capacity(expected);
    while !output.is_empty() {
        let end = output.iter().position(|byte| *byte == b'\n')?;
        let head = std::str::from_utf8(&output[..end]).ok()?;
        output = &output[end + 1..];
        if head.ends_with(" missing") {
            blobs.push(Vec::new());
            continue;
        }
        let size: usize = head.rsplit(' ').next()?.parse().ok()?;
        blobs.push(output.get(..size)?.to_vec());
        output = output.get(size + 1..)?;
    }
    (blobs.len() == expected).then_some(blobs)
}
