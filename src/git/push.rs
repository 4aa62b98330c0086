//! What became of a push.

use super::cli::{GitError, Output};

/// The outcome of `git push --porcelain` of one ref.
#[derive(Debug)]
pub enum PushOutcome {
    /// The remote has it.
    Pushed,
    /// The remote's branch has commits that we do not know, or would not move: fetch and replay. What was said.
    Stale(String),
    /// The server refuses it; its sentence.
    Rejected(String),
    /// The server lacks the commits with which a shallow clone begins.
    TooShallow,
    /// It is not known whether the remote has it, or why not: fetch and look.
    Unknown(GitError),
}

impl PushOutcome {
    /// Reads the result: the porcelain line first, the exit code and the text last.
    #[must_use]
    pub fn of(result: Result<Output, GitError>) -> Self {
        let output = match result {
            Ok(output) => output,
            Err(error) => return Self::Unknown(error),
        };
        let text = output.text();
        // `<flag> TAB <from>:<to> TAB <summary>`
        let line = text.lines().find(|line| line.as_bytes().get(1) == Some(&b'\t'));
        match line.map(|line| (line.as_bytes()[0], line)) {
            Some((b' ' | b'*' | b'=' | b'+', _)) => Self::Pushed,
            Some((b'!', line)) if line.ends_with("(shallow update not allowed)") => Self::TooShallow,
            Some((b'!', line)) => Self::refused(line, &output.stderr),
            _ => match output.success() {
                // Exit code 0 without a line for our ref: believe nothing.
                Ok(output) => Self::Unknown(GitError::unreadable("push", &output.stdout)),
                Err(error) => Self::Unknown(error),
            },
        }
    }

    fn refused(line: &str, stderr: &str) -> Self {
        let stale = ["(fetch first)", "(non-fast-forward)", "(failed to update ref)", "(stale info)"];
        let is_stale = stale.iter().any(|reason| line.contains(reason)) || stderr.contains("cannot lock ref");
        let remote: Vec<&str> = stderr
            .lines()
            .filter_map(|line| line.strip_prefix("remote:"))
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        let summary = line.rsplit('\t').next().unwrap_or(line);
        let said = if remote.is_empty() { summary.to_owned() } else { format!("{summary}: {}", remote.join(" ")) };
        if is_stale { Self::Stale(said) } else { Self::Rejected(said) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(code: i32, stdout: &str, stderr: &str) -> PushOutcome {
        PushOutcome::of(Ok(Output { command: "push", code, stdout: stdout.into(), stderr: stderr.into() }))
    }

    /// Answers as git 2.39 gave them.
    #[test]
    fn recorded_answers_are_understood() {
        for line in [
            " \tabc:refs/heads/main\t1..2",
            "*\tabc:refs/heads/main\t[new branch]",
            "=\tabc:refs/heads/main\t[up to date]",
        ] {
            assert!(matches!(outcome(0, &format!("To x\n{line}\nDone\n"), ""), PushOutcome::Pushed), "{line}");
        }
        for reason in
            ["[rejected] (fetch first)", "[rejected] (non-fast-forward)", "[remote rejected] (failed to update ref)"]
        {
            let answer = format!("To x\n!\tabc:refs/heads/main\t{reason}\nDone\n");
            assert!(matches!(outcome(1, &answer, ""), PushOutcome::Stale(_)), "{reason}");
        }
        let answer = "To x\n!\tabc:refs/heads/main\t[remote rejected] (pre-receive hook declined)\nDone\n";
        let PushOutcome::Rejected(sentence) =
            outcome(1, answer, "remote: error: no YAML on Fridays\nerror: failed to push")
        else {
            panic!("a hook refuses for good");
        };
        assert_eq!(sentence, "[remote rejected] (pre-receive hook declined): error: no YAML on Fridays");
        let answer = "To x\n!\tabc:refs/heads/main\t[remote rejected] (shallow update not allowed)\nDone\n";
        assert!(matches!(outcome(1, answer, ""), PushOutcome::TooShallow));
        assert!(matches!(
            outcome(128, "", "fatal: Authentication failed"),
            PushOutcome::Unknown(GitError::Failed { .. })
        ));
        assert!(matches!(outcome(0, "", ""), PushOutcome::Unknown(_)));
    }
}
