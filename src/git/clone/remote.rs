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

/// Where the branch stands on the remote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteTip {
    /// Its commit, or that of the default branch where the remote has no such branch; `None` where it has neither.
    pub tip: Option<Oid>,
    /// Whether the remote has the branch.
    pub exists: bool,
}

/// What the remote said it has.
#[derive(Debug, Default)]
pub(super) struct Advertised {
    /// The tip of the branch.
    pub(super) branch: Option<Oid>,
    /// The tip of the default branch.
    pub(super) head: Option<Oid>,
}

impl Advertised {
    /// What the branch is, or would be made from: it stands where the default branch stands if the remote has no such.
    pub(super) fn tip(&self) -> Option<Oid> {
        self.branch.or(self.head)
    }
}

impl BranchClone {
    /// The content of blobs; those that a partial clone lacks are fetched. Empty are those that nobody has, and one that
    /// is longer than what git is let say.
    ///
    /// # Errors
    /// When git fails.
    pub async fn read_blobs(&self, ids: &[Oid], credentials: &Credentials) -> Result<Vec<Vec<u8>>, GitError> {
        let mut blobs = Vec::with_capacity(ids.len());
        let mut rest = vec![ids];
        while let Some(part) = rest.pop() {
            match self.read_part(part, credentials).await {
                Err(GitError::TooMuchOutput { .. }) if part.len() > 1 => {
                    let (first, second) = part.split_at(part.len() / 2);
                    rest.extend([second, first]);
                }
                Err(GitError::TooMuchOutput { .. }) => blobs.push(Vec::new()),
                read => blobs.extend(read?),
            }
        }
        Ok(blobs)
    }

    async fn read_part(&self, ids: &[Oid], credentials: &Credentials) -> Result<Vec<Vec<u8>>, GitError> {
        let input: Vec<u8> = ids.iter().flat_map(|id| format!("{id}\n").into_bytes()).collect();
        // What is here needs no remote, which may be down. A partial clone fails for what it lacks, or says so.
        let here = self.command("cat-file").flag("--batch").offline().input(input.clone()).run().await?;
        if here.code == 0
            && let Some(blobs) = parse_blobs(&here.stdout, ids.len())
            && blobs.iter().all(Option::is_some)
        {
            return Ok(blobs.into_iter().flatten().collect());
        }
        self.fetch_blobs(&input, credentials).await;
        let output = self
            .remote_command("cat-file", credentials, |command| {
                command.flag("--batch").lazy_fetch().deadline(LOOK).input(input)
            })
            .await?
            .success()?;
        let blobs =
            parse_blobs(&output.stdout, ids.len()).ok_or_else(|| GitError::unreadable("cat-file", &output.stdout))?;
        Ok(blobs.into_iter().map(Option::unwrap_or_default).collect())
    }

    /// One request for all of them: cat-file would fetch each by itself. Where the server does not serve objects by their
    /// id, it still may.
    async fn fetch_blobs(&self, ids: &[u8], credentials: &Credentials) {
        let fetched = self
            .remote_command("fetch", credentials, |fetch| {
                let fetch =
                    fetch.flag("--quiet").flag("--no-tags").flag("--no-write-fetch-head").flag("--filter=blob:none");
                let fetch = fetch.config("fetch.negotiationAlgorithm", "noop").flag("--stdin");
                fetch.operand("origin").deadline(LOOK).input(ids.to_vec())
            })
            .await;
        if let Err(error) = fetched.and_then(Output::success) {
            tracing::debug!(%error, "Blobs cannot be fetched by their ids");
        }
    }

    /// Asks the remote where the branch stands and, unless that is `known`, fetches it. A branch that the remote does not
    /// have stands where the default branch stands: there a push would make it.
    ///
    /// # Errors
    /// When the remote cannot be used.
    pub async fn fetch(&self, known: Option<Oid>, credentials: &Credentials) -> Result<RemoteTip, GitError> {
        let advertised = self.advertised(credentials).await?;
        let exists = advertised.branch.is_some();
        let tip = advertised.tip();
        if tip.is_none() || tip == known {
            return Ok(RemoteTip { tip, exists });
        }
        let source = if exists { self.key.branch.to_ref() } else { "HEAD".to_owned() };
        let refspec = format!("+{source}:{}", self.tracking());
        self.remote_command("fetch", credentials, |fetch| {
            fetch.flag("--quiet").flag("--no-tags").operand("origin").operand(refspec)
        })
        .await?
        .success()?;
        Ok(RemoteTip { tip: self.resolve(&self.tracking()).await?, exists })
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

    /// Pushes `tip`, fast-forward only, if the remote still stands at `base`. On a remote that was put back to an older
    /// commit the push would be a fast-forward, and bring back what was removed there.
    pub async fn push(&self, tip: Oid, base: Option<Oid>, credentials: &Credentials) -> PushOutcome {
        match self.advertised(credentials).await {
            Ok(advertised) if advertised.tip() != base => {
                return PushOutcome::Stale("the branch has moved".to_owned());
            }
            Ok(_) => {}
            Err(error) => return PushOutcome::Unknown(error),
        }
        self.push_unseen(tip, credentials).await
    }

    /// The same where the remote was seen to stand at what `tip` follows on just now, and another look would only give
    /// others the time to move it.
    pub async fn push_unseen(&self, tip: Oid, credentials: &Credentials) -> PushOutcome {
        match self.try_push(tip, credentials, None).await {
            // What is sent is told by its difference from older versions of the files, which this clone may lack; over
            // HTTP git knows no other way to forgo that.
            PushOutcome::TooShallow => self.try_push(tip, credentials, Some(("pack.window", "0"))).await,
            outcome => outcome,
        }
    }

    async fn try_push(&self, tip: Oid, credentials: &Credentials, config: Option<(&str, &str)>) -> PushOutcome {
        let refspec = format!("{tip}:{}", self.key.branch.to_ref());
        let result = self
            .remote_command("push", credentials, |push| {
                let push = config.into_iter().fold(push, |push, (key, value)| push.config(key, value));
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

/// `<oid> SP blob SP <size> LF <content> LF`, or `<oid> SP missing LF`, which is `None`.
fn parse_blobs(mut output: &[u8], expected: usize) -> Option<Vec<Option<Vec<u8>>>> {
    let mut blobs = Vec::with_capacity(expected);
    while !output.is_empty() {
        let end = output.iter().position(|byte| *byte == b'\n')?;
        let head = std::str::from_utf8(&output[..end]).ok()?;
        output = &output[end + 1..];
        if head.ends_with(" missing") {
            blobs.push(None);
            continue;
        }
        let size: usize = head.rsplit(' ').next()?.parse().ok()?;
        blobs.push(Some(output.get(..size)?.to_vec()));
        output = output.get(size + 1..)?;
    }
    (blobs.len() == expected).then_some(blobs)
}
