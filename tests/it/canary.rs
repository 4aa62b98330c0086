//! No credential is ever shown: every way to fail is taken with distinctive secrets, by the real operator on the real API
//! server, and everything that it says or leaves is searched.

use crate::support::control_plane::ControlPlane;
use crate::support::git_server::GitServer;
use crate::support::github::{Answer, AppKey, Github};
use crate::support::operator::{Operator, SOON, apply, install_definitions};
use crate::support::parrot::Parrot;
use crate::support::poll::eventually;
use crate::support::ports::free_port;
use crate::support::scratch::ScratchDir;
use crate::support::tls_front::TlsFront;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A secret that is found in whatever form it appears.
fn canary(name: &str) -> String {
    format!("canary-{name}/+@{:016x}", fastrand::u64(..))
}

/// Every form of `secret` that is searched for: as it is, in a URL, and inside of base64 at each alignment.
fn forms(secret: &str) -> Vec<String> {
    let percent: String = secret
        .bytes()
        .map(|b| if b.is_ascii_alphanumeric() || b == b'-' { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect();
    let every: String = secret.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let mut forms = vec![secret.to_owned(), percent, every];
    for offset in 0..3 {
        let encoded = BASE64_STANDARD.encode([vec![0; offset], secret.as_bytes().to_vec()].concat());
        // What its neighbours have a part in is left out.
        forms.push(encoded[4..encoded.len() - 4].to_owned());
    }
    forms
}

/// All secrets of the test.
#[derive(Default)]
struct Canaries {
    forms: Vec<(String, String)>,
}

impl Canaries {
    fn add(&mut self, secret: &str) {
        self.forms.extend(forms(secret).into_iter().map(|form| (secret.to_owned(), form)));
    }

    /// The lines of a key in the middle, which nothing else has.
    fn add_key(&mut self, pem: &str) {
        let middle: Vec<&str> = pem.lines().filter(|line| !line.starts_with("--") && line.len() > 40).collect();
        self.add(middle[middle.len() / 2]);
    }

    fn found_in(&self, content: &[u8]) -> Option<&str> {
        let text = String::from_utf8_lossy(content);
        self.forms.iter().find(|(_, form)| text.contains(form)).map(|(secret, _)| secret.as_str())
    }

    #[track_caller]
    fn absent(&self, place: &str, content: &[u8]) {
        if let Some(secret) = self.found_in(content) {
            panic!("{place} shows {secret}: {}", String::from_utf8_lossy(content));
        }
    }

    /// Those but for one that other tests use too.
    fn without(&self, secret: &str) -> Self {
        Self { forms: self.forms.iter().filter(|(of, _)| of != secret).cloned().collect() }
    }

    fn absent_below(&self, directory: &Path) {
        // What others have there may go while we look.
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                self.absent_below(&path);
            } else if let Ok(content) = std::fs::read(&path) {
                self.absent(&path.display().to_string(), &content);
            }
        }
    }
}

/// Looks at the arguments and the environment of all processes, again and again, until it is told to stop.
fn watch_processes(
    canaries: Arc<Canaries>,
    stop: Arc<AtomicBool>,
) -> std::thread::JoinHandle<(BTreeSet<String>, usize)> {
    std::thread::spawn(move || {
        let (mut shown, mut looks) = (BTreeSet::new(), 0);
        while !stop.load(Ordering::SeqCst) {
            for entry in std::fs::read_dir("/proc").unwrap().flatten() {
                for file in ["cmdline", "environ"] {
                    // A process may end while we look.
                    let Ok(content) = std::fs::read(entry.path().join(file)) else { continue };
                    if canaries.found_in(&content).is_some() {
                        shown.insert(String::from_utf8_lossy(&content).replace('\0', " "));
                    }
                    let program = content.split(|byte| *byte == 0).next().unwrap_or_default();
                    looks += usize::from(file == "cmdline" && program.ends_with(b"/git"));
                }
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        (shown, looks)
    })
}

struct Case {
    name: &'static str,
    url: String,
    secret: BTreeMap<&'static str, String>,
    /// The reasons of the target's condition that will do.
    reasons: &'static [&'static str],
}

fn case(name: &'static str, url: &str, reasons: &'static [&'static str], secret: &[(&'static str, &str)]) -> Case {
    let secret = secret.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
    Case { name, url: url.to_owned(), secret, reasons }
}

impl Case {
    /// Secret, provider, target and rule.
    fn manifests(&self, namespace: &str) -> Value {
        let Self { name, url, secret, .. } = self;
        let metadata = json!({"namespace": namespace, "name": name});
        let ours = |kind: &str, spec: Value| json!({"apiVersion": "configbutler.ai/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec});
        let provider = json!({
            "url": url, "secretRef": {"name": name}, "allowedBranches": ["main"], "push": {"interval": "200ms"}
        });
        json!({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": secret},
            ours("GitProvider", provider),
            ours("GitTarget", json!({"providerRef": {"name": name}, "baseFolder": name})),
            ours("WatchRule", json!({"sinkRef": {"name": name}, "rules": [{"resources": ["configmaps"]}]})),
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata},
        ]})
    }
}

