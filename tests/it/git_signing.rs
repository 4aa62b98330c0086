//! Signed commits, verified by the real git.

use crate::support::engine::{
    Engine, change, commits, content, failure, in_clone, mk_remote, path, seed, unpushed, upsert,
};
use crate::support::git_server::Fault;
use crate::support::remote_repo::RemoteRepo;
use crate::support::scratch::ScratchDir;
use crate::support::sshd::{self, SshKey};
use gitops_reverser::change::Content;
use gitops_reverser::git::cli::Git;
use gitops_reverser::git::credentials::OpenKey;
use gitops_reverser::git::signing::{BadSigningKey, SigningKey};
use gitops_reverser::git::spec::{BranchSpec, Credentials};

fn mk_key(directory: &ScratchDir, name: &str, kind: &str) -> (SshKey, SigningKey) {
    let key = sshd::mk_key(directory.path(), name, kind, "").unwrap();
    let signing = SigningKey::new(&OpenKey::read(&key.private, None).unwrap()).unwrap();
    (key, signing)
}

fn spec(engine: &Engine, password: &str, key: Option<&SigningKey>) -> BranchSpec {
    BranchSpec { signing: key.cloned(), ..engine.spec(password) }
}

/// What git thinks of the signature of each commit, oldest first: `G` good, `N` none, `B` bad, `U` by an unknown key.
fn signatures(repo: &RemoteRepo, known: &[&SshKey]) -> String {
    let file = repo.path().join("allowed-signers");
    let lines: String = known.iter().map(|key| format!("* namespaces=\"git\" {}\n", key.public)).collect();
    std::fs::write(&file, lines).unwrap();
    let allowed = format!("gpg.ssh.allowedSignersFile={}", file.display());
    let program = format!("gpg.ssh.program={}", sshd::program("ssh-keygen").unwrap().display());
    repo.git(&["-c", &allowed, "-c", &program, "log", "--topo-order", "--reverse", "--format=%G?", "main"])
        .replace('\n', "")
}

#[tokio::test]
async fn every_commit_is_signed_by_whatever_key_is_configured_then() {
    let (server, repo, work_dir) = mk_remote("signed").await;
    let engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    let mailbox = engine.ready().await;
    mailbox.send(upsert("a", "0"));
    commits(&repo, 1).await;
    let kinds = ["ed25519", "ecdsa", "rsa"];
    let mut keys = Vec::new();
    for (number, kind) in kinds.into_iter().enumerate() {
        let (public, key) = mk_key(&work_dir, kind, kind);
        engine.apply(vec![spec(&engine, server.password(), Some(&key))]);
        keys.push((public, key));
        // The worker takes the new key before anything that is sent after it was ready with it.
        engine.ready().await;
        for value in ["1", "2"] {
            mailbox.send(upsert("a", &format!("{kind}-{value}")));
        }
        commits(&repo, 3 + 2 * number).await;
    }
    let known: Vec<&SshKey> = keys.iter().map(|(public, _)| public).collect();
    assert_eq!(signatures(&repo, &known), "NGGGGGG");
    assert_eq!(signatures(&repo, &known[..1]), "NGGUUUU");
    repo.git(&["fsck", "--strict"]);
    assert_eq!(repo.read("main", &path("a")), content("rsa-2", "a"));
    // Seeds and removals too; without a key no longer.
    seed(&mailbox, &[("a", "rsa-2"), ("b", "1"), ("c", "1")]).await;
    commits(&repo, 8).await;
    mailbox.send(change("b", Content::Delete));
    commits(&repo, 9).await;
    assert_eq!(signatures(&repo, &known), "NGGGGGGGG");
    engine.apply(vec![spec(&engine, server.password(), None)]);
    engine.stop().await;
    assert_eq!(in_clone(&work_dir, &["for-each-ref", "refs/reverser/unsigned"]), "");
}

#[tokio::test]
async fn replayed_commits_are_signed_anew_and_otherwise_the_same() {
    let (server, repo, work_dir) = mk_remote("resigned").await;
    let (public, key) = mk_key(&work_dir, "key", "ed25519");
    let engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    let mailbox = engine.ready().await;
    mailbox.send(upsert("a", "1"));
    commits(&repo, 1).await;
    unpushed(&engine, 0).await;
    server.set_fault(Some(Fault::Down));
    // Made before the key was configured, and still here when the remote has moved.
    mailbox.send(upsert("a", "2"));
    unpushed(&engine, 1).await;
    engine.apply(vec![spec(&engine, server.password(), Some(&key))]);
    failure(&engine, |failure| failure.reason == "NetworkError").await;
    engine.ready().await;
    mailbox.send(upsert("a", "3"));
    mailbox.send(upsert("b", "1"));
    unpushed(&engine, 3).await;
    let format = "--format=%an|%ae|%ad|%cn|%cd|%B";
    let before = in_clone(&work_dir, &["log", "-3", format, "main"]);
    repo.commit_file("main", "README.md", "hello\n", "Erin <erin@example.com>");
    server.set_fault(None);
    commits(&repo, 5).await;
    assert_eq!(signatures(&repo, &[&public]), "NNGGG");
    assert_eq!(repo.git(&["log", "-3", format, "main"]).trim(), before);
    assert_eq!(repo.read("main", "README.md").as_deref(), Some("hello\n"));
    repo.git(&["fsck", "--strict"]);
    engine.stop().await;
}

