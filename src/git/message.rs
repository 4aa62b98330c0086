//! The one writer of commit messages. Every interpolated value is stripped and bounded, so that none can forge a
//! line, a trailer or a header.

use super::spec::Identity;
use crate::attribution::Verdict;
use crate::change::Change;
use crate::resource::Operation;
use std::fmt::Write as _;

/// Names this installation in every commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// Uid of the namespace `kube-system`, which stands for the cluster.
    pub cluster_uid: String,
    /// The operator's namespace.
    pub namespace: String,
    /// The release's name.
    pub name: String,
    /// Names the installation, not the Pod.
    pub instance_id: String,
}

/// The longest that an interpolated value may be, in characters.
const LONGEST_VALUE: usize = 256;

impl Installation {
    /// Subject and trailers for one change.
    #[must_use]
    pub fn change(&self, change: &Change, operation: Operation) -> String {
        let id = &change.id;
        let user = change.verdict.author().map(|author| plain(&author.user.name));
        let mut message = format!("[{operation}] {}/{}", plain(&id.kind.kind), plain(&id.name.name));
        if let Some(namespace) = &id.name.namespace {
            append(&mut message, format_args!(" in ns/{}", plain(namespace)));
        }
        append(&mut message, format_args!(" by user/{}\n\n", user.as_deref().unwrap_or("unknown")));
        trailer(&mut message, "User", user.as_deref().unwrap_or_default());
        trailer(&mut message, "Users", &candidates(&change.verdict));
        trailer(&mut message, "Operation", &operation.to_string());
        trailer(&mut message, "Resource", &format!("{} {}", id.kind, id.name));
        trailer(&mut message, "UID", &change.version.uid);
        trailer(&mut message, "ResourceVersion", &change.version.resource_version);
        trailer(&mut message, "Attribution", change.verdict.tier().as_str());
        let manager = change.verdict.author().and_then(|author| author.field_manager.as_deref());
        trailer(&mut message, "FieldManager", manager.unwrap_or_default());
        self.append_to(&mut message);
        message
    }

    /// Subject and trailers for what a complete list or a repair brought.
    #[must_use]
    pub fn reconcile(&self, written: usize, deleted: usize) -> String {
        let mut message = format!("[RECONCILE] {written} files written, {deleted} deleted\n\n");
        trailer(&mut message, "Operation", "RECONCILE");
        self.append_to(&mut message);
        message
    }

    fn append_to(&self, message: &mut String) {
        trailer(message, "ClusterUID", &self.cluster_uid);
        trailer(message, "ControllerNS", &self.namespace);
        trailer(message, "ControllerName", &self.name);
        trailer(message, "InstanceID", &self.instance_id);
    }
}

/// Whether `message`, which is one of ours, is that of a complete list or a repair.
#[must_use]
pub fn is_reconcile(message: &str) -> bool {
    message.lines().rev().take_while(|line| !line.is_empty()).any(|line| line == "X-ConfigButler-Operation: RECONCILE")
}

/// Who stands in the commit as its author, when that is proven.
#[must_use]
pub fn author(verdict: &Verdict) -> Option<(Identity, i64)> {
    let author = verdict.author()?;
    let name = plain(&author.user.name);
    let email = format!("{}@users.noreply.invalid", slug(&name));
    Some((Identity { name, email }, author.at.as_second()))
}

/// Text on one line without control and bidirectional characters, at most 256 characters long.
#[must_use]
pub fn plain(text: &str) -> String {
    let one_line = text
        .chars()
        .map(|c| if matches!(c, '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' | '\u{85}') { ' ' } else { c });
    one_line
        .filter(|c| !c.is_control() && !is_bidirectional(*c))
        .take(LONGEST_VALUE)
        .collect::<String>()
        .trim()
        .to_owned()
}

const fn is_bidirectional(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn slug(name: &str) -> String {
    let slug: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c.to_ascii_lowercase() } else { '-' })
        .take(64)
        .collect();
    let slug = slug.trim_matches(['.', '-']);
    if slug.is_empty() { "unknown".to_owned() } else { slug.to_owned() }
}

fn candidates(verdict: &Verdict) -> String {
    verdict.candidates().iter().map(|user| plain(user).replace(',', " ")).collect::<Vec<_>>().join(", ")
}

fn trailer(message: &mut String, key: &str, value: &str) {
    let value = plain(value);
    if !value.is_empty() {
        append(message, format_args!("X-ConfigButler-{key}: {value}\n"));
    }
}

fn append(message: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    message.write_fmt(text).ok();
}
