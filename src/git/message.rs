//! The one writer of commit messages. Every interpolated value is stripped and bounded, so that none can forge a
//! line, a trailer or a header; and what a template makes of them cannot hide the trailers from git.

use super::commit::FileChange;
use super::draft::{Draft, Edit};
use crate::change::SeedScope;
use crate::resource::{NamespacedName, Operation, hex};
use crate::rules::template::{MessageTemplate, MessageTemplates, Placeholder};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
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
/// The longest that a line may be, in characters: identities have several values.
const LONGEST_LINE: usize = 1_024;
/// What the keys of our trailers begin with; no other line of a message does.
const RESERVED: &str = "X-ConfigButler-";
/// Below a line with this, `git interpret-trailers` finds nothing.
const SCISSORS: &str = "------------------------ >8 ------------------------";

impl Installation {
    /// The message of a commit: what `templates` say, or the usual; then the trailers, always last.
    #[must_use]
    pub fn message(&self, templates: &MessageTemplates, draft: &Draft) -> String {
        let (subject, details, template) = match draft {
            Draft::Changes(target, edits) => {
                let summary = Summary::of(target, edits);
                let (template, details) = match edits.as_slice() {
                    [_] => (&templates.change, String::new()),
                    _ => (&templates.group, edits.iter().map(detail).collect()),
                };
                (summary.subject(), details, rendered(template.as_ref(), |placeholder| summary.value(placeholder)))
            }
            Draft::List(scope, files) => {
                let list = List::of(scope, files);
                (
                    list.subject(),
                    String::new(),
                    rendered(templates.seed.as_ref(), |placeholder| list.value(placeholder)),
                )
            }
        };
        let mut message = match head(&template.unwrap_or_default()) {
            head if head.is_empty() => whole_line(&subject),
            head => head,
        };
        for part in [details, self.trailers(draft)].iter().filter(|part| !part.is_empty()) {
            message.push('\n');
            message.push_str(part);
        }
        message
    }

    fn trailers(&self, draft: &Draft) -> String {
        let mut lines = String::new();
        match draft {
            Draft::Changes(_, edits) => changes(&mut lines, edits),
            Draft::List(..) => trailer(&mut lines, "Operation", "RECONCILE"),
        }
        trailer(&mut lines, "ClusterUID", &self.cluster_uid);
        trailer(&mut lines, "ControllerNS", &self.namespace);
        trailer(&mut lines, "ControllerName", &self.name);
        trailer(&mut lines, "InstanceID", &self.instance_id);
        lines
    }
}

/// Whether `message`, which is one of ours, is that of a complete list or a repair.
#[must_use]
pub fn is_reconcile(message: &str) -> bool {
    message.lines().rev().take_while(|line| !line.is_empty()).any(|line| line == "X-ConfigButler-Operation: RECONCILE")
}

/// The trailers of changes: first whose they are, then each with its own, which begin with the operation.
fn changes(lines: &mut String, edits: &[Edit]) {
    let user = edits.first().and_then(|edit| edit.verdict.author()).map(|author| user_name(&author.user.name));
    trailer(lines, "User", &user.unwrap_or_default());
    trailer(lines, "Users", &candidates(edits));
    for edit in edits {
        trailer(lines, "Operation", &edit.operation().to_string());
        let resource = format!("{} {}", plain(&edit.id.kind.to_string()), plain_name(edit));
        trailer(lines, "Resource", &resource);
        trailer(lines, "UID", &edit.version.uid);
        trailer(lines, "ResourceVersion", &edit.version.resource_version);
        trailer(lines, "Attribution", edit.verdict.tier().as_str());
        let manager = edit.verdict.author().and_then(|author| author.field_manager.as_deref());
        trailer(lines, "FieldManager", manager.unwrap_or_default());
    }
}

/// What the subject of a commit of changes can say.
struct Summary<'a> {
    target: &'a NamespacedName,
    edits: &'a [Edit],
    user: String,
    /// The namespace that all objects are in; empty if there is no such.
    namespace: String,
}

