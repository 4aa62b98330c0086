//! What a failure of git means: whether and how fast to try again, and what a person should do.
//!
//! Exit codes and porcelain reasons are looked at first (see [`super::push`]); the text is the last resort. The
//! patterns are what the real git writes with `LC_ALL=C`.

mod ssh;

use super::cli::{GitError, Output};
use super::credentials::AccessError;
use super::status::RemoteFailure;
use std::io::ErrorKind;

/// The class of a failure decides how it is retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The network or the server is unwell: try again soon.
    Transient,
    /// The credentials do not suffice: slowly, and at once when they change.
    Auth,
    /// There is no such repository: slowly.
    NotFound,
    /// A setting is wrong: slowly.
    Config,
    /// The server refuses what we send: slowly.
    Rejected,
    /// The clone is damaged.
    Corrupt,
    /// The disk is full.
    Disk,
    /// Nothing that is known: slowly, and loudly.
    Bug,
}

const PATTERNS: [(&str, Class); 49] = [
    ("could not read Username", Class::Auth),
    ("could not read Password", Class::Auth),
    ("Authentication failed", Class::Auth),
    ("The requested URL returned error: 401", Class::Auth),
    ("The requested URL returned error: 403", Class::Auth),
    ("returned error: 404", Class::NotFound),
    ("' not found", Class::NotFound),
    ("does not appear to be a git repository", Class::NotFound),
    ("access denied or repository not exported", Class::NotFound),
    ("No space left on device", Class::Disk),
    ("Out of diskspace", Class::Disk),
    ("couldn't write '", Class::Disk),
    ("Could not resolve host", Class::Transient),
    ("unable to look up", Class::Transient),
    ("Failed to connect", Class::Transient),
    ("Couldn't connect to server", Class::Transient),
    ("Connection refused", Class::Transient),
    ("Connection reset", Class::Transient),
    ("Connection timed out", Class::Transient),
    ("Recv failure", Class::Transient),
    ("Send failure", Class::Transient),
    ("Empty reply from server", Class::Transient),
    ("Operation too slow", Class::Transient),
    ("Operation timed out", Class::Transient),
    ("early EOF", Class::Transient),
    ("the remote end hung up unexpectedly", Class::Transient),
    ("unexpected disconnect", Class::Transient),
    ("transfer closed with", Class::Transient),
    ("returned error: 429", Class::Transient),
    // It was there a moment ago, when its tip was asked for.
    ("couldn't find remote ref", Class::Transient),
    ("returned error: 30", Class::Config),
    ("returned error: 5", Class::Transient),
    ("cannot lock ref", Class::Transient),
    ("server certificate verification failed", Class::Config),
    ("SSL certificate problem", Class::Config),
    ("gnutls_handshake() failed", Class::Config),
    // A server that wants a certificate of the client's, or another one.
    ("A TLS fatal alert has been received", Class::Config),
    ("alert certificate required", Class::Config),
    // It closed the connection while that was being set up.
    ("getpeername() failed", Class::Transient),
    ("is this a git repository?", Class::Config),
    ("unable to find remote helper", Class::Config),
    ("not allowed", Class::Config),
    ("mismatched algorithms", Class::Config),
    ("marked as read only", Class::Auth),
    ("Could not read from remote repository", Class::Auth),
    (".lock': File exists", Class::Corrupt),
    ("fatal: not a git repository", Class::Corrupt),
    ("is corrupt", Class::Corrupt),
    ("bad object", Class::Corrupt),
];

