//! Names, users, templates, branches and addresses as nobody should choose them: none becomes an option, a path outside
//! of its folder, a second command or a trailer. What git makes of them is asked of git itself.

use crate::support::evidence::verdict;
use crate::support::remote_repo::git_command;
use crate::support::scratch::ScratchDir;
use gitops_reverser::change::ObjectVersion;
use gitops_reverser::git::author::Authors;
use gitops_reverser::git::commit::{Commit, Signature};
use gitops_reverser::git::draft::{Draft, Edit};
use gitops_reverser::git::fast_import;
use gitops_reverser::git::message::{Installation, plain};
use gitops_reverser::resource::oid::ObjectFormat;
use gitops_reverser::resource::{
    BaseFolder, BranchName, NamespacedName, ObjectName, Oid, RepoUrl, ResourceId, ResourceType, layout,
};
use gitops_reverser::rules::template::{MessageTemplate, MessageTemplates, Purpose};
use gitops_reverser::sanitize::Manifest;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use sha2::{Digest as _, Sha256};
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

/// Texts that somewhere mean more than they say.
const HOSTILE: [&str; 28] = [
    "",
    " ",
    "---",
    "--- a",
    "-- \n---\n",
    "# ------------------------ >8 ------------------------",
    "x\n# ------------------------ >8 ------------------------\ny",
    "alice\nX-ConfigButler-User: root",
    "X-ConfigButler-User: root",
    "\n\nX-ConfigButler-User: root\n",
    "alice\r\nX-ConfigButler-User: root",
    "alice\u{2028}X-ConfigButler-User: root",
    "X-Config\u{200b}Butler-User: root",
    "alice\0X",
    "a <b> 1 +0000\nauthor root <root@x> 0 +0000",
    "<>",
    "Signed-off-by: root <root@example.com>",
    "(cherry picked from commit 0123456789)",
    " continued",
    "\tcontinued",
    "#comment",
    "a: b: c",
    ":",
    "Conflicts:\n\tfile",
    "diff --git a/x b/x",
    "\u{202e}toor\u{202c}",
    "$(touch /tmp/x); `id`",
    "ünï©ode\u{feff} ",
];

fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => prop::sample::select(HOSTILE.to_vec()).prop_map(str::to_owned),
        1 => "\\PC{0,12}",
        1 => any::<String>(),
        1 => Just("x".repeat(400)),
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

/// A template: any text with placeholders in it.
fn template(purpose: Purpose) -> impl Strategy<Value = Option<MessageTemplate>> {
    let names: Vec<String> = purpose.placeholders().iter().map(|placeholder| format!("{{{placeholder}}}")).collect();
    let piece = prop_oneof![
        prop::sample::select(names),
        text().prop_map(|text| text
            .chars()
            .filter(|c| !c.is_control() || *c == '\n')
            .collect::<String>()
            .replace('{', "{{")
            .replace('}', "}}")),
        Just("\n".to_owned()),
    ];
    let pieces = prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat());
    pieces.prop_map(move |text| MessageTemplate::parse(&text, purpose).ok())
}

