//! Sees every git process that the operator starts, and every one that those start: their arguments and environment.

use super::scratch::ScratchDir;
use anyhow::{Context as _, Result};
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

/// Stands in front of the real git: notes what it is called with, and becomes it. Git's own trace notes what it starts.
const WRAPPER: &str = r#"#!/bin/sh
note=$(mktemp '@DIR@/call-XXXXXXXX') || exit 99
{ for argument; do printf '%s\0' "$argument"; done; printf '\0'; env -0; } >"$note"
GIT_TRACE2_EVENT='@DIR@/trace' exec '@GIT@' "$@"
"#;

/// A folder with notes, and the `PATH` that leads to them.
pub(crate) struct GitRecorder {
    dir: PathBuf,
}

/// One call of git.
#[derive(Debug)]
pub(crate) struct GitCall {
    /// What follows `git`.
    pub(crate) arguments: Vec<String>,
    /// `NAME=value`.
    pub(crate) environment: Vec<String>,
}

impl GitRecorder {
    /// Keeps its notes in `scratch`.
    pub(crate) fn new(scratch: &ScratchDir) -> Result<Self> {
        let git = which::which("git").context("git is not on the PATH")?;
        let dir = scratch.path().join("git-calls");
        for folder in ["bin", "trace"] {
            std::fs::create_dir_all(dir.join(folder))?;
        }
        let wrapper = dir.join("bin/git");
        let text = WRAPPER.replace("@DIR@", &dir.to_string_lossy()).replace("@GIT@", &git.to_string_lossy());
        std::fs::write(&wrapper, text)?;
        std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755))?;
        Ok(Self { dir })
    }

    /// The `PATH` on which our git comes first.
    pub(crate) fn path(&self) -> OsString {
        let mut path = self.dir.join("bin").into_os_string();
        if let Some(rest) = std::env::var_os("PATH") {
            path.push(":");
            path.push(rest);
        }
        path
    }

    /// The calls so far.
    pub(crate) fn calls(&self) -> Result<Vec<GitCall>> {
        let mut calls = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path.is_file() {
                let note = String::from_utf8(std::fs::read(&path)?)?;
                let (arguments, environment) = note.split_once("\0\0").unwrap_or((&note, ""));
                let list = |text: &str| text.split_terminator('\0').map(str::to_owned).collect();
                calls.push(GitCall { arguments: list(arguments), environment: list(environment) });
            }
        }
        Ok(calls)
    }

    /// What git itself started: the argument lists, one a line, as JSON.
    pub(crate) fn children(&self) -> Result<Vec<String>> {
        let mut children = Vec::new();
        for entry in std::fs::read_dir(self.dir.join("trace"))? {
            let trace = std::fs::read_to_string(entry?.path())?;
            let started = trace.lines().filter(|line| line.contains("\"event\":\"child_start\""));
            children.extend(started.map(str::to_owned));
        }
        Ok(children)
    }
}