impl Class {
    /// The class of an error.
    #[must_use]
    pub fn of(error: &GitError) -> Self {
        match error {
            GitError::Timeout { .. } => Self::Transient,
            GitError::Access(error) => error.class(),
            GitError::Failed { code, diagnosis, .. } => match Self::of_diagnosis(diagnosis) {
                // Something killed it, for want of memory perhaps: that says nothing about the next try.
                Self::Bug if *code == -1 => Self::Transient,
                class => class,
            },
            GitError::DiskLow { .. } => Self::Disk,
            GitError::Damaged { .. } => Self::Corrupt,
            GitError::Process { source, .. } => match source.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::Disk,
                // Git itself was there at start: what is gone is the clone.
                ErrorKind::NotFound => Self::Corrupt,
                _ => Self::Bug,
            },
            _ => Self::Bug,
        }
    }

    /// The class of what a command left; `None` when it worked.
    #[must_use]
    pub fn of_output(output: &Output) -> Option<Self> {
        (output.code != 0).then(|| Self::of_diagnosis(&output.stderr))
    }

    fn of_diagnosis(diagnosis: &str) -> Self {
        if let Some(cause) = ssh::Cause::of(diagnosis) {
            return cause.class();
        }
        PATTERNS.iter().find(|(pattern, _)| diagnosis.contains(pattern)).map_or(Self::Bug, |(_, class)| *class)
    }

    /// The reason that a condition shows.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Transient => "NetworkError",
            Self::Auth => "AuthenticationFailed",
            Self::NotFound => "RepositoryNotFound",
            Self::Config | Self::Rejected | Self::Corrupt | Self::Disk | Self::Bug => "GitOperationFailed",
        }
    }

    const fn advice(self) -> &'static str {
        match self {
            Self::Transient => {
                "The remote cannot be reached; it is tried again by itself. Check host name, network and proxy if it stays so"
            }
            Self::Auth => {
                "The remote refuses the credentials; check the credentials in the Secret of the GitProvider, and that they may write"
            }
            Self::NotFound => {
                "The remote has no such repository, or hides it from these credentials; check spec.url of the GitProvider"
            }
            Self::Config => {
                "The remote cannot be used as it is configured; check spec.url of the GitProvider, which must not be redirected, and the server's certificate"
            }
            Self::Rejected => "The remote refuses the commits; check the rules that protect the branch",
            Self::Corrupt => "The local clone is damaged",
            Self::Disk => "The disk below the work directory is full; make room",
            Self::Bug => "Git failed in an unexpected way; see the operator's log",
        }
    }
}

/// What the status says about a failure: advice, then git's own last words.
#[must_use]
pub fn describe(error: &GitError) -> RemoteFailure {
    let detail = match error {
        GitError::Failed { diagnosis, .. } => last_words(diagnosis).unwrap_or_else(|| error.to_string()),
        _ => error.to_string(),
    };
    let cause = match error {
        GitError::Access(AccessError::UnknownHost(_)) => Some(ssh::Cause::HostUnknown),
        GitError::Failed { diagnosis, .. } => ssh::Cause::of(diagnosis),
        _ => None,
    };
    match cause {
        Some(cause) => told(cause.class(), cause.advice(), &detail),
        None => failure(Class::of(error), &detail),
    }
}

/// A failure of `class`, with what git or the server said.
#[must_use]
pub fn failure(class: Class, detail: &str) -> RemoteFailure {
    told(class, class.advice(), detail)
}

fn told(class: Class, advice: &str, detail: &str) -> RemoteFailure {
    RemoteFailure { reason: class.reason(), message: format!("{advice} ({})", printable(detail)) }
}

/// What either side says about the other when it ends: what it had died of is said before that, if at all.
const AFTERMATH: [&str; 4] =
    ["the remote end hung up unexpectedly", "early EOF", "unexpected disconnect", "failed to push some refs"];

fn last_words(diagnosis: &str) -> Option<String> {
    let lines: Vec<&str> = diagnosis.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let is_cause = |line: &str| !AFTERMATH.iter().any(|aftermath| line.contains(aftermath));
    let last =
        |prefix: &str, any: bool| lines.iter().rposition(|line| line.starts_with(prefix) && (any || is_cause(line)));
    let line = match last("fatal: ", false).or_else(|| last("error: ", false)).or_else(|| last("fatal: ", true)) {
        // Over SSH git says no more than this; what ssh or the server said stands before it.
        Some(at) if at > 0 && lines[at].contains("Could not read from remote repository") => lines[at - 1],
        Some(at) => lines[at],
        None => lines.last()?,
    };
    Some(untimed(line.trim_start_matches("fatal: ").trim_start_matches("error: ")))
}

/// `line` without how long something took: it would be another message each time.
fn untimed(line: &str) -> String {
    let Some((before, rest)) = line.split_once(" after ") else { return line.to_owned() };
    let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    let unit = [" ms", " milliseconds"].iter().find_map(|unit| after.strip_prefix(unit));
    unit.filter(|_| after.len() < rest.len()).map_or_else(|| line.to_owned(), |tail| format!("{before}{tail}"))
}