impl<'a> Summary<'a> {
    fn of(target: &'a NamespacedName, edits: &'a [Edit]) -> Self {
        let user = edits.first().and_then(|edit| edit.verdict.author()).map(|author| user_name(&author.user.name));
        let mut namespaces = edits.iter().map(|edit| edit.id.name.namespace.as_deref());
        let first = namespaces.next().flatten();
        let namespace = first.filter(|first| namespaces.all(|other| other == Some(*first))).map(plain);
        let user = user.filter(|user| !user.is_empty()).unwrap_or_else(|| "unknown".to_owned());
        Self { target, edits, user, namespace: namespace.unwrap_or_default() }
    }

    fn count(&self, operation: Operation) -> usize {
        self.edits.iter().filter(|edit| edit.operation() == operation).count()
    }

    fn operation(&self) -> String {
        let first = self.edits.first().map(Edit::operation);
        let same = first.filter(|first| self.count(*first) == self.edits.len());
        same.map_or_else(|| "CHANGE".to_owned(), |operation| operation.to_string())
    }

    fn subject(&self) -> String {
        let what = match self.edits {
            [edit] => format!("{}/{}", plain(&edit.id.kind.kind), plain(&edit.id.name.name)),
            edits => format!("{} resources", edits.len()),
        };
        let place = if self.namespace.is_empty() { String::new() } else { format!(" in ns/{}", self.namespace) };
        format!("[{}] {what}{place} by user/{}", self.operation(), self.user)
    }

    fn value(&self, placeholder: Placeholder) -> String {
        let of_first = |value: fn(&Edit) -> String| self.edits.first().map(value).unwrap_or_default();
        match placeholder {
            Placeholder::Operation => self.operation(),
            Placeholder::Kind => of_first(|edit| plain(&edit.id.kind.kind)),
            Placeholder::Name => of_first(|edit| plain(&edit.id.name.name)),
            Placeholder::Namespace => self.namespace.clone(),
            Placeholder::ApiVersion => of_first(|edit| plain(&edit.id.kind.api_version())),
            Placeholder::Resource => of_first(|edit| plain(&edit.id.kind.resource)),
            Placeholder::User => self.user.clone(),
            Placeholder::Target => plain(&self.target.to_string()),
            Placeholder::Count => self.edits.len().to_string(),
            Placeholder::Created => self.count(Operation::Create).to_string(),
            Placeholder::Updated => self.count(Operation::Update).to_string(),
            Placeholder::Deleted => self.count(Operation::Delete).to_string(),
            Placeholder::Written => (self.edits.len() - self.count(Operation::Delete)).to_string(),
        }
    }
}

/// What the subject of a complete list can say.
struct List<'a> {
    scope: &'a SeedScope,
    count: usize,
    deleted: usize,
}

impl<'a> List<'a> {
    fn of(scope: &'a SeedScope, files: &[FileChange]) -> Self {
        let deleted = files.iter().filter(|file| matches!(file, FileChange::Remove(_))).count();
        Self { scope, count: files.len(), deleted }
    }

    fn subject(&self) -> String {
        format!("[RECONCILE] {} files written, {} deleted", self.count - self.deleted, self.deleted)
    }

    fn value(&self, placeholder: Placeholder) -> String {
        match placeholder {
            Placeholder::Operation => "RECONCILE".to_owned(),
            Placeholder::Kind => plain(&self.scope.kind.kind),
            Placeholder::Namespace => self.scope.namespaces.single().map(|name| plain(name)).unwrap_or_default(),
            Placeholder::ApiVersion => plain(&self.scope.kind.api_version()),
            Placeholder::Resource => plain(&self.scope.kind.resource),
            Placeholder::Target => plain(&self.scope.target.to_string()),
            Placeholder::Count => self.count.to_string(),
            Placeholder::Written => (self.count - self.deleted).to_string(),
            Placeholder::Deleted => self.deleted.to_string(),
            // No template of a list has them.
            Placeholder::Name | Placeholder::User | Placeholder::Created | Placeholder::Updated => String::new(),
        }
    }
}

