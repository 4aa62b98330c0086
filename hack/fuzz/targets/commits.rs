//! Any users, names, templates and contents: the stream for fast-import reads back as exactly the commits that were
//! meant, and below what people chose stand our trailers, which nothing of it can hide or forge.

#![no_main]

use arbitrary::Arbitrary;
use gitops_reverser_fuzz::attribution::{
    Index, Limits, ObservedEvent, Propagation, Record, Request, Transition, User, Verdict,
};
use gitops_reverser_fuzz::change::ObjectVersion;
use gitops_reverser_fuzz::git::author::Authors;
use gitops_reverser_fuzz::git::commit::{Commit, FileChange, Signature};
use gitops_reverser_fuzz::git::draft::{Draft, Edit};
use gitops_reverser_fuzz::git::fast_import;
use gitops_reverser_fuzz::git::message::Installation;
use gitops_reverser_fuzz::git::spec::Identity;
use gitops_reverser_fuzz::resource::{BaseFolder, NamespacedName, ObjectName, Oid, ResourceId, ResourceType, layout};
use gitops_reverser_fuzz::rules::template::{MessageTemplate, MessageTemplates, Purpose};
use gitops_reverser_fuzz::sanitize::Manifest;
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use std::time::Instant;

const RESERVED: &str = "x-configbutler-";
/// What git takes for the end of a message, as a line that begins like a comment.
const SCISSORS: &str = "------------------------ >8 ------------------------";

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    folder: &'a str,
    change: &'a str,
    group: &'a str,
    committer: (&'a str, &'a str),
    commits: Vec<Group<'a>>,
}

/// Changes of one commit.
#[derive(Arbitrary, Debug)]
struct Group<'a> {
    users: Vec<&'a str>,
    manager: &'a str,
    objects: Vec<Object<'a>>,
}

#[derive(Arbitrary, Debug)]
struct Object<'a> {
    namespace: &'a str,
    name: &'a str,
    kind: &'a str,
    content: Option<&'a [u8]>,
    version: &'a str,
}

fn verdict(users: &[&str], manager: &str) -> Verdict {
    let index = Index::new(Limits::default());
    for user in users.iter().take(3) {
        let request = Request::Delete { base: "1".into(), propagation: Propagation::Background };
        let (user, field_manager) = (User { name: (*user).to_owned(), email: None }, Some(manager.to_owned()));
        let (request_uid, at) = (user.name.clone(), jiff::Timestamp::UNIX_EPOCH);
        index.insert(Record { uid: "uid".into(), request, user, field_manager, request_uid, at }, Instant::now());
    }
    let transition = Transition::Marked { previous: "1", propagation: Propagation::Background };
    let event = ObservedEvent { uid: "uid", api_version: "v1", evictions: None, transition };
    index.resolve(&event, || None, Instant::now())
}

fn draft(base: &BaseFolder, group: &Group<'_>) -> Draft {
    let verdict = verdict(&group.users, group.manager);
    let mut edits: Vec<Edit> = Vec::new();
    for object in group.objects.iter().take(4) {
        let kind = ResourceType {
            group: "apps".to_owned(),
            version: "v1".to_owned(),
            resource: "things".to_owned(),
            kind: object.kind.to_owned(),
            namespaced: !object.namespace.is_empty(),
        };
        let id = ResourceId { kind: Arc::new(kind), name: ObjectName::new(Some(object.namespace), object.name) };
        let Ok(path) = layout::manifest_path(base, &id) else { continue };
        edits.retain(|edit| edit.path != path);
        let content = object.content.map(|content| Manifest::new(content.to_vec()));
        edits.push(Edit {
            path,
            before: content.is_none().then(|| Manifest::new(Vec::new()).oid()),
            after: content.as_ref().map(Manifest::oid),
            content,
            doubt: None,
            id,
            version: ObjectVersion { uid: object.version.into(), resource_version: object.version.into() },
            verdict: verdict.clone(),
            candidates: verdict.candidates().iter().cloned().collect(),
            seconds: 1,
        });
    }
    Draft::Changes(NamespacedName::new("team", "live"), edits)
}

/// What fast-import makes of a stream.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn line(&mut self) -> &'a str {
        let end = self.0.iter().position(|byte| *byte == b'\n').expect("a whole line");
        let (line, rest) = self.0.split_at(end);
        self.0 = &rest[1..];
        std::str::from_utf8(line).expect("text")
    }

    fn after(&mut self, start: &str) -> &'a str {
        let line = self.line();
        line.strip_prefix(start).unwrap_or_else(|| panic!("{line:?} instead of {start:?}"))
    }

    fn data(&mut self) -> &'a [u8] {
        let length = self.after("data ").parse().expect("a length");
        let (data, rest) = self.0.split_at(length);
        self.0 = rest.strip_prefix(b"\n").expect("a line break after the data");
        data
    }
}

/// A path as it stands in a stream, in quotes or not.
fn unquoted(path: &str) -> String {
    match path.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"').expect("a closing quote").replace("\\\"", "\""),
        None => path.to_owned(),
    }
}

