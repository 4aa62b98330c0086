//! What the API server checks of the four kinds by itself: each check once, with the sentence that a user reads.

mod git_provider;
mod git_target;
mod rules;
mod selectors;

use crate::support::control_plane::{self, ControlPlane};
use crate::support::operator::{apply, install_definitions};
use anyhow::{Context as _, Result, ensure};
use gitops_reverser::api::{RuleStatus, TargetStatus, definitions};
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// A mistake in a spec.
pub(crate) struct Mistake {
    /// The field that the check is about, as in `spec.rules[].resources[]`; `{}` stands for the values of a map.
    field: &'static str,
    /// The word of the schema that checks it; `cel` for a rule, `immutable` for one that compares with what was.
    check: &'static str,
    /// What to merge into the spec that is fine. `<3 a>` stands for `aaa`, `<3 of a>` for a list of three `a`, `<3 keys>`
    /// for a map with three keys.
    spec: &'static str,
    /// What the user reads: the field and what is wrong with it.
    says: &'static str,
}

/// A kind, and what is tried with it.
pub(crate) struct Kind {
    name: &'static str,
    plural: &'static str,
    namespaced: bool,
    /// The least that a spec must hold.
    least: &'static str,
    /// What the spec becomes of it.
    stored: &'static str,
    mistakes: &'static [&'static [Mistake]],
    /// What is fine, to be merged into the least.
    fine: &'static [&'static str],
}

const KINDS: [&Kind; 4] = [&git_provider::KIND, &git_target::KIND, &rules::WATCH_RULE, &rules::CLUSTER_WATCH_RULE];

const fn mistake(field: &'static str, check: &'static str, spec: &'static str, says: &'static str) -> Mistake {
    Mistake { field, check, spec, says }
}

/// Every check of the schemas is in the tables. A check that is added needs a row here.
#[test]
fn no_check_is_missing() {
    for (kind, definition) in KINDS.iter().zip(definitions()) {
        assert_eq!(definition.spec.names.kind, kind.name);
        let schema = serde_json::to_value(&definition.spec.versions[0].schema).unwrap();
        let root = &schema["openAPIV3Schema"];
        assert_eq!(root["required"], json!(["spec"]));
        let mut checks = BTreeSet::new();
        collect(&root["properties"]["spec"], "spec", &mut checks);
        let tried = kind.mistakes.iter().copied().flatten().map(|mistake| {
            let words = if matches!(mistake.check, "cel" | "immutable" | "required") { mistake.says } else { "" };
            (mistake.field.to_owned(), mistake.check.to_owned(), words.to_owned())
        });
        let tried: Vec<_> = tried.collect();
        let missing = checks.iter().filter(|(field, check, words)| {
            !tried.iter().any(|(tried_field, tried_check, says)| {
                (tried_field, tried_check) == (field, check) && says.contains(words.as_str())
            })
        });
        let missing: Vec<_> = missing.collect();
        assert!(missing.is_empty(), "{}: {} of {}: {missing:#?}", kind.name, missing.len(), checks.len());
        let unknown = tried.iter().filter(|(field, check, _)| {
            !checks.iter().any(|known| (&known.0, &known.1) == (field, check)) && check != "type"
        });
        let unknown: Vec<_> = unknown.collect();
        assert!(unknown.is_empty(), "{}: the schema has none of {unknown:#?}", kind.name);
    }
}

/// Every check of `schema`, which describes `field`: field, word, and what the message must hold.
fn collect(schema: &Value, field: &str, checks: &mut BTreeSet<(String, String, String)>) {
    const WORDS: [&str; 11] = [
        "enum",
        "minLength",
        "maxLength",
        "pattern",
        "minItems",
        "maxItems",
        "minimum",
        "maximum",
        "maxProperties",
        "format",
        "uniqueItems",
    ];
    let mut found = |check: &str, words: &str| checks.insert((field.to_owned(), check.to_owned(), words.to_owned()));
    for word in WORDS.iter().filter(|word| schema.get(**word).is_some()) {
        found(word, "");
    }
    for required in schema["required"].as_array().into_iter().flatten() {
        found("required", &format!(".{}: ", required.as_str().unwrap()));
    }
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let is_transition = rule["rule"].as_str().unwrap().contains("oldSelf");
        found(if is_transition { "immutable" } else { "cel" }, rule["message"].as_str().unwrap());
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        collect(property, &format!("{field}.{name}"), checks);
    }
    for (nested, mark) in [("items", "[]"), ("additionalProperties", "{}")] {
        if let Some(nested) = schema.get(nested) {
            collect(nested, &format!("{field}{mark}"), checks);
        }
    }
}

