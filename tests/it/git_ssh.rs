//! The git engine over SSH, against a real sshd.

use crate::support::engine::{Engine, SOON, commits, content, failure, path, upsert};
use crate::support::poll::eventually;
use crate::support::process::Process;
use crate::support::scratch::ScratchDir;
use crate::support::sshd::{self, Access, SshKey, SshServer};
use gitops_reverser::git::cli::Git;
use gitops_reverser::git::credentials::{Authentication, BadKey, OpenKey};
use gitops_reverser::git::spec::Credentials;
use gitops_reverser::git::status::RemoteState;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

async fn git() -> Git {
    Git::find(true).await.unwrap()
}

fn credentials(key: &SshKey, server: &SshServer) -> Credentials {
    Credentials::ssh(OpenKey::read(&key.private, None).unwrap(), Some(server.known_hosts()))
}

/// A server with one key that may write, and an engine's empty directory.
async fn mk_server() -> (SshServer, SshKey, ScratchDir) {
    let server = SshServer::start().await.unwrap();
    let key = server.new_key("ed25519", "").unwrap();
    server.allow(&[(&key, Access::Write)]).unwrap();
    (server, key, ScratchDir::new().unwrap())
}

#[tokio::test]
async fn a_key_opens_the_repository_and_a_rotated_one_is_used_at_once() {
    let (server, key, work_dir) = mk_server().await;
    let repo = server.create_repo("plain");
    let engine = Engine::start_through(git().await, &work_dir, repo.url(), credentials(&key, &server)).await;
    let mailbox = engine.ready().await;
    mailbox.send(upsert("a", "1"));
    commits(&repo, 1).await;
    assert_eq!(repo.read("main", &path("a")), content("1", "a"));

    let next = server.new_key("rsa", "").unwrap();
    server.allow(&[(&next, Access::Write)]).unwrap();
    mailbox.send(upsert("a", "2"));
    failure(&engine, |failure| failure.reason == "AuthenticationFailed" && failure.message.contains("deploy key"))
        .await;
    engine.apply(vec![engine.spec_with(credentials(&next, &server))]);
    commits(&repo, 2).await;
    assert_eq!(repo.read("main", &path("a")), content("2", "a"));
    engine.stop().await;
}

#[tokio::test]
async fn a_wrong_key_an_unknown_and_a_changed_server_are_told_apart() {
    let (mut server, key, work_dir) = mk_server().await;
    let repo = server.create_repo("refused");
    let stranger = server.new_key("ed25519", "").unwrap();
    let engine = Engine::start_through(git().await, &work_dir, repo.url(), credentials(&stranger, &server)).await;
    failure(&engine, |failure| failure.reason == "AuthenticationFailed" && failure.message.contains("public half"))
        .await;

    // Another server's line is no permission to talk to this one: nothing is even connected to.
    let open = || OpenKey::read(&key.private, None).unwrap();
    let before = server.log();
    let elsewhere = Some("git.example.com ssh-ed25519 AAAA\n".to_owned());
    engine.apply(vec![engine.spec_with(Credentials::ssh(open(), elsewhere))]);
    let port = repo.url().rsplit(':').next().unwrap().split('/').next().unwrap().to_owned();
    let says = |failure: &str, what: &str| failure.contains(what) && failure.contains(&format!("[127.0.0.1]:{port}"));
    failure(&engine, |failure| says(&failure.message, "known_hosts")).await;
    assert_eq!(server.log(), before);

    let known = server.known_hosts();
    server.change_host_key().await.unwrap();
    engine.apply(vec![engine.spec_with(Credentials::ssh(open(), Some(known)))]);
    failure(&engine, |failure| failure.message.contains("another SSH key than the known one")).await;
    assert!(!server.log().contains("Accepted publickey"), "{}", server.log());
    engine.apply(vec![engine.spec_with(credentials(&key, &server))]);
    engine.ready().await.send(upsert("a", "1"));
    commits(&repo, 1).await;
    engine.stop().await;
}

#[tokio::test]
async fn a_key_that_may_only_read_and_a_missing_repository_are_told() {
    let (server, key, work_dir) = mk_server().await;
    let repo = server.create_repo("deploy");
    server.allow(&[(&key, Access::Read)]).unwrap();
    let engine = Engine::start_through(git().await, &work_dir, repo.url(), credentials(&key, &server)).await;
    engine.ready().await.send(upsert("a", "1"));
    failure(&engine, |failure| failure.reason == "AuthenticationFailed" && failure.message.contains("not write")).await;
    assert_eq!(repo.head("main"), None);
    server.allow(&[(&key, Access::Write)]).unwrap();
    // What a person has mended elsewhere is noticed at the next slow try, or at once when anything changes here.
    engine.apply(vec![engine.spec_with(credentials(&server.new_key("ed25519", "").unwrap(), &server))]);
    engine.apply(vec![engine.spec_with(credentials(&key, &server))]);
    commits(&repo, 1).await;
    engine.stop().await;

    let elsewhere = ScratchDir::new().unwrap();
    let engine =
        Engine::start_through(git().await, &elsewhere, &server.url("nothing"), credentials(&key, &server)).await;
    failure(&engine, |failure| failure.reason == "RepositoryNotFound" && failure.message.contains("spec.url")).await;
    engine.stop().await;
}

