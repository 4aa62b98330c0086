//! A bare repository behind a [`super::git_server::GitServer`], looked at and changed from behind, without the
//! network. Everything here panics when git fails: that is a failed test.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// One repository of a server.
#[derive(Clone, Debug)]
pub(crate) struct RemoteRepo {
    path: PathBuf,
    url: String,
    authenticated_url: String,
}

/// A commit as `git log` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommitInfo {
    pub(crate) oid: String,
    pub(crate) author_name: String,
    pub(crate) author_email: String,
    pub(crate) committer_name: String,
    pub(crate) subject: String,
    /// Everything below the subject, trailers included, without the last line break.
    pub(crate) body: String,
    /// `A`, `M` or `D`, and the path; a rename is a `D` and an `A`. Empty for merges.
    pub(crate) changes: Vec<(char, String)>,
}

/// `git` that neither reads the configuration of this machine's user nor asks anybody anything.
pub(crate) fn git_command() -> Command {
    clean_command("git")
}

/// A program of git with that environment.
pub(super) fn clean_command(program: impl AsRef<OsStr>) -> Command {
    let mut git = Command::new(program);
    for (key, _) in std::env::vars_os() {
        // Set while this runs in a hook of some other repository.
        if key.to_string_lossy().starts_with("GIT_") {
            git.env_remove(key);
        }
    }
    git.env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        // No ~/.netrc either.
        .env("HOME", "/dev/null")
        .env("LC_ALL", "C")
        .env("NO_PROXY", "*")
        .env("GIT_AUTHOR_NAME", "Somebody Else")
        .env("GIT_AUTHOR_EMAIL", "else@example.com")
        .env("GIT_COMMITTER_NAME", "Somebody Else")
        .env("GIT_COMMITTER_EMAIL", "else@example.com")
        .stdin(Stdio::null());
    git
}

impl RemoteRepo {
    pub(super) fn create(path: PathBuf, url: String, authenticated_url: String) -> Self {
        let mut init = git_command();
        run(init.args(["init", "--quiet", "--bare", "--initial-branch=main"]).arg(&path), b"");
        let repo = Self { path, url, authenticated_url };
        repo.git(&["config", "http.receivepack", "true"]);
        // A collection in the background would outlive the test.
        repo.git(&["config", "gc.auto", "0"]);
        repo.git(&["config", "uploadpack.allowFilter", "true"]);
        repo.git(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
        repo
    }

    /// The address, without credentials.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The address with user and password in it.
    pub(crate) fn authenticated_url(&self) -> &str {
        &self.authenticated_url
    }

    /// The bare repository on disk.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs git in the bare repository and returns what it printed, without the last line break.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        run(self.command().args(args), b"")
    }

    /// The commit that the branch points at.
    pub(crate) fn head(&self, branch: &str) -> Option<String> {
        self.resolve(&format!("refs/heads/{branch}"))
    }

    /// The commits of a branch, oldest first; none if there is no such branch.
    pub(crate) fn log(&self, branch: &str) -> Vec<CommitInfo> {
        let Some(head) = self.head(branch) else {
            return Vec::new();
        };
        let format = "--format=%x01%H%x02%an%x02%ae%x02%cn%x02%s%x02%b%x02";
        let text = self.git(&[
            "-c",
            "core.quotePath=false",
            "log",
            "--topo-order",
            "--reverse",
            "--no-renames",
            "--name-status",
            format,
            &head,
        ]);
        text.split('\x01').skip(1).map(parse_commit).collect()
    }

    /// All files of a branch, sorted by path; none if there is no such branch.
    pub(crate) fn files(&self, branch: &str) -> Vec<String> {
        let Some(head) = self.head(branch) else {
            return Vec::new();
        };
        let listed = self.git(&["ls-tree", "-r", "-z", "--name-only", &head]);
        listed.split_terminator('\0').map(str::to_owned).collect()
    }

    /// The content of a file at the tip of a branch.
    pub(crate) fn read(&self, branch: &str, path: &str) -> Option<String> {
        let blob = self.resolve(&format!("refs/heads/{branch}:{path}"))?;
        Some(run_exact(self.command().args(["cat-file", "blob", &blob]), b""))
    }