#[tokio::test]
async fn a_journal_of_signed_commits_survives_a_kill() {
    let (server, repo, work_dir) = mk_remote("signed-kill").await;
    let (public, key) = mk_key(&work_dir, "key", "ed25519");
    let engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    engine.apply(vec![spec(&engine, server.password(), Some(&key))]);
    let mailbox = engine.ready().await;
    mailbox.send(upsert("a", "1"));
    commits(&repo, 1).await;
    unpushed(&engine, 0).await;
    server.set_fault(Some(Fault::Down));
    mailbox.send(upsert("a", "2"));
    unpushed(&engine, 1).await;
    engine.kill().await;
    // What a signing that was killed leaves behind.
    in_clone(&work_dir, &["update-ref", "refs/reverser/unsigned", "refs/heads/main~1"]);
    repo.commit_file("main", "README.md", "hello\n", "Erin <erin@example.com>");
    server.set_fault(None);
    let credentials = Credentials::basic("git", server.password());
    let engine = Engine::start_through(Git::find(true).await.unwrap(), &work_dir, repo.url(), credentials).await;
    engine.apply(vec![spec(&engine, server.password(), Some(&key))]);
    engine.ready().await.send(upsert("a", "3"));
    commits(&repo, 4).await;
    let signed = signatures(&repo, &[&public]);
    // The first look at the remote may have begun before the key was known again.
    assert!(signed == "GNGG" || signed == "GNNG", "{signed}");
    engine.stop().await;
}

#[tokio::test]
async fn repositories_of_sha256_are_signed_in_their_own_way() {
    let (server, repo, work_dir) = mk_remote("sha256").await;
    std::fs::remove_dir_all(repo.path()).unwrap();
    std::fs::create_dir(repo.path()).unwrap();
    repo.git(&["init", "--quiet", "--bare", "--object-format=sha256", "--initial-branch=main"]);
    repo.git(&["config", "http.receivepack", "true"]);
    repo.commit_file("main", "README.md", "hello\n", "Erin <erin@example.com>");
    let (public, key) = mk_key(&work_dir, "key", "ed25519");
    let engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    engine.apply(vec![spec(&engine, server.password(), Some(&key))]);
    let mailbox = engine.ready().await;
    mailbox.send(upsert("a", "1"));
    mailbox.send(upsert("a", "2"));
    commits(&repo, 3).await;
    assert_eq!(signatures(&repo, &[&public]), "NGG");
    assert!(repo.git(&["cat-file", "commit", "main"]).contains("\ngpgsig-sha256 -----BEGIN SSH SIGNATURE-----\n "));
    repo.git(&["fsck", "--strict"]);
    engine.stop().await;
}

#[test]
fn keys_that_cannot_sign_are_refused_with_a_reason() {
    let directory = ScratchDir::new().unwrap();
    let mk = |name: &str, arguments: &[&str]| {
        let file = directory.path().join(name);
        let mut keygen = std::process::Command::new(sshd::program("ssh-keygen").unwrap());
        assert!(keygen.args(["-q", "-N", "", "-f"]).arg(&file).args(arguments).status().unwrap().success());
        SigningKey::new(&OpenKey::read(&std::fs::read_to_string(file).unwrap(), None).unwrap())
    };
    assert!(mk("p384", &["-t", "ecdsa", "-b", "384"]).is_ok());
    assert_eq!(mk("p521", &["-t", "ecdsa", "-b", "521"]), Err(BadSigningKey::Type));
    assert_eq!(mk("pem", &["-t", "rsa", "-m", "PEM"]), Err(BadSigningKey::Format));
    assert_eq!(mk("short", &["-t", "rsa", "-b", "1024"]), Err(BadSigningKey::Damaged));
    assert_ne!(mk("p384-again", &["-t", "ecdsa", "-b", "384"]), mk("other", &["-t", "ed25519"]));
}