#[tokio::test]
async fn the_operators_file_knows_servers_too_but_not_against_the_secret() {
    let (server, key, work_dir) = mk_server().await;
    let repo = server.create_repo("operators");
    let file = work_dir.path().join("known_hosts");
    std::fs::write(&file, server.known_hosts()).unwrap();
    let git = git().await.with_known_hosts(Some(file));
    let other = server.new_key("ed25519", "").unwrap().public;
    let name = server.known_hosts().split(' ').next().unwrap().to_owned();
    let open = || OpenKey::read(&key.private, None).unwrap();
    let contradicts = Credentials::ssh(open(), Some(format!("{name} {other}")));
    let engine = Engine::start_through(git, &work_dir, repo.url(), contradicts).await;
    failure(&engine, |failure| failure.message.contains("another SSH key than the known one")).await;
    engine.apply(vec![engine.spec_with(Credentials::ssh(open(), None))]);
    engine.ready().await.send(upsert("a", "1"));
    commits(&repo, 1).await;
    engine.stop().await;
}

#[tokio::test]
async fn a_locked_key_opens_with_its_passphrase_only() {
    let (server, _, work_dir) = mk_server().await;
    let key = server.new_key("ed25519", "correct horse").unwrap();
    server.allow(&[(&key, Access::Write)]).unwrap();
    assert_eq!(OpenKey::read(&key.private, None), Err(BadKey::Locked));
    assert_eq!(OpenKey::read(&key.private, Some("")), Err(BadKey::Locked));
    assert_eq!(OpenKey::read(&key.private, Some("wrong")), Err(BadKey::WrongPassphrase));
    // As it comes out of many a Secret: other line ends, no last one.
    let mangled = key.private.trim().replace('\n', "\r\n");
    let open = OpenKey::read(&mangled, Some("correct horse")).unwrap();
    assert_eq!(open, OpenKey::read(&key.private, Some("correct horse")).unwrap());
    let repo = server.create_repo("locked");
    let known_hosts = server.known_hosts().trim().to_owned() + "\r\n";
    let engine =
        Engine::start_through(git().await, &work_dir, repo.url(), Credentials::ssh(open, Some(known_hosts))).await;
    engine.ready().await.send(upsert("a", "1"));
    commits(&repo, 1).await;
    engine.stop().await;
}

/// What ssh-keygen says is the public half of what we made of a key.
fn public_half(directory: &ScratchDir, key: &OpenKey) -> String {
    let file = directory.path().join("opened");
    std::fs::write(&file, key.expose()).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut keygen = Command::new(sshd::program("ssh-keygen").unwrap());
    let output = keygen.args(["-y", "-P", "", "-f"]).arg(&file).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().split(' ').take(2).collect::<Vec<_>>().join(" ").trim().to_owned()
}

fn keygen(directory: &ScratchDir, name: &str, arguments: &[&str]) -> (String, String) {
    let file = directory.path().join(name);
    let mut keygen = Command::new(sshd::program("ssh-keygen").unwrap());
    let output = keygen.arg("-q").args(arguments).arg("-f").arg(&file).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let public = std::fs::read_to_string(file.with_extension("pub")).unwrap();
    let public = public.split(' ').take(2).collect::<Vec<_>>().join(" ");
    (std::fs::read_to_string(file).unwrap(), public.trim().to_owned())
}