const DENIED: &[&str] = &["AuthenticationFailed"];
const BROKEN: &[&str] = &["GitOperationFailed", "NetworkError"];
const UNUSABLE: &[&str] = &["ProviderNotReady"];

/// The servers of the test, which live as long as it does.
struct Servers {
    git: GitServer,
    refusing: [Parrot; 3],
    tls: TlsFront,
    asking: TlsFront,
    stranger: TlsFront,
    app_refused: Github,
    token_refused: Github,
}

impl Servers {
    async fn start(scratch: &ScratchDir, token: &str, canaries: &mut Canaries) -> (Self, [String; 2]) {
        let git = GitServer::start().await.unwrap();
        let keys = [AppKey::new(scratch.path()).unwrap(), AppKey::new(scratch.path()).unwrap()];
        let private = keys.each_ref().map(|key| key.private.clone());
        private.iter().for_each(|key| canaries.add_key(key));
        let [refused, minted] = keys;
        let hour = Timestamp::now() + SignedDuration::from_hours(1);
        let body = format!("{{\"message\": \"no\", \"token\": \"{token}\"}}");
        let servers = Self {
            refusing: [
                Parrot::start(403).await.unwrap(),
                Parrot::start(401).await.unwrap(),
                Parrot::start(500).await.unwrap(),
            ],
            tls: TlsFront::start(git.address(), false).await.unwrap(),
            asking: TlsFront::start(git.address(), true).await.unwrap(),
            stranger: TlsFront::start(git.address(), true).await.unwrap(),
            app_refused: Github::start(refused, Answer::Status(401, body)).await.unwrap(),
            token_refused: Github::start(minted, Answer::Token(token.to_owned(), hour)).await.unwrap(),
            git,
        };
        (servers, private)
    }

    /// Every way to fail, each with secrets of its own.
    fn cases(&self, [refused, minted]: &[String; 2], canaries: &mut Canaries) -> Vec<Case> {
        let repo = self.git.create_repo("canary").url().to_owned();
        let hooked = self.git.create_repo("hooked");
        let hook = hooked.path().join("hooks/pre-receive");
        // The one secret that is right, which this hook knows.
        let words = format!("#!/bin/sh\necho 'got {}'\nexit 1\n", self.git.password());
        std::fs::write(&hook, words).unwrap();
        std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
        canaries.add(self.git.password());

        let mut secret = |name: &str| {
            let secret = canary(name);
            canaries.add(&secret);
            secret
        };
        let unreachable = format!("http://127.0.0.1:{}/r", free_port().unwrap());
        let mut cases = vec![
            case("hook", hooked.url(), BROKEN, &[("username", self.git.user()), ("password", self.git.password())]),
            case("password", &repo, DENIED, &[("username", "git"), ("password", &secret("password"))]),
            case("bearer", &repo, DENIED, &[("bearerToken", &secret("bearer"))]),
            case("unreachable", &unreachable, BROKEN, &[("username", "git"), ("password", &secret("nobody"))]),
            case("name", &repo, DENIED, &[("username", &secret("name")), ("password", "x-oauth-basic")]),
        ];
        for (parrot, [basic, bearer]) in
            self.refusing.iter().zip([["p403", "b403"], ["p401", "b401"], ["p500", "b500"]])
        {
            let reasons: &[&str] = if basic == "p500" { BROKEN } else { DENIED };
            let url = parrot.url();
            cases.push(case(basic, &url, reasons, &[("username", "git"), ("password", &secret(basic))]));
            cases.push(case(bearer, &url, reasons, &[("bearerToken", &secret(bearer))]));
        }
        let (ca, other) = (self.asking.authority(), self.stranger.authority());
        let client = self.stranger.client().unwrap();
        let tls = ("password", secret("tls"));
        cases.push(case(
            "tls",
            &self.tls.url(&repo),
            BROKEN,
            &[("username", "git"), ("ca.crt", other), (tls.0, &tls.1)],
        ));
        let shown = [("ca.crt", ca), ("tls.crt", client.certificate.as_str()), ("tls.key", client.key.as_str())];
        cases.push(case("certificate", &self.asking.url(&repo), BROKEN, &shown));
        let garbage = format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n", secret("key"));
        cases.push(case("garbage", &repo, UNUSABLE, &[("identity", &garbage)]));
        cases.push(case("twice", &repo, UNUSABLE, &[("bearerToken", &secret("one")), ("username", &secret("other"))]));
        for (name, key, github) in [("app", refused, &self.app_refused), ("token", minted, &self.token_refused)] {
            let url = github.url();
            let app = [("githubAppID", "1"), ("githubAppInstallationID", "456"), ("githubAppBaseURL", &*url)];
            cases.push(case(name, &repo, DENIED, &[&app[..], &[("githubAppPrivateKey", key.as_str())]].concat()));
        }
        canaries.add_key(&client.key);
        cases
    }
}