/// One commit, and the trailers that it is meant to have.
#[derive(Debug)]
struct Case {
    draft: Draft,
    commit: Commit,
    trailers: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
struct Names {
    users: Vec<String>,
    manager: String,
    objects: Vec<(String, String, String)>,
    change: Option<MessageTemplate>,
    group: Option<MessageTemplate>,
}

fn names() -> impl Strategy<Value = Names> {
    let objects = prop::collection::vec((text(), text(), text()), 1..4);
    (prop::collection::vec(text(), 0..3), text(), objects, template(Purpose::Change), template(Purpose::Group))
        .prop_map(|(users, manager, objects, change, group)| Names { users, manager, objects, change, group })
}

fn mk_case(number: usize, names: Names) -> Case {
    let users: Vec<&str> = names.users.iter().map(String::as_str).collect();
    let verdict = verdict(&users, &names.manager);
    let base = BaseFolder::new(&format!("base/{number}")).unwrap();
    let mut edits: Vec<Edit> = Vec::new();
    for (namespace, name, other) in &names.objects {
        let kind = ResourceType {
            group: "example.com".into(),
            version: "v1".into(),
            resource: "things".into(),
            kind: format!("Thing{}", plain(other)),
            namespaced: !namespace.is_empty(),
        };
        let id = ResourceId { kind: Arc::new(kind), name: ObjectName::new(Some(namespace), name) };
        let Ok(path) = layout::manifest_path(&base, &id) else { continue };
        let manifest = Manifest::new(other.as_bytes().to_vec());
        edits.retain(|edit| edit.path != path);
        edits.push(Edit {
            path,
            before: None,
            after: Some(manifest.oid()),
            content: Some(manifest),
            doubt: None,
            id,
            version: ObjectVersion { uid: other.as_str().into(), resource_version: name.as_str().into() },
            verdict: verdict.clone(),
            candidates: verdict.candidates().iter().cloned().collect(),
            seconds: 7,
        });
    }
    let installation = Installation {
        cluster_uid: names.manager.clone(),
        namespace: "reverser".into(),
        name: "release".into(),
        // Tells the cases apart.
        instance_id: format!("case-{number}"),
    };
    let trailers = meant(&edits, &installation);
    let draft = Draft::Changes(NamespacedName::new("team", "live"), edits);
    let templates = MessageTemplates { change: names.change, group: names.group, seed: None };
    let Draft::Changes(_, edits) = &draft else { panic!() };
    let author = Authors::default().of(&verdict).map(|(identity, at)| Signature::new(&identity, at));
    let commit = Commit {
        target: None,
        author: author.unwrap_or_else(|| Signature::verbatim("c <c@example.invalid> 7 +0000")),
        committer: Signature::verbatim("c <c@example.invalid> 7 +0000"),
        message: installation.message(&templates, &draft),
        files: edits.iter().map(Edit::file).collect(),
    };
    Case { draft, commit, trailers }
}

/// What the trailers are to say, from the documentation, not from the code.
fn meant(edits: &[Edit], installation: &Installation) -> Vec<(String, String)> {
    let mut trailers = Vec::new();
    let mut add = |key: &str, value: String| {
        if !value.is_empty() {
            trailers.push((format!("X-ConfigButler-{key}"), value));
        }
    };
    let author = edits.first().and_then(|edit| edit.verdict.author());
    add("User", author.map(|author| called(&author.user.name)).unwrap_or_default());
    let users = edits.iter().flat_map(|edit| &edit.candidates).map(|user| called(&user.replace(',', " ")));
    let mut users: Vec<String> = users.filter(|user| !user.is_empty()).collect();
    users.sort();
    users.dedup();
    add("Users", plain_line(&users.join(", ")));
    for edit in edits {
        add("Operation", "CREATE".into());
        let (kind, name) = (&edit.id.kind, plain(&edit.id.name.name));
        let name = edit.id.name.namespace.as_ref().map_or(name.clone(), |space| format!("{}/{name}", plain(space)));
        add("Resource", plain_line(&format!("{}/{} {name}", kind.api_version(), kind.resource)));
        // Values that stand alone have a whole line.
        add("UID", plain_line(&edit.version.uid));
        add("ResourceVersion", plain_line(&edit.version.resource_version));
        add("Attribution", edit.verdict.tier().as_str().into());
        add(
            "FieldManager",
            author.and_then(|author| author.field_manager.as_deref()).map(plain_line).unwrap_or_default(),
        );
    }
    add("ClusterUID", plain_line(&installation.cluster_uid));
    add("ControllerNS", installation.namespace.clone());
    add("ControllerName", installation.name.clone());
    add("InstanceID", installation.instance_id.clone());
    trailers
}

/// A user name as it is; one that a message cannot hold as it is has a hash, so that it is nobody else's.
fn called(user: &str) -> String {
    let shown = plain(user);
    if shown == user && !shown.ends_with(')') {
        return shown;
    }
    let hash: String = Sha256::digest(user.as_bytes())[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    let shown: String = shown.chars().take(244).collect();
    format!("{shown} ({hash})").trim_start().to_owned()
}

/// As [`plain`], for lines of up to 1024 characters.
fn plain_line(text: &str) -> String {
    let shown: String = text
        .chars()
        .map(|c| if plain(&format!("x{c}x")) == "x x" { ' ' } else { c })
        .filter(|c| plain(&format!("x{c}x")) != "xx")
        .take(1_024)
        .collect();
    shown.trim().to_owned()
}

fn git(repo: &Path, arguments: &[&str], input: &[u8]) -> String {
    let mut command = git_command();
    command.arg("--git-dir").arg(repo).args(arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Each hostile text in each place, and many mixtures.
fn cases() -> Vec<Case> {
    let mut all: Vec<Names> = Vec::new();
    for text in HOSTILE {
        let user = |template: &str| MessageTemplate::parse(template, Purpose::Change).ok();
        let plain = text.replace(['{', '}'], "");
        for change in [None, user("{user}"), user("a\n{user}\n{name}\n\n{user}"), user(&format!("a\n{plain}\n{plain}"))]
        {
            let object = (text.to_owned(), format!("n{text}"), text.to_owned());
            let objects = vec![object.clone(), (object.0, object.2, "x".into())];
            all.push(Names {
                users: vec![text.into()],
                manager: text.into(),
                objects: objects[..1].to_vec(),
                change: change.clone(),
                group: None,
            });
            all.push(Names {
                users: vec![text.into(), "b".into()],
                manager: text.into(),
                objects,
                change: None,
                group: change,
            });
        }
    }
    let mut runner = TestRunner::deterministic();
    all.extend((0..400).map(|_| names().new_tree(&mut runner).unwrap().current()));
    let cases = all.into_iter().enumerate().map(|(number, names)| mk_case(number, names));
    cases.filter(|case| !case.draft.is_empty()).collect()
}

fn lines(trailers: &[(String, String)]) -> String {
    trailers.iter().map(|(key, value)| format!("{key}: {value}\n")).collect()
}

#[test]
fn git_reads_the_trailers_that_were_meant_whatever_names_and_templates_say() {
    let (cases, scratch) = (cases(), ScratchDir::new().unwrap());
    assert!(cases.len() > 500, "{}", cases.len());
    let repo = scratch.path().join("repo");
    git(&repo, &["init", "--quiet", "--bare", repo.to_str().unwrap()], b"");
    let files: Vec<String> =
        (0..cases.len()).map(|number| scratch.path().join(number.to_string()).to_str().unwrap().to_owned()).collect();
    for (file, case) in files.iter().zip(&cases) {
        std::fs::write(file, &case.commit.message).unwrap();
    }
    let arguments: Vec<&str> =
        ["interpret-trailers", "--parse"].into_iter().chain(files.iter().map(String::as_str)).collect();
    let parsed = git(&repo, &arguments, b"");
    let mut rest = parsed.as_str();
    for case in &cases {
        let expected = lines(&case.trailers);
        let told = rest.get(..expected.len()).unwrap_or(rest);
        assert_eq!(told, expected, "{:?}", case.commit.message);
        rest = &rest[expected.len()..];
    }
    assert_eq!(rest, "");
}

#[test]
fn a_stream_of_hostile_commits_is_exactly_the_commits_that_were_meant() {
    let (cases, scratch) = (cases(), ScratchDir::new().unwrap());
    let repo = scratch.path().join("repo");
    git(&repo, &["init", "--quiet", "--bare", repo.to_str().unwrap()], b"");
    let commits: Vec<Commit> = cases.iter().map(|case| case.commit.clone()).collect();
    let ids = git(&repo, &["fast-import", "--quiet"], &fast_import::commits("refs/heads/main", None, &commits));
    assert_eq!(ids.lines().count(), commits.len());
    git(&repo, &["fsck", "--strict"], b"");

    let format = "--format=%x01%an <%ae> %at +0000%x02%B%x02%(trailers:only,unfold)%x02%s%x02";
    let log = git(&repo, &["log", "--reverse", format, "-z", "--name-only", "main"], b"");
    let logged: Vec<&str> = log.split('\u{1}').skip(1).collect();
    assert_eq!(logged.len(), cases.len());
    for (entry, case) in logged.iter().zip(&cases) {
        let fields: Vec<&str> = entry.split('\u{2}').collect();
        let [author, message, trailers, subject, paths] = fields[..] else { panic!("{entry:?}") };
        assert_eq!(author, case.commit.author.as_str());
        assert_eq!(message.trim_end_matches('\n'), case.commit.message.trim_end_matches('\n'));
        assert_eq!(trailers, lines(&case.trailers), "{case:#?}");
        assert!(!subject.is_empty() && !subject.starts_with("X-ConfigButler-"), "{subject:?}");
        let mut found: Vec<&str> = paths.split(['\0', '\n']).filter(|path| !path.is_empty()).collect();
        let mut meant: Vec<&str> = case.commit.files.iter().map(|file| file.path().as_str()).collect();
        found.sort_unstable();
        meant.sort_unstable();
        assert_eq!(found, meant, "{case:#?}");
    }

    let listed = git(&repo, &["ls-tree", "-r", "-z", "main"], b"");
    for entry in listed.split_terminator('\0') {
        let (head, path) = entry.split_once('\t').unwrap();
        let case = cases.iter().find_map(|case| {
            let Draft::Changes(_, edits) = &case.draft else { return None };
            edits.iter().find(|edit| edit.path.as_str() == path)
        });
        let content = case.unwrap().content.as_ref().unwrap();
        let oid = Oid::of_blob(ObjectFormat::Sha1, content.bytes());
        assert_eq!(head, format!("100644 blob {oid}"), "{path}");
    }
}

#[test]
fn hostile_branches_addresses_and_folders_are_refused() {
    for branch in [
        "",
        "-f",
        "--force",
        "--upload-pack=touch /tmp/x",
        "a b",
        "a..b",
        "a\nb",
        "a\0b",
        "a~1",
        "a^",
        "a:b",
        "a?",
        "a*",
        "a[",
        "a\\b",
        "/a",
        "a/",
        "a//b",
        "a.lock",
        ".a",
        "a/.b",
        "a.",
        "@",
        "a@{1}",
        "+main",
        "main:refs/heads/x",
    ] {
        match BranchName::new(branch) {
            Err(_) => {}
            // What git takes for a name may be one, as long as it stands in a refspec as itself.
            Ok(name) => {
                assert!(!name.to_ref().contains([' ', ':', '\n', '\0', '*', '^', '~', '?', '[', '\\']), "{branch:?}");
                assert!(name.to_ref().starts_with("refs/heads/") && !branch.starts_with('-'), "{branch:?}");
            }
        }
    }
    for url in [
        "",
        "--upload-pack=touch /tmp/x",
        "-oProxyCommand=x",
        "ext::sh -c id",
        "fd::1",
        "https://-x/y",
        "ssh://-oProxyCommand=x/y",
        "git@-oProxyCommand=x:y",
        "https://h/a\nb",
        "https://h/a\0b",
        "https://h/a b",
        "https://u:p@h/r",
        "file:///etc\n",
        "git://h/r",
        "-x@h:r",
        "ssh://h/-x\n",
    ] {
        assert!(RepoUrl::parse(url, true).is_err(), "{url:?}");
    }
    for folder in ["", "/a", "../a", "a/../b", "a//b", ".git", "a/.GIT", "a\nb", "a\0b", "a\\b", "a/", "a/.git./b"] {
        assert!(BaseFolder::new(folder).is_err(), "{folder:?}");
    }
    let base = BaseFolder::new("base").unwrap();
    for name in HOSTILE.into_iter().chain(["..", ".", "../../x", ".git", "a/../../b", "%2e%2e", "-rf", "\"x\"", "a\\"])
    {
        for namespace in ["shop", name] {
            let kind = ResourceType {
                group: String::new(),
                version: "v1".into(),
                resource: "things".into(),
                kind: "Thing".into(),
                namespaced: true,
            };
            let id = ResourceId { kind: Arc::new(kind), name: ObjectName::new(Some(namespace), name) };
            if let Ok(path) = layout::manifest_path(&base, &id) {
                assert!(base.contains(&path) && path.as_str().starts_with("base/core/v1/things/"), "{path}");
                assert!(path.as_str().split('/').all(|part| !["", ".", "..", ".git"].contains(&part)), "{path}");
            }
        }
    }
}
