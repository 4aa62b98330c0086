//! Which events become changes, for whom, and by whom.

use super::*;
use crate::attribution::{Asked, Limits, Propagation, Record, Request, User};
use crate::resource::{BaseFolder, BranchKey, BranchName, RepoUrl};

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

struct Rig {
    intake: Intake,
    evidence: Arc<Index>,
}

impl Rig {
    fn new(targets: &[(&str, Option<&str>)]) -> Self {
        let evidence = Arc::new(Index::new(Limits::default()));
        let mut intake = Intake::new(kind(), Arc::clone(&evidence), true);
        assert!(intake.set_rules(mk_rules(targets)));
        Self { intake, evidence }
    }

    /// A rig that has had a list of `objects`.
    fn listed(objects: &[RawObject]) -> Self {
        let mut rig = Self::new(&[("live", None)]);
        rig.list(objects);
        rig
    }

    fn list(&mut self, objects: &[RawObject]) -> Vec<String> {
        let mut said = show(self.intake.begin());
        for object in objects {
            said.extend(show(self.intake.listed(object, Instant::now())));
        }
        said.extend(show(self.intake.end(Instant::now())));
        said
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
                Content::Upsert(_) => "upsert",
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
fn a_deletion_seen_in_a_list_is_inferred_from_the_last_version() {
    let mut rig = Rig::listed(&["a", "b", "c", "d"].map(|name| object(name, 1, "x")));
    for name in ["a", "b", "c"] {
        rig.record(Operation::Delete, "alice", Some(1), &object(name, 1, "x"));
    }
    rig.record(Operation::Delete, "denied", Some(5), &object("c", 5, "x"));
    rig.record(Operation::Delete, "denied", Some(5), &object("d", 5, "x"));
    let mut said = rig.list(&[marked("a", 7, "x")]);
    said.sort();
    let expected = [("a", "alice"), ("b", "alice"), ("c", "nobody of [\"alice\", \"denied\"]"), ("d", "nobody")]
        .map(|(name, user)| format!("delete live/core/v1/configmaps/shop/{name}.yaml by {user}"));
    assert_eq!(said, expected);
}

#[test]
fn after_a_list_the_author_is_known_only_if_no_version_was_missed() {
    let mut rig = Rig::listed(&["a", "b", "c"].map(|name| object(name, 1, "x")));
    let now = ["a", "b", "c", "new"].map(|name| object(name, 5, "y"));
    rig.record(Operation::Update, "alice", Some(1), &now[0]);
    rig.record(Operation::Update, "alice", Some(3), &now[1]);
    rig.record(Operation::Create, "alice", None, &now[3]);
    let expected = [("a", "alice"), ("b", "nobody of [\"alice\"]"), ("c", "nobody"), ("new", "alice")]
        .map(|(name, user)| format!("upsert live/core/v1/configmaps/shop/{name}.yaml by {user}"));
    assert_eq!(rig.list(&now), expected);
    // From what the list has shown on, every version is seen again.
    let next = object("b", 6, "z");
    rig.record(Operation::Update, "bob", Some(5), &next);
    assert_eq!(rig.applied(&next), ["upsert live/core/v1/configmaps/shop/b.yaml by bob"]);
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
fn a_list_again_says_only_what_changed() {
    let mut rig = Rig::listed(&[object("same", 1, "x"), object("changed", 1, "x"), object("gone", 1, "x")]);
    let said = rig.list(&[object("same", 1, "x"), object("changed", 5, "y"), object("new", 6, "x")]);
    let file = |name| format!("live/core/v1/configmaps/shop/{name}.yaml by nobody");
    let expected = [
        "upsert ".to_owned() + &file("changed"),
        "upsert ".to_owned() + &file("new"),
        "delete ".to_owned() + &file("gone"),
    ];
    assert_eq!(said, expected);
}

#[test]
fn a_new_target_is_seeded_without_disturbing_the_others() {
    let mut rig = Rig::listed(&[object("a", 1, "x")]);
    let rules = mk_rules(&[("live", None), ("second", Some("shop"))]);
    assert!(rig.intake.set_rules(Arc::clone(&rules)));
    let said = rig.list(&[object("a", 1, "x"), object("b", 2, "x")]);
    let file = |target, name| format!("{target}/core/v1/configmaps/shop/{name}.yaml");
    let expected = [
        "begin second shop".to_owned(),
        format!("item {}", file("second", "a")),
        format!("item {}", file("second", "b")),
        format!("upsert {} by nobody", file("live", "b")),
        "end second shop".to_owned(),
    ];
    assert_eq!(said, expected);
    assert!(!rig.intake.set_rules(rules), "nothing is new");
    assert!(rig.intake.unseed(&NamespacedName::new("team", "live")));
}

#[test]
fn an_object_that_cannot_be_written_keeps_its_file() {
    let mut rig = Rig::new(&[("live", None)]);
    let deep = format!("{}{}", "[".repeat(300), "]".repeat(300));
    let odd =
        format!(r#"{{"metadata":{{"name":"odd","namespace":"shop","uid":"o","resourceVersion":"1"}},"data":{deep}}}"#);
    let said = rig.list(&[serde_json::from_str(&odd).unwrap()]);
    assert_eq!(said[1], "keep live/core/v1/configmaps/shop/odd.yaml");
    let notices = rig.intake.take_notices();
    assert_eq!(notices.iter().map(|notice| notice.object.to_string()).collect::<Vec<_>>(), ["configmaps shop/odd"]);
    assert!(rig.intake.take_notices().is_empty());
    assert_eq!(rig.intake.unusable(), 1);
    rig.applied(&mk_object("odd", "o", 2, "x", ""));
    assert_eq!(rig.intake.unusable(), 0, "it was mended");
}

#[test]
fn one_target_gets_what_it_asked_for_again() {
    let mut rig = Rig::listed(&[object("a", 1, "x")]);
    let mut ask = |object: &RawObject, name| {
        show(rig.intake.asked_for(object, &NamespacedName::new("team", name)).into_iter().collect())
    };
    assert_eq!(ask(&object("a", 1, "x"), "live"), ["upsert live/core/v1/configmaps/shop/a.yaml by nobody"]);
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
    assert!(rig.intake.set_rules(Arc::new(rules)), "what is wanted now was never listed");
}

#[test]
fn rules_that_change_during_a_list_restart_it_only_where_they_must() {
    let both = || mk_rules(&[("live", None), ("second", None)]);
    let start = || {
        let mut rig = Rig::new(&[("live", None), ("second", None)]);
        rig.intake.begin();
        rig
    };
    assert!(!start().intake.set_rules(both()), "nothing has changed for this type");
    assert!(start().intake.set_rules(mk_rules(&[("live", None), ("second", None), ("third", None)])), "one is new");
    assert!(start().intake.set_rules(mk_rules(&[("live", None), ("second", Some("shop"))])), "one wants less");
    // Its half list must not end: everything that was not named yet would count as an orphan.
    assert!(start().intake.set_rules(mk_rules(&[("live", None)])), "one is gone");
}

#[test]
fn what_the_cluster_makes_by_itself_is_left_out_unless_wanted() {
    let controlled = |version| {
        mk_object(
            "a",
            "a",
            version,
            "x",
            r#","ownerReferences":[{"apiVersion":"v1","kind":"X","name":"x","uid":"x","controller":true}]"#,
        )
    };
    let mut rig = Rig::new(&[("live", None)]);
    assert_eq!(rig.list(&[controlled(1)]), ["begin live *", "end live *"]);
    assert_eq!(rig.applied(&controlled(2)), [""; 0]);
    let file = "live/core/v1/configmaps/shop/a.yaml";
    assert_eq!(rig.applied(&object("a", 3, "x")), [format!("upsert {file} by nobody")]);
    assert_eq!(rig.applied(&controlled(4)), [format!("delete {file} by nobody")]);
    assert_eq!(rig.deleted(&controlled(5)), [format!("delete {file} by nobody")], "which is nothing for git");
    let mut rig = Rig::new(&[("live", None)]);
    rig.intake.filters_noise = false;
    assert_eq!(rig.list(&[controlled(1)])[1], format!("item {file}"));
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
    assert_eq!(rig.applied(&versions[0]), [format!("{file} bob")], "although its content is nothing new");
    assert_eq!(rig.applied(&versions[1]), [format!("{file} carol")]);
}

#[test]
fn an_object_that_was_made_anew_meanwhile_was_deleted_first() {
    let mut rig = Rig::listed(&["a", "same", "going"].map(|name| object(name, 1, "x")));
    rig.applied(&marked("going", 2, "x"));
    let anew = ["a", "same", "going"]
        .map(|name| mk_object(name, &format!("{name}2"), 5, if name == "same" { "x" } else { "y" }, ""));
    for (old, new) in ["a", "same", "going"].into_iter().zip(&anew) {
        rig.record(Operation::Delete, "alice", Some(1), &object(old, 1, "x"));
        rig.record(Operation::Create, "bob", None, new);
    }
    let expected =
        [("delete", "a", "alice"), ("upsert", "a", "bob"), ("upsert", "same", "bob"), ("upsert", "going", "bob")]
            .map(|(what, name, user)| format!("{what} live/core/v1/configmaps/shop/{name}.yaml by {user}"));
    assert_eq!(rig.list(&anew), expected);
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