/// Text of a server on one line, without control characters, cut to 300 characters.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_reads_the_same_each_time() {
        let said = |took| {
            last_words(&format!(
                "fatal: unable to access 'http://h/r/': Failed to connect to h port 1 after {took}: Couldn't connect to server"
            ))
        };
        let expected = "unable to access 'http://h/r/': Failed to connect to h port 1: Couldn't connect to server";
        assert_eq!((said("0 ms").as_deref(), said("12 ms").as_deref()), (Some(expected), Some(expected)));
        assert_eq!(said("12 milliseconds").as_deref(), Some(expected));
        assert_eq!(last_words("fatal: hung up after 3 tries").as_deref(), Some("hung up after 3 tries"));
    }

    /// Diagnoses as git 2.39 wrote them.
    #[test]
    fn recorded_diagnoses_have_their_class() {
        let table = [
            ("fatal: could not read Username for 'http://127.0.0.1:1': terminal prompts disabled", Class::Auth),
            ("remote: x\nfatal: Authentication failed for 'http://127.0.0.1:1/r/'", Class::Auth),
            ("fatal: unable to access 'https://h/r/': The requested URL returned error: 403", Class::Auth),
            ("fatal: unable to access 'https://h/r/': The requested URL returned error: 429", Class::Transient),
            ("fatal: unable to access 'https://h/r/': The requested URL returned error: 503", Class::Transient),
            ("fatal: unable to access 'https://h/r/': The requested URL returned error: 301", Class::Config),
            ("fatal: repository 'https://h/r/' not found", Class::NotFound),
            (
                "fatal: unable to access 'https://nohost.invalid/r/': Could not resolve host: nohost.invalid",
                Class::Transient,
            ),
            (
                "fatal: unable to access 'http://127.0.0.1:1/r/': Failed to connect to 127.0.0.1 port 1 after 0 ms: Couldn't connect to server",
                Class::Transient,
            ),
            (
                "fatal: unable to access 'https://h/r/': server certificate verification failed. CAfile: none CRLfile: none",
                Class::Config,
            ),
            ("fatal: transport 'ext' not allowed", Class::Config),
            ("fatal: Unable to create '/x/refs/heads/main.lock': File exists.", Class::Corrupt),
            ("error: file write error: No space left on device", Class::Disk),
            ("fatal: cannot update ref 'refs/x': couldn't write '/x/refs/x.lock'", Class::Disk),
            ("fatal: not a git repository: '/x/.git'", Class::Corrupt),
            (
                "fatal: unable to access 'https://127.0.0.1:1/r/': getpeername() failed with errno 107: Transport endpoint is not connected",
                Class::Transient,
            ),
            ("fatal: something new", Class::Bug),
        ];
        for (diagnosis, class) in table {
            assert_eq!(Class::of_diagnosis(diagnosis), class, "{diagnosis}");
        }
    }

    #[test]
    fn the_cause_is_told_and_not_the_aftermath() {
        let cause = "fatal: could not fetch 0123 from promisor remote";
        let diagnosis = format!(
            "{cause}\nsend-pack: unexpected disconnect while reading sideband packet\nfatal: the remote end hung up unexpectedly\nerror: failed to push some refs to 'https://h/r'\n"
        );
        assert_eq!(last_words(&diagnosis).as_deref(), cause.strip_prefix("fatal: "));
        assert_eq!(
            last_words(
                "error: RPC failed; curl 52 Empty reply from server\nfatal: the remote end hung up unexpectedly\n"
            )
            .as_deref(),
            Some("RPC failed; curl 52 Empty reply from server")
        );
        assert_eq!(
            last_words("fatal: the remote end hung up unexpectedly\n").as_deref(),
            Some("the remote end hung up unexpectedly")
        );
    }

    #[test]
    fn a_git_that_was_killed_is_tried_again_soon() {
        let killed =
            |diagnosis: &str| GitError::Failed { command: "push".into(), code: -1, diagnosis: diagnosis.into() };
        assert_eq!(Class::of(&killed("")), Class::Transient);
        assert_eq!(Class::of(&killed("fatal: Authentication failed for 'x'")), Class::Auth);
    }

    #[test]
    fn a_status_has_one_printable_line() {
        let error = GitError::Failed {
            command: "fetch".into(),
            code: 128,
            diagnosis: "warning: x\nfatal: repository 'https://h/r\u{1b}[31m' not found\n".into(),
        };
        let failure = describe(&error);
        assert_eq!(failure.reason, "RepositoryNotFound");
        assert!(failure.message.ends_with("(repository 'https://h/r [31m' not found)"), "{}", failure.message);
    }
}