async fn printed(cluster: &ControlPlane, arguments: &[&str]) -> Vec<u8> {
    let output =
        cluster.kubectl().args(["get", "--all-namespaces", "--output=json"]).args(arguments).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

const KINDS: &str = "gitproviders,gittargets,watchrules,clusterwatchrules";

/// Waits until every target has failed in its way.
async fn all_failed(cluster: &ControlPlane, cases: &[Case]) {
    eventually(SOON, "every target to fail", async || {
        let list: Value = serde_json::from_slice(&printed(cluster, &["gittargets"]).await)?;
        let ready = |name: &str| {
            let target = list["items"].as_array()?.iter().find(|target| target["metadata"]["name"] == name)?;
            let conditions = target["status"]["conditions"].as_array()?;
            conditions.iter().find(|condition| condition["type"] == "Ready").cloned()
        };
        let others: Vec<String> = cases
            .iter()
            .map(|case| (case, ready(case.name).unwrap_or_default()))
            .filter(|(case, ready)| !case.reasons.contains(&ready["reason"].as_str().unwrap_or_default()))
            .map(|(case, ready)| format!("{}: {ready}", case.name))
            .collect();
        anyhow::ensure!(others.is_empty(), "{others:#?}");
        Ok(Some(()))
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_credential_is_ever_shown() {
    let cluster = ControlPlane::start().await.unwrap();
    install_definitions(&cluster).await.unwrap();
    let (scratch, mut canaries) = (ScratchDir::new().unwrap(), Canaries::default());
    let token = format!("canary-token-{:016x}", fastrand::u64(..));
    canaries.add(&token);
    let (servers, keys) = Servers::start(&scratch, &token, &mut canaries).await;
    let cases = servers.cases(&keys, &mut canaries);
    let canaries = Arc::new(canaries);

    let stop = Arc::<AtomicBool>::default();
    let witness = watch_processes(Arc::clone(&canaries), Arc::clone(&stop));
    let namespace = cluster.namespace("canary").await.unwrap();
    let operator = Operator::start(&cluster, &scratch, &["--log=debug"]).await.unwrap();
    for case in &cases {
        apply(&cluster, &case.manifests(&namespace).to_string()).await.unwrap();
    }
    all_failed(&cluster, &cases).await;
    assert!(servers.refusing.iter().all(|parrot| parrot.repeated() >= 2), "the servers were shown the secrets");
    assert!(servers.token_refused.seen().iter().all(Result::is_ok));

    for kinds in [KINDS, "events", "events.events.k8s.io"] {
        canaries.absent(kinds, &printed(&cluster, &[kinds]).await);
    }
    canaries.absent_below(&scratch.path().join("clones"));
    canaries.absent("the log", operator.log().as_bytes());
    operator.terminate().await.unwrap();
    stop.store(true, Ordering::SeqCst);
    let (shown, looks) = witness.join().unwrap();
    assert_eq!(shown, BTreeSet::new(), "arguments or environment of a process");
    assert!(looks > 10, "git was seen {looks} times only");

    for kinds in [KINDS, "events", "events.events.k8s.io"] {
        canaries.absent(kinds, &printed(&cluster, &[kinds]).await);
    }
    canaries.absent("the log", &std::fs::read(scratch.path().join("operator.log")).unwrap());
    canaries.absent_below(&scratch.path().join("clones"));
    canaries.without(servers.git.password()).absent_below(Path::new("/dev/shm"));
}

#[test]
fn canaries_are_found_in_every_form() {
    let mut canaries = Canaries::default();
    canaries.add("canary-x/+@0123456789abcdef");
    let basic = |login: &str| BASE64_STANDARD.encode(login);
    for text in [
        "said canary-x/+@0123456789abcdef".to_owned(),
        "http://git:canary-x%2F%2B%400123456789abcdef@h".to_owned(),
        basic("git:canary-x/+@0123456789abcdef"),
        basic("gi:canary-x/+@0123456789abcdef"),
        basic("g:canary-x/+@0123456789abcdef"),
        basic("canary-x/+@0123456789abcdef"),
    ] {
        assert!(canaries.found_in(text.as_bytes()).is_some(), "{text}");
    }
    assert!(canaries.found_in(b"canary-x").is_none());
}