fn check_file(reader: &mut Reader<'_>, file: &FileChange) {
    let line = reader.line();
    let (told, content) = match (file, line.strip_prefix("M 100644 inline "), line.strip_prefix("D ")) {
        (FileChange::Write(..), Some(path), _) => (unquoted(path), Some(reader.data())),
        (FileChange::Remove(_), _, Some(path)) => (unquoted(path), None),
        _ => panic!("{line:?} instead of {file:?}"),
    };
    assert_eq!(told, file.path().as_str());
    if let FileChange::Write(_, manifest) = file {
        assert_eq!(content, Some(manifest.bytes()));
    }
}

fn check_message(message: &str, edits: usize) {
    assert!(!message.contains(['\0', '\r']), "{message:?}");
    let (head, trailers) = message.rsplit_once("\n\n").expect("a head and trailers");
    assert!(head.lines().next().is_some_and(|subject| !subject.trim().is_empty()), "{message:?}");
    for line in head.lines() {
        let start: String = line.trim_start().chars().take(RESERVED.len()).collect();
        assert!(!start.eq_ignore_ascii_case(RESERVED), "{message:?}");
        assert!(!line.starts_with("---") && !line.contains(SCISSORS), "{message:?}");
    }
    let keys: Vec<&str> = trailers.lines().map(|line| line.split_once(": ").expect("a trailer").0).collect();
    assert!(keys.iter().all(|key| key.to_lowercase().starts_with(RESERVED)), "{message:?}");
    let count = |key: &str| keys.iter().filter(|other| **other == format!("X-ConfigButler-{key}")).count();
    for key in ["Operation", "Resource", "Attribution"] {
        assert_eq!(count(key), edits, "{message:?}");
    }
    assert!(count("User") <= 1 && count("Users") <= 1 && count("User") + count("Users") <= 1, "{message:?}");
    assert_eq!((count("InstanceID"), keys.last()), (1, Some(&"X-ConfigButler-InstanceID")));
}

fuzz_target!(|input: Input<'_>| {
    let Ok(base) = BaseFolder::new(input.folder) else { return };
    let template = |text, purpose| MessageTemplate::parse(text, purpose).ok();
    let templates = MessageTemplates {
        change: template(input.change, Purpose::Change),
        group: template(input.group, Purpose::Group),
        seed: None,
    };
    let installation = Installation {
        cluster_uid: input.change.to_owned(),
        namespace: input.committer.0.to_owned(),
        name: input.committer.1.to_owned(),
        instance_id: "instance".to_owned(),
    };
    let (name, email) = (input.committer.0.to_owned(), input.committer.1.to_owned());
    let committer = Signature::new(&Identity { name, email }, 1);
    let mut commits = Vec::new();
    for group in input.commits.iter().take(4) {
        let draft = draft(&base, group);
        let Draft::Changes(_, edits) = &draft else { return };
        if edits.is_empty() {
            continue;
        }
        let author = Authors::default().of(&edits[0].verdict).map(|(identity, at)| Signature::new(&identity, at));
        let commit = Commit {
            target: None,
            author: author.unwrap_or_else(|| committer.clone()),
            committer: committer.clone(),
            message: installation.message(&templates, &draft),
            files: edits.iter().map(Edit::file).collect(),
        };
        check_message(&commit.message, edits.len());
        commits.push(commit);
    }
    let tip: Option<Oid> = (commits.len() % 2 == 0).then(|| Manifest::new(Vec::new()).oid());
    let stream = fast_import::commits("refs/heads/main", tip, &commits);

    let mut reader = Reader(&stream);
    assert_eq!(reader.line(), "feature done");
    for (number, commit) in commits.iter().enumerate() {
        assert_eq!(reader.line(), "commit refs/heads/main");
        assert_eq!(reader.line(), format!("mark :{}", number + 1));
        for (key, signature) in [("author ", &commit.author), ("committer ", &commit.committer)] {
            let told = reader.after(key);
            assert_eq!(told, signature.as_str());
            // Git reads a name, an address in the only angle brackets, and a time.
            let (name, rest) = told.split_once(" <").expect("a name");
            let (email, time) = rest.split_once("> ").expect("an address");
            assert!(!name.is_empty() && !format!("{name}{email}").contains(['<', '>', '\n', '\0']), "{told:?}");
            assert!(time.strip_suffix(" +0000").is_some_and(|seconds| seconds.parse::<u64>().is_ok()), "{told:?}");
        }
        assert_eq!(reader.data(), commit.message.as_bytes());
        if let (0, Some(tip)) = (number, tip) {
            assert_eq!(reader.after("from "), tip.to_string());
        }
        for file in &commit.files {
            assert!(base.contains(file.path()));
            check_file(&mut reader, file);
        }
        assert_eq!(reader.line(), format!("get-mark :{}", number + 1));
    }
    assert_eq!((reader.line(), reader.0), ("done", [].as_slice()));
});
