//! Many rules, namespaces and types at once: what the API server and the remote are asked for then.

use crate::support::account::Account;
use crate::support::audit::{self, Entry};
use crate::support::control_plane::ControlPlane;
use crate::support::operator::{Mirror, Operator, SOON, apply, install_definitions};
use crate::support::poll::eventually;
use crate::support::scratch::ScratchDir;
use crate::support::teams::{
    self, BUILT_IN, CUSTOM, FEW, POLL, RARE, custom, file, namespace, object, rule, teams, until_mirrored, wanted,
};
use anyhow::{Result, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How often discovery looks while a quiet cluster is observed.
const REFRESH: Duration = Duration::from_secs(5);
/// Nothing is asked for so long: what was begun before is over then, the numbers in statuses included, which are told every
/// half minute.
const SETTLED: Duration = Duration::from_secs(33);
/// How long a quiet cluster is observed.
const OBSERVED: Duration = Duration::from_secs(35);

/// The watches that these rules need: one in all namespaces, or one in each of a few.
fn expected_watches(few: usize) -> BTreeMap<String, Vec<String>> {
    let everywhere = || vec![String::new()];
    let built_in = BUILT_IN.iter().map(|(_, what)| ((*what).to_owned(), everywhere()));
    let customs = (0..CUSTOM).map(|number| {
        let rare = number < RARE;
        let few = if number == 0 { few } else { FEW };
        let scopes = if rare { (0..few).map(namespace).collect() } else { everywhere() };
        (format!("scale.test/v1/{}", custom(number)), scopes)
    });
    built_in.chain(customs).collect()
}

/// The open watches of the types that rules name.
fn watches(entries: &[Entry]) -> BTreeMap<String, Vec<String>> {
    let named: BTreeSet<String> = expected_watches(FEW).into_keys().collect();
    let mut open = audit::open_watches(entries);
    open.retain(|what, _| named.contains(what));
    open.values_mut().for_each(|namespaces| namespaces.sort());
    open
}

async fn until_watches(cluster: &ControlPlane, expected: &BTreeMap<String, Vec<String>>) -> Result<()> {
    eventually(3 * SOON, "exactly the watches that the rules need", async || {
        let open = watches(&audit::entries(cluster)?);
        let odd = |what: &&String| open.get(*what) != expected.get(*what);
        let odd: Vec<_> = expected.keys().chain(open.keys()).filter(odd).map(|what| (what, open.get(what))).collect();
        ensure!(odd.is_empty(), "{odd:?}");
        Ok(Some(()))
    })
    .await
}

#[tokio::test]
async fn two_hundred_rules_share_watches_and_cost_nothing_when_nothing_happens() {
    let cluster = ControlPlane::start_audited().await.unwrap();
    let account = Account::create(&cluster, &[("*", &["*"])]).await.unwrap();
    install_definitions(&cluster).await.unwrap();
    let mirror = Mirror::prepare(&cluster, "platform").await.unwrap();
    teams::prepare(&cluster, &mirror).await.unwrap();
    let work_dir = ScratchDir::new().unwrap();
    let refresh = format!("--discovery-refresh={}s", REFRESH.as_secs());
    let operator = Operator::start_again(&cluster, &work_dir, &[&refresh], &account.environment()).unwrap();

    apply(&cluster, &teams(&mirror.namespace)).await.unwrap();
    until_watches(&cluster, &expected_watches(FEW))
        .await
        .unwrap_or_else(|error| panic!("{error:#}; {}", operator.log()));
    until_mirrored(&mirror).await.unwrap_or_else(|error| panic!("{error:#}; {}", operator.log()));

    // One more namespace wants a type: one more watch, and none of the others is touched.
    let before = audit::entries(&cluster).unwrap().len();
    let edited = rule(&namespace(FEW), 3, &[wanted(FEW)[3].clone(), vec![custom(0)]].concat().join(", "));
    apply(&cluster, &edited).await.unwrap();
    apply(&cluster, &object(FEW, 0, "edited")).await.unwrap();
    eventually(SOON, "the edit of a rule to be in effect", async || {
        let content = mirror.repo.read("main", &file(FEW, 0)).unwrap_or_default();
        Ok(content.contains("value: edited").then_some(()))
    })
    .await
    .unwrap();
    until_watches(&cluster, &expected_watches(FEW + 1)).await.unwrap();
    let entries = audit::entries(&cluster).unwrap();
    let begun: Vec<String> = entries[before..].iter().filter(|entry| entry.verb == "watch").map(Entry::what).collect();
    let only = format!("scale.test/v1/{}", custom(0));
    let others: Vec<&String> =
        begun.iter().filter(|what| **what != only && expected_watches(FEW).contains_key(*what)).collect();
    assert!(others.is_empty(), "the edit of one rule has restarted watches of other types: {others:?}");

    quiet(&cluster, &mirror).await.unwrap_or_else(|error| panic!("{error:#}; {}", operator.log()));
    operator.terminate().await.unwrap();
}

/// Observes a cluster in which nothing happens.
async fn quiet(cluster: &ControlPlane, mirror: &Mirror) -> Result<()> {
    let unexpected = |entry: &&Entry| {
        let lease = entry.what().starts_with("coordination.k8s.io/");
        entry.verb != "watch" && !lease && !["/api", "/apis"].contains(&entry.what().as_str())
    };
    let mut last = (0, Instant::now());
    eventually(3 * SOON, "what was begun to be over", async || {
        let asked = audit::entries(cluster)?.iter().filter(unexpected).count();
        if asked != last.0 {
            last = (asked, Instant::now());
        }
        Ok((last.1.elapsed() > SETTLED).then_some(()))
    })
    .await?;
    let (before, looked, pushed) = (audit::entries(cluster)?.len(), mirror.server.looks(), mirror.repo.head("main"));
    let began = Instant::now();
    tokio::time::sleep(OBSERVED).await;
    let entries = audit::entries(cluster)?;
    let (looks, took) = (mirror.server.looks() - looked, began.elapsed());
    let during = &entries[before..];
    let odd: Vec<String> =
        during.iter().filter(unexpected).map(|entry| format!("{} {}", entry.verb, entry.uri)).collect();
    ensure!(odd.is_empty(), "a quiet cluster is asked for {odd:?}");
    let asked = |path: &str| during.iter().filter(|entry| entry.what() == path).count();
    let most =
        |interval: Duration| usize::try_from(took.as_millis().div_ceil(interval.as_millis())).unwrap_or(usize::MAX);
    ensure!((1..=most(REFRESH)).contains(&asked("/api")), "{} looks at what is served in {took:?}", asked("/api"));
    ensure!((1..=most(REFRESH)).contains(&asked("/apis")), "{} looks at what is served in {took:?}", asked("/apis"));
    ensure!((1..=most(POLL)).contains(&looks), "{looks} looks at the remote in {took:?}");
    ensure!(mirror.repo.head("main") == pushed, "a commit was made");
    let watches = during.iter().filter(|entry| entry.verb == "watch").count();
    ensure!(watches < expected_watches(FEW).len(), "{watches} begins and ends of watches in {took:?}");
    Ok(())
}
