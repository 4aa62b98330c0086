//! How the commits of one target are made: `spec.commit` of a `GitTarget`, checked.

use super::compile::{INVALID_CONFIGURATION, Rejection};
use super::template::{MessageTemplate, MessageTemplates, Purpose};
use crate::api::duration;
use crate::api::git_target::CommitSettings;
use std::fmt::Display;
use std::time::Duration;

/// The longest window: who waits longer is no mirror any more.
const LONGEST_WINDOW: Duration = Duration::from_secs(60);

/// How the commits of one target are made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitPolicy {
    /// How long changes of one author wait for company; zero: each is a commit of its own.
    pub window: Duration,
    /// The messages.
    pub messages: MessageTemplates,
}

/// Checks `settings`.
pub(super) fn judge(settings: &CommitSettings) -> Result<CommitPolicy, Rejection> {
    let invalid = |field: &str, problem: &dyn Display| Rejection {
        reason: INVALID_CONFIGURATION,
        message: format!("spec.commit.{field} is not usable: {problem}"),
    };
    let window = duration::parse(&settings.window).map_err(|error| invalid("window", &error))?;
    if window > LONGEST_WINDOW {
        return Err(invalid("window", &"it must be at most 60s"));
    }
    let message = settings.message.clone().unwrap_or_default();
    let template = |field: &str, text: &Option<String>, purpose| {
        let parsed = text.as_ref().map(|text| MessageTemplate::parse(text, purpose)).transpose();
        parsed.map_err(|error| invalid(field, &error))
    };
    let messages = MessageTemplates {
        change: template("message.change", &message.change, Purpose::Change)?,
        group: template("message.group", &message.group, Purpose::Group)?,
        seed: template("message.seed", &message.seed, Purpose::Seed)?,
    };
    Ok(CommitPolicy { window, messages })
}