/// Each mistake is refused with the sentence that names the field and what is wrong, and with no other.
#[tokio::test]
async fn each_mistake_is_refused_with_one_sentence() {
    let cluster = control_plane::shared().await.unwrap();
    install_definitions(cluster).await.unwrap();
    let mut wrong = Vec::new();
    for kind in KINDS {
        let tries = Tries::start(cluster, kind).await.unwrap();
        for mistake in kind.mistakes.iter().copied().flatten() {
            let answer = tries.refusal(mistake).await.unwrap();
            if answer != [mistake.says] {
                wrong
                    .push(format!("{} {} {} {}:\n  {answer:?}", kind.name, mistake.field, mistake.check, mistake.spec));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is unusual but fine is accepted.
#[tokio::test]
async fn what_is_fine_is_accepted() {
    let cluster = control_plane::shared().await.unwrap();
    install_definitions(cluster).await.unwrap();
    for kind in KINDS {
        let tries = Tries::start(cluster, kind).await.unwrap();
        for fine in kind.fine {
            tries.create(fine).await.with_context(|| format!("{} {fine}", kind.name)).unwrap();
        }
    }
}

/// Who leaves out all that may be left out gets what the documentation says, and `null` is the same as leaving out.
#[tokio::test]
async fn defaults_arrive() {
    let cluster = control_plane::shared().await.unwrap();
    install_definitions(cluster).await.unwrap();
    for kind in KINDS {
        let tries = Tries::start(cluster, kind).await.unwrap();
        assert_eq!(tries.create("{}").await.unwrap(), parse(kind.stored), "{}", kind.name);
    }
}

/// A field with a default cannot be changed by leaving it out, in whatever way.
#[tokio::test]
async fn what_cannot_be_changed_cannot_be_left_out_either() {
    let cluster = control_plane::shared().await.unwrap();
    install_definitions(cluster).await.unwrap();
    let tries = Tries::start(cluster, &git_target::KIND).await.unwrap();
    let before = tries.object("x", "{branch: develop, suspend: true}").unwrap();
    let before = tries.api.create(&PostParams::default(), &before).await.unwrap();
    let mut without = tries.object("x", "{suspend: true}").unwrap();
    let apply = PatchParams::apply("somebody").force();
    let patch = json!({"spec": {"branch": null}});
    let refused = [
        tries.api.patch("x", &PatchParams::default(), &Patch::Merge(patch)).await,
        tries.api.patch("x", &apply, &Patch::Apply(tries.object("x", "{branch: main}").unwrap())).await,
        {
            without.metadata.resource_version = before.metadata.resource_version;
            tries.api.replace("x", &PostParams::default(), &without).await
        },
    ];
    for answer in refused {
        let refusal = answer.expect_err("a changed branch was accepted").to_string();
        assert!(refusal.contains(r#"spec.branch: Invalid value: "main": cannot be changed"#), "{refusal}");
    }
    let now = tries.api.get("x").await.unwrap();
    assert_eq!(now.data["spec"]["branch"], "develop");
}

/// `kubectl get` shows the columns under the short names, and all kinds by their category.
#[tokio::test]
async fn the_kinds_have_short_names_a_category_and_columns() {
    let cluster = control_plane::shared().await.unwrap();
    install_definitions(cluster).await.unwrap();
    let table = [
        ("gitp", "NAME READY REASON URL AGE"),
        ("gitt", "NAME READY REASON BRANCH FOLDER LAST COMMIT LAST PUSH QUEUED AGE"),
        ("wr", "NAME READY REASON TARGET AGE"),
        ("cwr", "NAME READY REASON TARGET AGE"),
    ];
    for (kind, (short, columns)) in KINDS.iter().zip(table) {
        let tries = Tries::start(cluster, kind).await.unwrap();
        let object = tries.object("columns", "{suspend: true}").unwrap();
        let object = tries.api.create(&PostParams::default(), &object).await.unwrap();
        for names in [short, "reverser"] {
            let mut get = cluster.kubectl();
            get.args(["get", names]);
            if let Some(namespace) = &object.metadata.namespace {
                get.args(["--namespace", namespace]);
            }
            let shown = String::from_utf8(get.output().await.unwrap().stdout).unwrap();
            let header = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ") == columns;
            assert!(shown.lines().any(header), "{names}: {shown}");
        }
        drop(tries.api.delete("columns", &DeleteParams::default()).await.unwrap());
    }
}

/// Everything that the operator may report is stored as it was written.
#[tokio::test]
async fn statuses_are_stored_as_they_are_written() {
    let cluster = control_plane::shared().await.unwrap();
    install_definitions(cluster).await.unwrap();
    let condition = json!({
        "type": "Ready", "status": "True", "observedGeneration": 3, "reason": "Ready", "message": "fine",
        "lastTransitionTime": "2026-01-02T03:04:05Z"
    });
    let rule = json!({
        "observedGeneration": 3,
        "conditions": [condition],
        "resources": ["apps/v1/deployments", "v1/configmaps"],
        "unavailable": [{"resource": "v1/secrets", "reason": "Forbidden", "message": "allow it"}]
    });
    let target = json!({
        "observedGeneration": 3,
        "conditions": [condition],
        "gitStatus": {"branchExists": true, "lastCommitSHA": "c0ffee", "lastChecked": "2026-01-02T03:04:05Z"},
        "workerStatus": {
            "active": true, "queuedEvents": 1, "unpushedCommits": 2, "lastPushTime": "2026-01-02T03:04:05Z",
            "lastPushStatus": "Pending"
        },
        "trackedObjects": 7,
        "attribution": {"exact": 5},
        "selection": [
            {"types": ["v1/configmaps", "v1/secrets"], "namespaces": ["a"], "deletes": true},
            {
                "types": ["apps/v1/deployments"], "exceptNamespaces": ["b"], "deletes": false,
                "objectSelector": {
                    "matchLabels": {"a": "b"},
                    "matchExpressions": [{"key": "c", "operator": "In", "values": ["d"]}, {"key": "e", "operator": "Exists"}]
                }
            }
        ],
        "lastHandledRequest": "1"
    });
    let provider = json!({"observedGeneration": 3, "conditions": [condition]});
    // Each field of the types is in what is written.
    let read: TargetStatus = serde_json::from_value(target.clone()).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), target);
    let read: RuleStatus = serde_json::from_value(rule.clone()).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), rule);
    for (kind, status) in KINDS.iter().zip([&provider, &target, &rule, &rule]) {
        let tries = Tries::start(cluster, kind).await.unwrap();
        let object = tries.object("status", "{suspend: true}").unwrap();
        tries.api.create(&PostParams::default(), &object).await.unwrap();
        let patch = Patch::Merge(json!({"status": status}));
        let stored = tries.api.patch_status("status", &PatchParams::default(), &patch).await.unwrap();
        drop(tries.api.delete("status", &DeleteParams::default()).await.unwrap());
        assert_eq!(&stored.data["status"], status, "{}", kind.name);
    }
}

/// A field that does not exist is refused by kubectl's strict validation, not silently dropped.
#[tokio::test]
async fn an_unknown_field_is_refused() {
    let cluster = control_plane::shared().await.unwrap();
    install_definitions(cluster).await.unwrap();
    let namespace = cluster.namespace("validation").await.unwrap();
    let manifest = format!(
        "apiVersion: configbutler.ai/v1alpha1
kind: WatchRule
metadata: {{name: x, namespace: {namespace}}}
spec: {{sinkRef: {{name: live, namespace: other}}, rules: [{{resource: [secrets]}}]}}"
    );
    let refusal = apply(cluster, &manifest).await.unwrap_err().to_string();
    for field in ["spec.sinkRef.namespace", "spec.rules[0].resource"] {
        assert!(refusal.contains(field), "{refusal}");
    }
}

/// One kind on the API server.
struct Tries {
    api: Api<DynamicObject>,
    resource: ApiResource,
    least: Value,
}

impl Tries {
    async fn start(cluster: &ControlPlane, kind: &Kind) -> Result<Self> {
        let gvk = GroupVersionKind::gvk("configbutler.ai", "v1alpha1", kind.name);
        let resource = ApiResource::from_gvk_with_plural(&gvk, kind.plural);
        let client = cluster.client().await?;
        let api = if kind.namespaced {
            Api::namespaced_with(client, &cluster.namespace("validation").await?, &resource)
        } else {
            Api::all_with(client, &resource)
        };
        Ok(Self { api, resource, least: parse(kind.least) })
    }

    fn object(&self, name: &str, change: &str) -> Result<DynamicObject> {
        let mut spec = self.least.clone();
        merge(&mut spec, expand(parse(change)));
        let resource = &self.resource;
        let object = json!({
            "apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": name}, "spec": spec
        });
        Ok(serde_json::from_value(object)?)
    }

    /// The spec that the API server would store.
    async fn create(&self, change: &str) -> Result<Value> {
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        let created = self.api.create(&dry, &self.object("x", change)?).await?;
        Ok(created.data["spec"].clone())
    }

    /// Every sentence of the refusal.
    async fn refusal(&self, mistake: &Mistake) -> Result<Vec<String>> {
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        let object = self.object("x", mistake.spec)?;
        let answer = if mistake.check == "immutable" {
            let before = self.object("x", "{suspend: true}")?;
            let before = self.api.create(&PostParams::default(), &before).await?;
            let mut object = object;
            object.metadata.resource_version = before.metadata.resource_version;
            let answer = self.api.replace("x", &dry, &object).await;
            drop(self.api.delete("x", &DeleteParams::default()).await?);
            answer
        } else {
            self.api.create(&dry, &object).await
        };
        let Err(error) = answer else { return Ok(Vec::new()) };
        let kube::Error::Api(status) = error else { return Err(error.into()) };
        let causes = status.details.map(|details| details.causes).unwrap_or_default();
        ensure!(!causes.is_empty(), "no causes: {}", status.message);
        let sentences = causes.into_iter().map(|cause| format!("{}: {}", cause.field, cause.message));
        Ok(sentences.filter(|sentence| !sentence.contains("some validation rules were not checked")).collect())
    }
}

fn parse(yaml: &str) -> Value {
    serde_yaml::from_str(yaml).unwrap_or_else(|error| panic!("{yaml}: {error}"))
}

/// JSON merge patch, but a `null` stays where it takes nothing away.
fn merge(into: &mut Value, change: Value) {
    let Value::Object(change) = change else {
        *into = change;
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (name, value) in change {
        match (into.get_mut(&name), value) {
            (Some(_), Value::Null) => drop(into.as_object_mut().unwrap().remove(&name)),
            (Some(inner), value) => merge(inner, value),
            (None, value) => into[&name] = value,
        }
    }
}

/// Writes out what stands for something long.
fn expand(value: Value) -> Value {
    match value {
        Value::String(text) => expand_text(&text).unwrap_or(Value::String(text)),
        Value::Array(items) => items.into_iter().map(expand).collect(),
        Value::Object(fields) => Value::Object(fields.into_iter().map(|(name, value)| (name, expand(value))).collect()),
        other => other,
    }
}

fn expand_text(text: &str) -> Option<Value> {
    let (count, what) = text.strip_prefix('<')?.strip_suffix('>')?.split_once(' ')?;
    let count: usize = count.parse().ok()?;
    Some(match what.strip_prefix("of ") {
        Some(item) => Value::Array(vec![parse(item); count]),
        None if what == "keys" => {
            Value::Object((0..count).map(|number| (format!("k{number}"), json!("v"))).collect::<Map<_, _>>())
        }
        None => Value::String(what.repeat(count)),
    })
}
