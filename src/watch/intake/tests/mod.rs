//! Which events become changes, for whom, and by whom.

mod labels;
mod lists;
mod overlaps;
mod seeds;

use super::*;
use crate::attribution::{Asked, Limits, Propagation, Record, Request, User};
use crate::resource::{BaseFolder, BranchKey, BranchName, Operation, Operations, RepoUrl};
use crate::rules::{WatchScope, Wish};
use crate::sanitize::{self, Document};

fn kind() -> Arc<ResourceType> {
    Arc::new(ResourceType {
        group: String::new(),
        version: "v1".into(),
        resource: "configmaps".into(),
        kind: "ConfigMap".into(),
        namespaced: true,
    })
}

fn mk_target(name: &str) -> Arc<Target> {
    let branch = BranchKey {
        provider: crate::resource::ProviderKey::ours(NamespacedName::new("team", "provider")),
        provider_uid: "p".into(),
        url: RepoUrl::parse("https://git.example.com/r", false).unwrap(),
        branch: BranchName::new("main").unwrap(),
    };
    Arc::new(Target { name: NamespacedName::new("team", name), branch, base_folder: BaseFolder::new(name).unwrap() })
}

fn mk_route(target: &str, namespaces: NamespaceSet) -> Route {
    Route { target: mk_target(target), namespaces, selector: None, wish: Wish::Mirror(Operations::ALL) }
}

/// Rules by which each of `targets` wants everything in its namespace, or everywhere.
fn mk_rules(targets: &[(&str, Option<&str>)]) -> Arc<RuleSet> {
    let wishes = targets
        .iter()
        .map(|(name, namespace)| (kind(), mk_route(name, namespace.map_or(NamespaceSet::ALL, NamespaceSet::one))));
    Arc::new(RuleSet::new(targets.iter().map(|(name, _)| mk_target(name)), wishes))
}

fn mk_object(name: &str, uid: &str, version: u32, value: &str, extra: &str) -> RawObject {
    let text = format!(
        r#"{{"metadata":{{"name":"{name}","namespace":"shop","uid":"{uid}","resourceVersion":"{version}"{extra}}},"data":{{"k":"{value}"}}}}"#
    );
    serde_json::from_str(&text).unwrap()
}

fn object(name: &str, version: u32, value: &str) -> RawObject {
    mk_object(name, name, version, value, "")
}