fn rendered(template: Option<&MessageTemplate>, value: impl Fn(Placeholder) -> String) -> Option<String> {
    template.map(|template| template.render(value))
}

/// One line about one object of several.
fn detail(edit: &Edit) -> String {
    let (kind, name) = (plain(&edit.id.kind.kind), plain(&edit.id.name.name));
    let place = edit.id.name.namespace.as_deref().map(|namespace| format!(" in ns/{}", plain(namespace)));
    whole_line(&format!("{} {kind}/{name}{}", edit.operation(), place.unwrap_or_default()))
}

fn plain_name(edit: &Edit) -> String {
    let name = plain(&edit.id.name.name);
    edit.id.name.namespace.as_deref().map_or_else(|| name.clone(), |namespace| format!("{}/{name}", plain(namespace)))
}

/// What stands above the trailers: the subject, an empty line, the rest; empty if nothing of the text can stay.
fn head(text: &str) -> String {
    let mut lines = text.split('\n').map(line).filter(|line| !is_reserved(line));
    let Some(subject) = lines.find(|line| !line.is_empty()) else { return String::new() };
    let body: Vec<String> = lines.collect();
    let body = body.join("\n");
    let body = body.trim_matches('\n');
    if body.is_empty() { format!("{subject}\n") } else { format!("{subject}\n\n{body}\n") }
}

fn whole_line(text: &str) -> String {
    format!("{}\n", line(text))
}

/// A line that git does not take for the end of the message.
fn line(text: &str) -> String {
    let mut line: String = text.chars().take(LONGEST_LINE).collect::<String>().trim_end().to_owned();
    if line.starts_with("---") || line.contains(SCISSORS) {
        while line.contains("---") {
            line = line.replace("---", "--");
        }
    }
    line
}

fn is_reserved(line: &str) -> bool {
    let start: String = line.trim_start().chars().take(RESERVED.len()).collect();
    start.eq_ignore_ascii_case(RESERVED)
}

/// Text on one line without control characters and what cannot be seen, at most 256 characters long.
#[must_use]
pub fn plain(text: &str) -> String {
    one_line(text, LONGEST_VALUE)
}

/// The name of a user, as [`plain`] text. One that does not survive as it is gets the beginning of its hash: no other
/// user is called the same.
#[must_use]
pub fn user_name(user: &str) -> String {
    let name = plain(user);
    if name == user && !name.ends_with(')') {
        return name;
    }
    let digest = Sha256::digest(user.as_bytes());
    let hash = hex(&digest[..4]);
    let name: String = name.chars().take(LONGEST_VALUE - 12).collect();
    format!("{name} ({hash})").trim_start().to_owned()
}

fn one_line(text: &str, longest: usize) -> String {
    let one_line = text
        .chars()
        .map(|c| if matches!(c, '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' | '\u{85}') { ' ' } else { c });
    one_line.filter(|c| !c.is_control() && !is_invisible(*c)).take(longest).collect::<String>().trim().to_owned()
}

/// Characters that change the order of others, or show nothing: two names could look the same.
const fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// The users of whom one did it, as far as a line has room for whole names.
fn candidates(edits: &[Edit]) -> String {
    let names = edits.iter().flat_map(|edit| &edit.candidates).map(|user| user_name(&user.replace(',', " ")));
    let names: BTreeSet<String> = names.filter(|name| !name.is_empty()).collect();
    let mut line = String::new();
    for name in names {
        if line.chars().count() + name.chars().count() > LONGEST_LINE - 8 {
            line.push_str(", ...");
            break;
        }
        let separator = if line.is_empty() { "" } else { ", " };
        append(&mut line, format_args!("{separator}{name}"));
    }
    line
}

fn trailer(lines: &mut String, key: &str, value: &str) {
    let value = one_line(value, LONGEST_LINE);
    if !value.is_empty() {
        append(lines, format_args!("{RESERVED}{key}: {value}\n"));
    }
}

fn append(text: &mut String, more: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    text.write_fmt(more).ok();
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