#[test]
fn every_key_that_ssh_keygen_makes_is_read_or_refused_with_a_reason() {
    let directory = ScratchDir::new().unwrap();
    let mut count = 0;
    let mut make = |arguments: &[&str]| {
        count += 1;
        keygen(&directory, &format!("key-{count}"), arguments)
    };
    for kind in [["-t", "ed25519"], ["-t", "ecdsa"], ["-t", "rsa"]] {
        let (private, public) = make(&[&kind[..], &["-N", ""]].concat());
        let open = OpenKey::read(&private, Some("not needed")).unwrap();
        assert_eq!(public_half(&directory, &open), public);
        let (private, public) = make(&[&kind[..], &["-N", "a b'c"]].concat());
        let open = OpenKey::read(&private, Some("a b'c")).unwrap();
        assert_eq!(public_half(&directory, &open), public);
        assert_eq!(OpenKey::read(&public, None), Err(BadKey::Public));
    }
    for cipher in ["aes128-ctr", "aes192-ctr", "aes128-cbc", "aes192-cbc", "aes256-cbc"] {
        let (private, public) = make(&["-t", "ed25519", "-N", "passphrase", "-Z", cipher]);
        let open = OpenKey::read(&private, Some("passphrase")).unwrap();
        assert_eq!(public_half(&directory, &open), public, "{cipher}");
        assert_eq!(OpenKey::read(&private, Some("wrong")), Err(BadKey::WrongPassphrase), "{cipher}");
    }
    let (private, _) = make(&["-t", "ed25519", "-N", "passphrase", "-Z", "aes256-gcm@openssh.com"]);
    assert_eq!(OpenKey::read(&private, Some("passphrase")), Err(BadKey::Lock));
    for format in ["PEM", "PKCS8"] {
        let (private, public) = make(&["-t", "rsa", "-N", "", "-m", format]);
        assert_eq!(public_half(&directory, &OpenKey::read(&private, None).unwrap()), public, "{format}");
        let (private, _) = make(&["-t", "rsa", "-N", "passphrase", "-m", format]);
        assert_eq!(OpenKey::read(&private, Some("passphrase")), Err(BadKey::Lock), "{format}");
    }
    let (private, _) = make(&["-t", "ed25519", "-N", ""]);
    let body = private.lines().nth(1).unwrap();
    let damages =
        [private.replace(body, ""), private.replace(body, "%"), private[..200].to_owned(), private.replace("END", "")];
    for damaged in damages {
        assert_eq!(OpenKey::read(&damaged, None), Err(BadKey::Damaged));
    }
    for text in ["", "hello", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"] {
        assert_eq!(OpenKey::read(text, None), Err(BadKey::NotAKey));
    }
    assert_eq!(OpenKey::read("PuTTY-User-Key-File-3: ssh-ed25519\n", None), Err(BadKey::Putty));
}

/// Not a test: an operator whose own agent holds a key. Does nothing unless `AGENT_URL` names a repository.
#[tokio::test]
#[ignore = "started by another test"]
async fn operator_with_an_agent() {
    let Ok(url) = std::env::var("AGENT_URL") else { return };
    let known_hosts = std::env::var_os("AGENT_KNOWN_HOSTS").map(PathBuf::from);
    let is_ambient = std::env::var_os("IS_AMBIENT").is_some();
    let authentication = if is_ambient { Authentication::Ambient } else { Authentication::None };
    let credentials = Credentials { authentication, ..Credentials::default() };
    let work_dir = ScratchDir::new().unwrap();
    let engine = Engine::start_through(git().await.with_known_hosts(known_hosts), &work_dir, &url, credentials).await;
    let said = eventually(SOON, "the remote to be looked at", async || {
        Ok(match engine.status().remote {
            RemoteState::Checking => None,
            RemoteState::Available => Some("opened".to_owned()),
            RemoteState::Failed(failure) => Some(format!("refused: {}", failure.message)),
        })
    });
    println!("{}", said.await.unwrap());
    engine.stop().await;
}

#[tokio::test]
async fn the_operators_agent_is_for_those_who_may_use_it() {
    let (server, _, scratch) = mk_server().await;
    let (private, public) = keygen(&scratch, "agents-key", &["-t", "ed25519", "-N", ""]);
    server.allow(&[(&SshKey { private, public }, Access::Write)]).unwrap();
    let repo = server.create_repo("agent");
    let socket = scratch.path().join("agent.socket");
    let mut command = Command::new(sshd::program("ssh-agent").unwrap());
    command.arg("-D").arg("-a").arg(&socket);
    let _agent = Process::start("ssh-agent", &command, &scratch).unwrap();
    eventually(SOON, "the agent to take the key", async || {
        let mut add = Command::new(sshd::program("ssh-add").unwrap());
        let added = add.arg("-q").arg(scratch.path().join("agents-key")).env("SSH_AUTH_SOCK", &socket).output()?;
        Ok(added.status.success().then_some(()))
    })
    .await
    .unwrap();
    let known = scratch.path().join("known_hosts");
    std::fs::write(&known, server.known_hosts()).unwrap();
    let operator = |is_ambient: bool, known_hosts: bool| {
        let mut operator = Command::new(std::env::current_exe().unwrap());
        operator.args(["git_ssh::operator_with_an_agent", "--exact", "--ignored", "--nocapture"]);
        operator.env("AGENT_URL", repo.url()).env("SSH_AUTH_SOCK", &socket);
        if is_ambient {
            operator.env("IS_AMBIENT", "1");
        }
        if known_hosts {
            operator.env("AGENT_KNOWN_HOSTS", &known);
        }
        let output = operator.output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let said = operator(true, true);
    assert!(said.contains("opened"), "{said}");
    let said = operator(true, false);
    assert!(said.contains("refused: The SSH key of the server is not known"), "{said}");
    let said = operator(false, true);
    assert!(said.contains("refused: The server does not let the SSH key in"), "{said}");
}
