//! What signing adds to a commit.

use crate::support::scratch::ScratchDir;
use crate::support::sshd;
use anyhow::{Context as _, Result};
use gitops_reverser::git::clone::BranchClone;
use gitops_reverser::git::commit::Commit;
use gitops_reverser::git::credentials::OpenKey;
use gitops_reverser::git::signing::{self, CommitObject, SigningKey};
use gitops_reverser::resource::Oid;
use gitops_reverser::resource::oid::ObjectFormat;
use std::time::Instant;

/// Microseconds for each commit: for the signature and its place in a pack, in process; and for all that a batch of
/// signed commits takes longer than the same batch without signatures, git's work included.
pub(crate) async fn cost(clone: &mut BranchClone, base: Oid, commits: &[Commit]) -> Result<(f64, f64)> {
    let scratch = ScratchDir::new()?;
    let file = sshd::mk_key(scratch.path(), "signing", "ed25519", "")?;
    let key = SigningKey::new(&OpenKey::read(&file.private, None)?)?;
    let each = |seconds: f64| seconds * 1e6 / commits.len() as f64;

    let mut batches = [0.0; 2];
    for (seconds, key) in batches.iter_mut().zip([None, Some(key.clone())]) {
        clone.set_refs(base, Some(base)).await?;
        clone.sign_with(key);
        let started = Instant::now();
        clone.commit(Some(base), commits).await?;
        *seconds = started.elapsed().as_secs_f64();
    }
    clone.sign_with(None);
    clone.set_refs(base, Some(base)).await?;

    let objects = objects(commits.len());
    let started = Instant::now();
    let signed = signing::sign(&objects, &key, ObjectFormat::Sha1).context("commits that cannot be signed")?;
    let pack = signing::pack(&signed, ObjectFormat::Sha1)?;
    let alone = started.elapsed().as_secs_f64();
    std::hint::black_box(pack);
    Ok((each(alone), each(batches[1] - batches[0])))
}

/// A chain of commits as large as ours are.
fn objects(count: usize) -> Vec<CommitObject> {
    let id = |content: &str| Oid::of_object(ObjectFormat::Sha1, "commit", content.as_bytes());
    let mut parent = id("");
    let mut object = |number| {
        let trailers = "X-ConfigButler-Operation: UPDATE\n".repeat(10);
        let who = "alice <alice@example.invalid> 1700000000 +0000";
        let content =
            format!("tree {parent}\nparent {parent}\nauthor {who}\ncommitter {who}\n\nChange {number}\n\n{trailers}");
        parent = id(&content);
        CommitObject { id: parent, content: content.into_bytes() }
    };
    (0..count).map(&mut object).collect()
}