fn marked(name: &str, version: u32, value: &str) -> RawObject {
    mk_object(name, name, version, value, r#","deletionTimestamp":"2026-01-01T00:00:00Z""#)
}

/// The list of all objects, from which a watch goes on.
const ALL: Source = Source::Scope(WatchScope::All);

struct Rig {
    intake: Intake,
    evidence: Arc<Index>,
}

impl Rig {
    fn new(targets: &[(&str, Option<&str>)]) -> Self {
        let evidence = Arc::new(Index::new(Limits::default()));
        let mut intake = Intake::new(kind(), Arc::clone(&evidence), true);
        intake.set_rules(mk_rules(targets));
        Self { intake, evidence }
    }

    /// A rig that has had a list of `objects`.
    fn listed(objects: &[RawObject]) -> Self {
        let mut rig = Self::new(&[("live", None)]);
        rig.list(objects);
        rig
    }

    /// The watch of everything starts, or starts again, with a list of `objects`.
    fn list(&mut self, objects: &[RawObject]) -> Vec<String> {
        self.intake.set_live(NamespaceSet::NONE, false);
        let said = self.list_as(&ALL, NamespaceSet::ALL, objects, 1_000);
        self.intake.set_live(NamespaceSet::ALL, false);
        said
    }

    /// A list beside the watch.
    fn side_list(&mut self, objects: &[RawObject]) -> Vec<String> {
        self.list_as(&Source::Side, NamespaceSet::ALL, objects, 1_000)
    }

    fn list_as(&mut self, source: &Source, range: NamespaceSet, objects: &[RawObject], version: u32) -> Vec<String> {
        let mut said = self.begin(source, range);
        for object in objects {
            said.extend(self.item(source, object));
        }
        said.extend(self.end(source, version));
        said
    }

    fn begin(&mut self, source: &Source, range: NamespaceSet) -> Vec<String> {
        show(self.intake.begin(source.clone(), range))
    }

    fn item(&mut self, source: &Source, object: &RawObject) -> Vec<String> {
        show(self.intake.listed(source, object, Instant::now()))
    }

    fn end(&mut self, source: &Source, version: u32) -> Vec<String> {
        show(self.intake.end(source, &version.to_string(), Instant::now()))
    }

    fn applied(&mut self, object: &RawObject) -> Vec<String> {
        show(self.intake.applied(object, Instant::now()))
    }

    fn deleted(&mut self, object: &RawObject) -> Vec<String> {
        show(self.intake.deleted(object, Instant::now()))
    }

    /// `user` asked for what led to `after`, on top of version `base`.
    fn record(&self, operation: Operation, user: &str, base: Option<u32>, after: &RawObject) {
        let content = sanitize::fingerprint(&Document::parse(after.json()).unwrap());
        let asked = Asked { api_version: Arc::from("v1"), content };
        let base = base.map_or_else(|| Arc::from(""), |base| Arc::from(base.to_string()));
        let request = match operation {
            Operation::Create => Request::Create(asked),
            Operation::Update => Request::Update { base, asked },
            Operation::Delete => Request::Delete { base, propagation: Propagation::Default },
        };
        self.ask(request, user, &after.meta().uid.clone().unwrap());
    }

    fn ask(&self, request: Request, user: &str, uid: &str) {
        let record = Record {
            uid: Arc::from(uid),
            request,
            user: User { name: user.into(), email: None },
            field_manager: None,
            request_uid: "r".into(),
            at: jiff::Timestamp::UNIX_EPOCH,
        };
        self.evidence.insert(record, Instant::now());
    }
}

/// Deliveries in short: what, of which file, for which target by its folder, by whom.
fn show(deliveries: Vec<Delivery>) -> Vec<String> {
    let line = |delivery: Delivery| match delivery.message {
        Message::Change(change) => {
            let what = match change.content {
                Content::Upsert(_) if change.is_news => "upsert",
                Content::Upsert(_) => "repeat",
                Content::Delete => "delete",
                Content::Deselect => "deselect",
                Content::Dropped => "dropped",
            };
            let users = match change.verdict.candidates() {
                [] => "nobody".to_owned(),
                users => format!("nobody of {users:?}"),
            };
            let author = change.verdict.author().map_or(users, |author| author.user.name.clone());
            format!("{what} {} by {author}", change.path)
        }
        Message::SeedBegin(scope) => format!("begin {} {}", scope.target.name, scope.namespaces),
        Message::SeedItem(_, item) => format!("item {}", item.path),
        Message::SeedKeep(_, path) => format!("keep {path}"),
        Message::SeedEnd(scope, sweep) => format!("end {} {sweep}", scope.target.name),
    };
    deliveries.into_iter().map(line).collect()
}

#[test]
fn the_first_list_is_a_seed_and_later_events_are_changes() {
    let mut rig = Rig::new(&[("live", None)]);
    assert_eq!(rig.applied(&object("early", 1, "x")), [""; 0], "no target has a list yet");
    let said = rig.list(&[object("a", 2, "x")]);
    let file = "live/core/v1/configmaps/shop/a.yaml";
    assert_eq!(said, ["begin live *", &format!("item {file}"), "end live *"]);
    assert_eq!(rig.applied(&object("a", 3, "y")), [format!("upsert {file} by nobody")]);
    assert_eq!(rig.deleted(&object("a", 4, "y")), [format!("delete {file} by nobody")]);
}

#[test]
fn versions_without_new_content_are_nothing() {
    let mut rig = Rig::listed(&[object("a", 1, "x")]);
    assert_eq!(rig.applied(&object("a", 2, "x")), [""; 0]);
    let with_status: RawObject = serde_json::from_str(
        r#"{"metadata":{"name":"a","namespace":"shop","uid":"a","resourceVersion":"3"},"data":{"k":"x"},"status":{"n":1}}"#,
    )
    .unwrap();
    assert_eq!(rig.applied(&with_status), [""; 0]);
}

#[test]
fn the_author_is_who_asked_for_that_content_on_that_version() {
    let mut rig = Rig::listed(&[]);
    let versions = [object("a", 1, "x"), object("a", 2, "y"), object("a", 3, "z")];
    rig.record(Operation::Create, "alice", None, &versions[0]);
    rig.record(Operation::Update, "bob", Some(1), &versions[1]);
    rig.record(Operation::Update, "mallory", Some(2), &versions[1]);
    rig.record(Operation::Delete, "carol", Some(3), &versions[2]);
    let file = "live/core/v1/configmaps/shop/a.yaml";
    let said: Vec<_> = versions.iter().flat_map(|version| rig.applied(version)).collect();
    let expected = ["alice", "bob", "nobody"].map(|user| format!("upsert {file} by {user}"));
    assert_eq!(said, expected);
    assert_eq!(rig.deleted(&object("a", 4, "z")), [format!("delete {file} by carol")]);
}

#[test]
fn the_first_sight_of_a_deletion_is_the_deletion() {
    let mut rig = Rig::listed(&[object("a", 1, "x")]);
    rig.record(Operation::Delete, "alice", Some(1), &object("a", 1, "x"));
    let file = "live/core/v1/configmaps/shop/a.yaml";
    assert_eq!(rig.applied(&marked("a", 2, "x")), [format!("delete {file} by alice")]);
    assert_eq!(rig.applied(&marked("a", 3, "y")), [""; 0]);
    assert_eq!(rig.deleted(&marked("a", 4, "y")), [""; 0]);
    assert_eq!(rig.applied(&mk_object("a", "another", 5, "x", "")), [format!("upsert {file} by nobody")]);
    assert_eq!(
        rig.applied(&mk_object("a", "another", 6, "x", r#","deletionTimestamp":"2026-01-01T00:00:00Z""#)).len(),
        1
    );
    assert_eq!(rig.list(&[]), [""; 0], "what was removed is not removed again by a list");
}

#[test]
fn another_object_of_the_name_continues_no_chain_of_versions() {
    let mut rig = Rig::listed(&[object("a", 1, "x")]);
    let other = mk_object("a", "other", 2, "x", r#","deletionTimestamp":"2026-01-01T00:00:00Z""#);
    rig.record(Operation::Delete, "mallory", Some(1), &other);
    assert_eq!(rig.applied(&other), ["delete live/core/v1/configmaps/shop/a.yaml by nobody"]);
}

#[test]
fn finalizers_tell_which_deletion_it_was() {
    for (finalizer, propagation) in [
        ("foregroundDeletion", Propagation::Foreground),
        ("orphan", Propagation::Orphan),
        ("x/y", Propagation::Background),
    ] {
        let mut rig = Rig::listed(&[object("a", 1, "x")]);
        for (user, asked) in
            [("fore", Propagation::Foreground), ("orphan", Propagation::Orphan), ("back", Propagation::Background)]
        {
            rig.ask(Request::Delete { base: Arc::from("1"), propagation: asked }, user, "a");
        }
        let extra = format!(r#","deletionTimestamp":"2026-01-01T00:00:00Z","finalizers":["other/x","{finalizer}"]"#);
        let user = match propagation {
            Propagation::Foreground => "fore",
            Propagation::Orphan => "orphan",
            Propagation::Background | Propagation::Default => "back",
        };
        let said = rig.applied(&mk_object("a", "a", 2, "x", &extra));
        assert_eq!(said, [format!("delete live/core/v1/configmaps/shop/a.yaml by {user}")], "{finalizer}");
    }
}

/// An object with replicas, and one more field.
fn scaled(version: u32, replicas: &str, other: &str) -> RawObject {
    let text = format!(
        r#"{{"metadata":{{"name":"a","namespace":"shop","uid":"a","resourceVersion":"{version}","generation":{version}}},"spec":{{"replicas":{replicas},"x":"{other}"}},"status":{{"v":{version}}}}}"#
    );
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_scale_is_joined_when_only_the_replicas_changed() {
    let start = || {
        let mut rig = Rig::new(&[("live", None)]);
        rig.intake.join.replicas = Some(["spec".to_owned(), "replicas".to_owned()].into());
        rig.list(&[scaled(1, "2", "x")]);
        rig.ask(Request::Scale { base: Arc::from("1"), replicas: 0 }, "alice", "a");
        rig
    };
    let file = "live/core/v1/configmaps/shop/a.yaml";
    assert_eq!(start().applied(&scaled(2, "0", "x")), [format!("upsert {file} by alice")]);
    assert_eq!(start().applied(&scaled(2, "1", "x")), [format!("upsert {file} by nobody")], "other replicas");
    assert_eq!(start().applied(&scaled(2, "0", "y")), [format!("upsert {file} by nobody")], "more than replicas");
    let mut rig = start();
    assert_eq!(rig.applied(&scaled(2, "2", "x")), [""; 0], "a status");
    assert_eq!(rig.applied(&scaled(3, "0", "x")), [format!("upsert {file} by nobody")], "another version");
    rig.ask(Request::Scale { base: Arc::from("3"), replicas: 4 }, "bob", "a");
    assert_eq!(rig.applied(&scaled(4, "4", "x")), [format!("upsert {file} by bob")]);
    let mut rig = start();
    rig.intake.join.replicas = None;
    assert_eq!(rig.applied(&scaled(2, "0", "x")), [format!("upsert {file} by nobody")], "not scalable");
}

#[test]
fn the_end_of_a_pod_may_be_its_eviction() {
    let pods = Arc::new(ResourceType { resource: "pods".into(), kind: "Pod".into(), ..ResourceType::clone(&kind()) });
    let start = |kind: &Arc<ResourceType>| {
        let mut rig = Rig::new(&[("live", None)]);
        let route = mk_route("live", NamespaceSet::ALL);
        rig.intake = Intake::new(Arc::clone(kind), Arc::clone(&rig.evidence), true);
        rig.intake.set_rules(Arc::new(RuleSet::new([mk_target("live")], [(Arc::clone(kind), route)])));
        rig.list(&[object("a", 1, "x")]);
        rig.ask(Request::Evict, "drainer", &crate::attribution::pod_key("shop", "a"));
        rig
    };
    assert_eq!(start(&pods).deleted(&object("a", 2, "x")), ["delete live/core/v1/pods/shop/a.yaml by drainer"]);
    assert_eq!(start(&pods).applied(&marked("a", 2, "x")), ["delete live/core/v1/pods/shop/a.yaml by drainer"]);
    assert_eq!(start(&kind()).deleted(&object("a", 2, "x")), ["delete live/core/v1/configmaps/shop/a.yaml by nobody"]);
}

#[test]
fn one_target_gets_what_it_asked_for_again() {
    let mut rig = Rig::listed(&[object("a", 1, "x")]);
    let mut ask = |object: &RawObject, name| {
        show(rig.intake.asked_for(object, &NamespacedName::new("team", name)).into_iter().collect())
    };
    assert_eq!(ask(&object("a", 1, "x"), "live"), ["repeat live/core/v1/configmaps/shop/a.yaml by nobody"]);
    assert_eq!(ask(&object("a", 1, "x"), "other"), [""; 0]);
    assert_eq!(ask(&marked("a", 2, "x"), "live"), [""; 0]);
}

#[test]
fn the_secrets_of_providers_are_never_wanted() {
    let secrets =
        Arc::new(ResourceType { resource: "secrets".into(), kind: "Secret".into(), ..ResourceType::clone(&kind()) });
    let route = mk_route("live", NamespaceSet::ALL);
    let rules = RuleSet::new([mk_target("live")], [(Arc::clone(&secrets), route)]);
    let withheld = rules.clone().without([NamespacedName::new("shop", "git")].into());
    let mut rig = Rig::listed(&[]);
    rig.intake = Intake::new(secrets, Arc::clone(&rig.evidence), true);
    rig.intake.set_rules(Arc::new(withheld));
    let said = rig.list(&[object("git", 1, "x"), object("other", 1, "x")]);
    assert_eq!(said, ["begin live *", "item live/core/v1/secrets/shop/other.yaml", "end live *"]);
    assert_eq!(rig.applied(&object("git", 2, "y")), [""; 0]);
    assert_eq!(rig.deleted(&object("git", 3, "y")), [""; 0]);
    rig.intake.set_rules(Arc::new(rules));
    assert!(rig.intake.missing(&NamespaceSet::ALL).is_all(), "what is wanted now was never listed");
}

#[test]
fn a_version_that_the_watch_has_not_shown_is_left_to_it() {
    let mut rig = Rig::listed(&[object("a", 1, "x")]);
    let target = NamespacedName::new("team", "live");
    let versions = [object("a", 2, "x"), object("a", 3, "z")];
    rig.record(Operation::Update, "bob", Some(1), &versions[0]);
    rig.record(Operation::Update, "carol", Some(2), &versions[1]);
    // Written now, it would be undone by the version before, in the name of who made that.
    assert!(rig.intake.asked_for(&versions[1], &target).is_none());
    assert!(rig.intake.asked_for(&object("new", 4, "x"), &target).is_none());
    let file = "upsert live/core/v1/configmaps/shop/a.yaml by";
    // What was lost before may be of others too.
    let merged = format!("{} nobody of [\"bob\"]", file.replace("upsert", "repeat"));
    assert_eq!(rig.applied(&versions[0]), [merged], "although its content is nothing new");
    assert_eq!(rig.applied(&versions[1]), [format!("{file} carol")]);
}

#[test]
fn who_mends_an_object_is_not_the_only_author_of_what_it_has_become() {
    let mut rig = Rig::listed(&[object("a", 1, "x")]);
    let deep = format!("{}{}", "[".repeat(300), "]".repeat(300));
    let broken = mk_object("a", "a", 2, "y", &format!(r#","odd":{deep}"#));
    assert_eq!(rig.applied(&broken), [""; 0]);
    let mended = object("a", 3, "y");
    rig.record(Operation::Update, "bob", Some(2), &mended);
    assert_eq!(rig.applied(&mended), ["upsert live/core/v1/configmaps/shop/a.yaml by nobody of [\"bob\"]"]);
}

#[test]
fn what_was_read_before_the_watch_went_on_is_outdated() {
    let mut rig = Rig::listed(&[object("a", 1, "x")]);
    assert_eq!(rig.applied(&object("a", 9, "x")), [""; 0], "only its status has changed");
    let is_outdated = [1, 8, 9, 10].map(|version| rig.intake.is_outdated(&object("a", version, "x")));
    assert_eq!(is_outdated, [true, true, false, false]);
    assert!(!rig.intake.is_outdated(&object("unknown", 1, "x")));
}