    /// Commits one file on top of a branch, as somebody else would, and returns the commit. Makes the branch if
    /// there is none; starts again when somebody was faster. `author` is like `Jane Doe <jane@example.com>`.
    pub(crate) fn commit_file(&self, branch: &str, path: &str, content: &str, author: &str) -> String {
        loop {
            let parent = self.head(branch);
            let oid = self.commit_file_on(parent.as_deref(), path, content, author);
            // An empty old value means that the branch must not exist yet.
            let old = parent.clone().unwrap_or_default();
            let mut update = self.command();
            update.args(["update-ref", &format!("refs/heads/{branch}"), &oid, &old]);
            if update.output().expect("running git update-ref").status.success() {
                return oid;
            }
            assert_ne!(self.head(branch), parent, "{branch} cannot be moved, and nobody has moved it");
        }
    }

    /// Makes a commit of one file on top of `parent`, without moving any branch.
    pub(crate) fn commit_file_on(&self, parent: Option<&str>, path: &str, content: &str, author: &str) -> String {
        let (name, email) = author.trim_end_matches('>').split_once(" <").expect("an author like 'Name <email>'");
        let index = self.path.join(format!("index-{:016x}", fastrand::u64(..)));
        let with_index = || {
            let mut command = self.command();
            command.env("GIT_INDEX_FILE", &index);
            command
        };
        if let Some(parent) = parent {
            run(with_index().args(["read-tree", parent]), b"");
        }
        let blob = run(self.command().args(["hash-object", "-w", "--stdin"]), content.as_bytes());
        run(with_index().args(["update-index", "--add", "--cacheinfo", &format!("100644,{blob},{path}")]), b"");
        let tree = run(with_index().arg("write-tree"), b"");
        std::fs::remove_file(&index).expect("removing the temporary index");

        let mut commit = self.command();
        commit.env("GIT_AUTHOR_NAME", name).env("GIT_AUTHOR_EMAIL", email);
        commit.args(["commit-tree", &tree, "-m", &format!("Change {path}")]);
        if let Some(parent) = parent {
            commit.args(["-p", parent]);
        }
        run(&mut commit, b"")
    }

    /// A server-side hook `name`: this shell script.
    pub(crate) fn set_hook(&self, name: &str, script: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let hook = self.path.join("hooks").join(name);
        std::fs::write(&hook, format!("#!/bin/sh\n{script}\n")).expect("writing a hook");
        std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).expect("making a hook executable");
    }

    fn command(&self) -> Command {
        let mut git = git_command();
        git.arg("--git-dir").arg(&self.path);
        git
    }

    fn resolve(&self, revision: &str) -> Option<String> {
        let output = self
            .command()
            .args(["rev-parse", "--verify", "--quiet", revision])
            .output()
            .expect("running git rev-parse");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }
}

fn parse_commit(record: &str) -> CommitInfo {
    let fields: Vec<&str> = record.split('\x02').collect();
    let [oid, author_name, author_email, committer_name, subject, body, changes] = fields[..] else {
        panic!("git log printed something unexpected: {record:?}");
    };
    let change = |line: &str| {
        let (status, path) = line.split_once('\t')?;
        Some((status.chars().next()?, path.to_owned()))
    };
    CommitInfo {
        oid: oid.to_owned(),
        author_name: author_name.to_owned(),
        author_email: author_email.to_owned(),
        committer_name: committer_name.to_owned(),
        subject: subject.to_owned(),
        body: body.trim_end().to_owned(),
        changes: changes.lines().filter_map(change).collect(),
    }
}

/// Standard output without the last line break.
#[track_caller]
fn run(command: &mut Command, input: &[u8]) -> String {
    let mut output = run_exact(command, input);
    if output.ends_with('\n') {
        output.pop();
    }
    output
}

#[track_caller]
fn run_exact(command: &mut Command, input: &[u8]) -> String {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starting git");
    // Dropped after the write, which ends the input.
    child.stdin.take().expect("a piped stdin").write_all(input).expect("writing to git");
    let output = child.wait_with_output().expect("waiting for git");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed ({}): {stderr}", output.status);
    String::from_utf8(output.stdout).expect("git printed something else than UTF-8")
}
