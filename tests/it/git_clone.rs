//! Clones: what a person sees in them, what damages them, what bounds them. The real git, a real smart-HTTP remote.

use crate::support::engine::{
    Engine, SOON, change, clone_folders, clone_of, commits, content, failure, in_clone, mk_policy, mk_remote, path,
    seed, unpushed, upsert,
};
use crate::support::git_server::Fault;
use crate::support::poll::eventually;
use crate::support::remote_repo::{RemoteRepo, git_command};
use crate::support::scratch::ScratchDir;
use gitops_reverser::change::Content;
use gitops_reverser::git::cli::ProcessLimits;
use gitops_reverser::git::clone::policy::{ClonePolicy, Filter};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::net::TcpListener;

const ERIN: &str = "Erin <erin@example.com>";

/// Git as a person runs it in the clone.
fn by_hand(work_dir: &ScratchDir, arguments: &[&str]) -> Output {
    git_command().arg("-C").arg(clone_of(work_dir)).args(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs a fast-import stream in the remote's repository.
fn import(repo: &RemoteRepo, stream: &[u8]) {
    let mut git = git_command();
    git.arg("--git-dir").arg(repo.path()).args(["fast-import", "--quiet"]).stdin(Stdio::piped());
    let mut child = git.spawn().unwrap();
    child.stdin.take().unwrap().write_all(stream).unwrap();
    assert!(child.wait().unwrap().success());
}

/// Waits until the work tree is clean at the branch's tip, whose message holds `subject`.
async fn clean_at(work_dir: &ScratchDir, subject: &str) {
    eventually(SOON, "a clean work tree", async || {
        let log = text(&by_hand(work_dir, &["log", "-1", "--format=%s"]));
        let status = text(&by_hand(work_dir, &["status", "--porcelain"]));
        anyhow::ensure!(log.contains(subject) && status.is_empty(), "{log}{status}");
        Ok(Some(()))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_person_sees_a_clean_clone_in_which_nothing_is_checked_out() {
    let (server, repo, work_dir) = mk_remote("clean").await;
    let root = b"feature done\ncommit refs/heads/main\ncommitter E <e@example.com> 1 +0000\ndata 1\nx\n\
        M 100644 inline README.md\ndata 2\nx\n\nM 100644 inline .gitattributes\ndata 17\ndir/x filter=bad\n\n\
        M 100644 inline \"a \\\"b\\\"\\n\\303\\274\"\ndata 2\nx\n\nM 120000 inline passwd\ndata 11\n/etc/passwd\n\
        M 160000 0123456789012345678901234567890123456789 module\nM 100644 inline .gitmodules\ndata 2\nx\n\n\
        M 100644 inline dir/sub/file\ndata 2\nx\n\nM 100644 inline dir.x\ndata 2\nx\n\ndone\n";
    import(&repo, root);
    let engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    let mailbox = engine.ready().await;
    for value in ["1", "2", "3"] {
        mailbox.send(upsert("a", value));
        clean_at(&work_dir, if value == "1" { "[CREATE]" } else { "[UPDATE]" }).await;
    }
    commits(&repo, 4).await;
    clean_at(&work_dir, "[UPDATE]").await;
    assert!(clone_of(&work_dir).file_name().unwrap().to_string_lossy().starts_with("127.0.0.1_clean_main-"));
    let files: Vec<_> = std::fs::read_dir(clone_of(&work_dir)).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(files, [".git"]);
    for (arguments, expected) in [
        (&["status"][..], "nothing to commit, working tree clean"),
        (&["log", "-3", "--stat"], "a.yaml | 7 +++++++"),
        (&["show", "HEAD"], "+  key: 3"),
        (&["diff", "HEAD~1", "HEAD"], "-  key: 2"),
        (&["ls-files"], "dir/sub/file"),
        (&["diff", "--cached", "--stat"], ""),
    ] {
        let output = by_hand(&work_dir, arguments);
        assert!(output.status.success() && text(&output).contains(expected), "{arguments:?}: {}", text(&output));
    }
    // Whatever the checks of git find wrong with the index, they would say.
    let checked = by_hand(&work_dir, &["-c", "remote.origin.promisor=false", "fsck", "--connectivity-only"]);
    assert!(!text(&checked).contains("index"), "{}", text(&checked));
    engine.stop().await;
}

#[tokio::test]
async fn what_a_person_does_in_a_clone_stays_and_stops_nothing() {
    let (server, repo, work_dir) = mk_remote("hands").await;
    let engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    let mailbox = engine.ready().await;
    mailbox.send(upsert("a", "1"));
    mailbox.send(upsert("b", "1"));
    commits(&repo, 2).await;
    clean_at(&work_dir, "[CREATE]").await;
    // Looks at files, edits one and stages another.
    assert!(by_hand(&work_dir, &["sparse-checkout", "add", "base"]).status.success());
    let (edited, staged) = (clone_of(&work_dir).join(path("a")), clone_of(&work_dir).join(path("b")));
    std::fs::write(&edited, "mine\n").unwrap();
    std::fs::write(&staged, "mine too\n").unwrap();
    assert!(by_hand(&work_dir, &["add", &path("b")]).status.success());
    mailbox.send(upsert("c", "1"));
    commits(&repo, 3).await;
    eventually(SOON, "the work tree to follow", async || {
        let status = text(&by_hand(&work_dir, &["status", "--porcelain"]));
        let expected = format!(" M {}\nM  {}\n", path("a"), path("b"));
        anyhow::ensure!(status == expected, "{status}");
        Ok(Some(()))
    })
    .await
    .unwrap();
    // In the middle of something: the lock is not taken away, and nothing waits for it.
    let lock = clone_of(&work_dir).join(".git/index.lock");
    std::fs::write(&lock, "").unwrap();
    mailbox.send(upsert("a", "2"));
    commits(&repo, 4).await;
    assert!(lock.exists());
    assert_eq!(std::fs::read_to_string(&edited).unwrap(), "mine\n");
    assert_eq!(std::fs::read_to_string(&staged).unwrap(), "mine too\n");
    std::fs::remove_file(&lock).unwrap();
    // Gives everything back.
    assert!(by_hand(&work_dir, &["reset", "--hard", "--quiet"]).status.success());
    assert!(by_hand(&work_dir, &["sparse-checkout", "set"]).status.success());
    mailbox.send(upsert("a", "3"));
    clean_at(&work_dir, "[UPDATE]").await;
    engine.stop().await;
}

/// A way to damage a clone; the files that it touches are below `.git`.
type Damage = fn(&Path);

fn packs(git_dir: &Path) -> Vec<PathBuf> {
    let mut packs: Vec<_> = std::fs::read_dir(git_dir.join("objects/pack"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "pack"))
        .collect();
    packs.sort_by_key(|path| path.metadata().unwrap().modified().unwrap());
    packs
}

fn overwrite(path: &Path, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    let bytes = std::fs::read(path).unwrap();
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, change(bytes)).unwrap();
}

/// What can be damaged while the two last commits wait, and how many of them are rescued.
const DAMAGES: [(&str, Damage, usize); 12] = [
    ("no HEAD", |git| std::fs::remove_file(git.join("HEAD")).unwrap(), 2),
    ("garbage config", |git| overwrite(&git.join("config"), |_| b"[core\n\x00garbage".to_vec()), 2),
    ("no config", |git| std::fs::remove_file(git.join("config")).unwrap(), 2),
    ("zeroed branch", |git| overwrite(&git.join("refs/heads/main"), |_| Vec::new()), 2),
    ("no branch", |git| std::fs::remove_file(git.join("refs/heads/main")).unwrap(), 2),
    ("garbage base", |git| overwrite(&git.join("refs/reverser/base"), |_| b"\x00\x00\x00".to_vec()), 2),
    ("no refs", |git| std::fs::remove_dir_all(git.join("refs")).unwrap(), 2),
    ("no marker", |git| std::fs::remove_file(git.join("reverser-ready")).unwrap(), 2),
    ("truncated pack", |git| overwrite(packs(git).last().unwrap(), |bytes| bytes[..bytes.len() / 2].to_vec()), 1),
    ("missing pack", |git| std::fs::remove_file(packs(git).last().unwrap()).unwrap(), 1),
    ("empty index of a pack", |git| overwrite(&packs(git).last().unwrap().with_extension("idx"), |_| Vec::new()), 1),
    ("no objects", |git| std::fs::remove_dir_all(git.join("objects")).unwrap(), 0),
];

#[tokio::test]
async fn damaged_clones_are_made_anew_with_what_can_be_rescued() {
    for (name, damage, rescued) in DAMAGES {
        eprintln!("damage: {name}");
        let (server, repo, work_dir) = mk_remote("damaged").await;
        repo.commit_file("main", "README.md", "hello\n", ERIN);
        let engine = Engine::start(&work_dir, repo.url(), server.password()).await;
        let mailbox = engine.ready().await;
        mailbox.send(upsert("a", "1"));
        commits(&repo, 2).await;
        unpushed(&engine, 0).await;
        server.set_fault(Some(Fault::Down));
        for (count, value) in [(1, "2"), (2, "3")] {
            mailbox.send(upsert("a", value));
            unpushed(&engine, count).await;
        }
        engine.kill().await;
        damage(&clone_of(&work_dir).join(".git"));
        repo.commit_file("main", "foreign.txt", "hello\n", ERIN);
        server.set_fault(None);

        let engine = Engine::start(&work_dir, repo.url(), server.password()).await;
        let mailbox = engine.ready().await;
        commits(&repo, 3 + rescued).await;
        seed(&mailbox, &[("a", "3"), ("b", "1")]).await;
        commits(&repo, 4 + rescued).await;
        assert_eq!(repo.read("main", &path("a")), content("3", "a"), "{name}");
        let subjects: Vec<_> = repo.log("main").into_iter().map(|commit| commit.subject).collect();
        assert_eq!(subjects.iter().filter(|subject| subject.contains("[UPDATE]")).count(), rescued, "{name}");
        assert_eq!(repo.read("main", "foreign.txt").as_deref(), Some("hello\n"), "{name}");
        engine.stop().await;
        clean_at(&work_dir, "[RECONCILE]").await;
        let kept = clone_folders(&work_dir).iter().any(|path| path.extension().is_some_and(|it| it == "damaged"));
        assert_eq!(kept, rescued < 2, "{name}: what could not be rescued stays beside");
    }
}

#[tokio::test]
async fn a_clone_that_is_damaged_while_it_is_used_is_made_anew_and_asks_for_everything() {
    for damage in ["objects", ""] {
        let (server, repo, work_dir) = mk_remote("running").await;
        let mut engine = Engine::start(&work_dir, repo.url(), server.password()).await;
        let mailbox = engine.ready().await;
        mailbox.send(upsert("a", "1"));
        commits(&repo, 1).await;
        // Until git has ended, it writes.
        unpushed(&engine, 0).await;
        std::fs::remove_dir_all(clone_of(&work_dir).join(".git").join(damage)).unwrap();
        mailbox.send(upsert("a", "2"));
        engine.asked().await;
        let mailbox = engine.ready().await;
        // That may have come from the mailbox already.
        seed(&mailbox, &[("a", "2")]).await;
        commits(&repo, 2).await;
        mailbox.send(change("a", Content::Delete));
        commits(&repo, 3).await;
        engine.stop().await;
    }
}

#[tokio::test]
async fn other_settings_make_the_clone_anew_and_keep_its_journal() {
    let (server, repo, work_dir) = mk_remote("settings").await;
    for number in 0..5 {
        repo.commit_file("main", "README.md", &format!("{number}\n"), ERIN);
    }
    let shallow = ClonePolicy { depth: 2, ..mk_policy() };
    let start = async |policy| {
        Engine::start_with(&work_dir, repo.url(), server.password(), policy, ProcessLimits::default()).await
    };
    let engine = start(shallow).await;
    engine.ready().await;
    let history = || in_clone(&work_dir, &["rev-list", "--count", "HEAD"]);
    let missing = || {
        let objects = in_clone(&work_dir, &["rev-list", "--objects", "--missing=print", "HEAD"]);
        objects.lines().filter(|line| line.starts_with('?')).count()
    };
    assert_eq!((history().as_str(), missing()), ("2", 2));
    server.set_fault(Some(Fault::Down));
    engine.ready().await.send(upsert("a", "1"));
    unpushed(&engine, 1).await;
    engine.kill().await;
    // It cannot be made anew now, and is not thrown away for that.
    let full = ClonePolicy { depth: 0, filter: Filter::Nothing, ..mk_policy() };
    let engine = start(full).await;
    failure(&engine, |failure| failure.reason == "NetworkError").await;
    assert_eq!(history(), "3");
    server.set_fault(None);
    engine.ready().await;
    commits(&repo, 6).await;
    assert_eq!((history().as_str(), missing()), ("6", 0));
    engine.stop().await;
    let inode = || std::os::unix::fs::MetadataExt::ino(&clone_of(&work_dir).metadata().unwrap());
    let before = inode();
    let engine = start(full).await;
    engine.ready().await;
    assert_eq!(inode(), before, "equal settings change nothing");
    engine.stop().await;
}

#[tokio::test]
async fn a_remote_that_lacks_our_history_gets_all_of_it() {
    let (server, repo, work_dir) = mk_remote("lacks").await;
    for number in 0..5 {
        repo.commit_file("main", "README.md", &format!("{number}\n"), ERIN);
    }
    let policy = ClonePolicy { depth: 2, ..mk_policy() };
    let limits = ProcessLimits::default();
    let mut engine = Engine::start_with(&work_dir, repo.url(), server.password(), policy, limits).await;
    engine.ready().await.send(upsert("a", "1"));
    commits(&repo, 6).await;
    // Somebody makes the repository anew: nothing of what we have is there any more.
    repo.git(&["update-ref", "-d", "refs/heads/main"]);
    repo.git(&["reflog", "expire", "--expire=now", "--all"]);
    repo.git(&["gc", "--prune=now", "--quiet"]);
    engine.ready().await.send(upsert("a", "2"));
    engine.asked().await;
    seed(&*engine.ready().await, &[("a", "2"), ("b", "1")]).await;
    commits(&repo, 2).await;
    assert_eq!(repo.files("main"), [path("a"), path("b")]);
    engine.stop().await;
}

#[tokio::test]
async fn a_remote_that_cannot_filter_is_cloned_without() {
    let (server, repo, work_dir) = mk_remote("unfiltered").await;
    repo.commit_file("main", "README.md", "hello\n", ERIN);
    repo.git(&["config", "uploadpack.allowFilter", "false"]);
    let engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    engine.ready().await.send(upsert("a", "1"));
    commits(&repo, 2).await;
    assert_eq!(in_clone(&work_dir, &["-c", "remote.origin.url=/nowhere", "show", "HEAD:README.md"]), "hello");
    assert!(!by_hand(&work_dir, &["config", "remote.origin.promisor"]).status.success());
    engine.stop().await;
}

#[tokio::test]
async fn repositories_of_the_other_hash_work_the_same() {
    for is_empty in [true, false] {
        let (server, repo, work_dir) = mk_remote("sha256").await;
        std::fs::remove_dir_all(repo.path()).unwrap();
        let init = git_command()
            .args(["init", "--quiet", "--bare", "--initial-branch=main", "--object-format=sha256"])
            .arg(repo.path())
            .status();
        assert!(init.unwrap().success());
        for setting in ["http.receivepack", "uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"] {
            repo.git(&["config", setting, "true"]);
        }
        let before = usize::from(!is_empty);
        if !is_empty {
            repo.commit_file("main", "README.md", "hello\n", ERIN);
        }
        let engine = Engine::start(&work_dir, repo.url(), server.password()).await;
        let mailbox = engine.ready().await;
        seed(&mailbox, &[("a", "1"), ("b", "1")]).await;
        commits(&repo, before + 1).await;
        repo.commit_file("main", "foreign.txt", "hello\n", ERIN);
        mailbox.send(upsert("a", "2"));
        commits(&repo, before + 3).await;
        clean_at(&work_dir, "[UPDATE]").await;
        engine.stop().await;
        let engine = Engine::start(&work_dir, repo.url(), server.password()).await;
        seed(&*engine.ready().await, &[("a", "2")]).await;
        commits(&repo, before + 4).await;
        assert_eq!(repo.head("main").unwrap().len(), 64);
        engine.stop().await;
    }
}

#[tokio::test]
async fn packs_are_put_together_while_commits_go_on() {
    let (server, repo, work_dir) = mk_remote("packs").await;
    repo.commit_file("main", "README.md", "hello\n", ERIN);
    let policy = ClonePolicy { most_packs: 5, idle: Duration::from_millis(300), ..mk_policy() };
    let limits = ProcessLimits::default();
    let engine = Engine::start_with(&work_dir, repo.url(), server.password(), policy, limits).await;
    let mailbox = engine.ready().await;
    for number in 1..=12 {
        mailbox.send(upsert("a", &number.to_string()));
        eventually(SOON, "the commit", async || {
            let count = in_clone(&work_dir, &["rev-list", "--count", "HEAD"]);
            Ok((count == (number + 1).to_string()).then_some(()))
        })
        .await
        .unwrap();
    }
    commits(&repo, 13).await;
    let git_dir = clone_of(&work_dir).join(".git");
    eventually(SOON, "few packs", async || {
        let count = packs(&git_dir).len();
        anyhow::ensure!(count <= 3, "{count} packs");
        Ok(Some(()))
    })
    .await
    .unwrap();
    mailbox.send(upsert("a", "last"));
    commits(&repo, 14).await;
    let checked = by_hand(&work_dir, &["-c", "remote.origin.url=/nowhere", "fsck", "--connectivity-only"]);
    assert!(checked.status.success(), "{}", text(&checked));
    assert!(text(&by_hand(&work_dir, &["log", "-p"])).contains("+  key: 12"));
    engine.stop().await;
}

#[tokio::test]
async fn a_long_history_is_cut_by_a_new_clone() {
    let (server, repo, work_dir) = mk_remote("long").await;
    let policy = ClonePolicy { depth: 2, most_commits: 6, idle: Duration::from_millis(300), ..mk_policy() };
    let limits = ProcessLimits::default();
    let mut engine = Engine::start_with(&work_dir, repo.url(), server.password(), policy, limits).await;
    let mailbox = engine.ready().await;
    for number in 0..8 {
        mailbox.send(upsert(&format!("object-{number}"), "1"));
    }
    commits(&repo, 8).await;
    eventually(SOON, "a shorter history", async || {
        let count = text(&by_hand(&work_dir, &["rev-list", "--count", "HEAD"]));
        anyhow::ensure!(count.trim() == "2", "{count}");
        Ok(Some(()))
    })
    .await
    .unwrap();
    clean_at(&work_dir, "[CREATE]").await;
    mailbox.send(upsert("object-0", "2"));
    mailbox.send(upsert("object-1", "1"));
    commits(&repo, 9).await;
    clean_at(&work_dir, "[UPDATE]").await;
    assert_eq!(clone_folders(&work_dir).len(), 1);
    assert!(engine.resyncs.try_recv().is_err(), "nothing has to be asked for");
    engine.stop().await;
}

#[tokio::test]
async fn clones_that_nobody_wants_are_removed_when_their_time_is_up() {
    let (server, repo, work_dir) = mk_remote("stale").await;
    let policy = ClonePolicy { ttl: Duration::from_secs(3600), sweep: Duration::from_millis(100), ..mk_policy() };
    let limits = ProcessLimits::default();
    let engine = Engine::start_with(&work_dir, repo.url(), server.password(), policy, limits).await;
    engine.ready().await;
    let used = clone_of(&work_dir);
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(7200);
    let date = |clone: &Path, at| {
        let marker = clone.join(".git/reverser-ready");
        std::fs::File::options().append(true).open(marker).unwrap().set_modified(at).unwrap();
    };
    for (name, at) in [("stale", long_ago), ("recent", std::time::SystemTime::now())] {
        let copy = used.with_file_name(name);
        assert!(std::process::Command::new("cp").arg("-r").arg(&used).arg(&copy).status().unwrap().success());
        date(&copy, at);
    }
    date(&used, long_ago);
    eventually(SOON, "the stale one to go", async || Ok((!used.with_file_name("stale").exists()).then_some(())))
        .await
        .unwrap();
    engine.ready().await.send(upsert("a", "1"));
    commits(&repo, 1).await;
    assert!(used.exists() && used.with_file_name("recent").exists());
    engine.stop().await;
    let noted = used.join(".git/reverser-ready").metadata().unwrap().modified().unwrap();
    assert!(noted > long_ago + Duration::from_secs(3600), "it was wanted until now");
}

#[tokio::test]
async fn a_server_that_stalls_holds_up_nobody_else() {
    let (server, repo, work_dir) = mk_remote("brisk").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // As few processes as there may be: with three branches that stall, nothing would be left.
    let limits = ProcessLimits::new(4, 1);
    let engine = Engine::start_with(&work_dir, repo.url(), server.password(), mk_policy(), limits).await;
    let stalled = |number: usize| {
        let mut spec = engine.spec(server.password());
        let url = format!("http://{}/stalled-{}.git", listener.local_addr().unwrap(), number % 2);
        spec.key.url = gitops_reverser::resource::RepoUrl::parse(&url, true).unwrap();
        spec.key.provider_uid = number.to_string().into();
        spec
    };
    let mut specs = vec![engine.spec(server.password())];
    specs.extend((0..6).map(stalled));
    engine.apply(specs);
    // Both servers hold one connection each, and whoever waits for them holds nothing.
    let _held = [listener.accept().await.unwrap(), listener.accept().await.unwrap()];
    let mailbox = engine.ready().await;
    for value in ["1", "2"] {
        mailbox.send(upsert("a", value));
    }
    commits(&repo, 2).await;
    engine.kill().await;
}

/// Set for the part of a test that runs on a small disk: where that is.
const SMALL_DISK: &str = "GITOPS_REVERSER_TEST_SMALL_DISK";

#[tokio::test]
async fn a_full_disk_stops_commits_until_there_is_room() {
    if let Some(disk) = std::env::var_os(SMALL_DISK) {
        for least_free_percent in [20, 0] {
            on_a_full_disk(Path::new(&disk), least_free_percent).await;
        }
        return;
    }
    // A disk of its own, which nobody else sees, needs a namespace of its own.
    let scratch = ScratchDir::new().unwrap();
    let output = std::process::Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c"])
        .arg("mount -t tmpfs -o size=8m tmpfs \"$1\" && shift && exec \"$@\"")
        .arg("sh")
        .arg(scratch.path())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "git_clone::a_full_disk_stops_commits_until_there_is_room", "--nocapture"])
        .env(SMALL_DISK, scratch.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
}

async fn on_a_full_disk(disk: &Path, least_free_percent: u8) {
    let (server, repo, work_dir) = mk_remote("disk").await;
    std::fs::create_dir_all(disk.join("clones")).unwrap();
    std::os::unix::fs::symlink(disk.join("clones"), work_dir.path().join("clones")).unwrap();
    let policy = ClonePolicy { least_free_percent, ..mk_policy() };
    let limits = ProcessLimits::default();
    let mut engine = Engine::start_with(&work_dir, repo.url(), server.password(), policy, limits).await;
    let mailbox = engine.ready().await;
    mailbox.send(upsert("a", "1"));
    commits(&repo, 1).await;
    let filler = disk.join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    while file.write_all(&[b'x'; 4096]).is_ok() {}
    drop(file);
    mailbox.send(upsert("a", "2"));
    failure(&engine, |failure| failure.message.contains("make room")).await;
    assert!(engine.status().targets.is_empty(), "no target takes changes");
    std::fs::remove_file(&filler).unwrap();
    let mailbox = engine.ready().await;
    engine.asked().await;
    seed(&mailbox, &[("a", "2")]).await;
    commits(&repo, 2).await;
    assert_eq!(repo.read("main", &path("a")), content("2", "a"));
    engine.stop().await;
    std::fs::remove_dir_all(disk.join("clones")).unwrap();
}
