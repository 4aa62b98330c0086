//! `AdmissionReview`: what is asked, and the answer.

use super::subresource;
use crate::attribution::{Asked, Propagation, Record, Request as Wish, User};
use crate::resource::Fingerprint;
use crate::sanitize::{self, Document};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::Arc;

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";

/// The longest name, uid or version that is kept, in bytes. Kubernetes makes none as long; a forger could.
const MAX_TEXT: usize = 1024;

/// What an `AdmissionReview` asks, and what it tells about the author of a change that may follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// `request.uid`, which the answer must repeat.
    pub response_uid: String,
    /// Who asked for what; `None` where no change of a mirrored object can follow: a dry run, a
    /// connection, an update that changes nothing, or an object without an identity.
    pub record: Option<Record>,
}

/// A body that is no `AdmissionReview` request. It says where it is wrong, never what is there.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MalformedReview {
    /// JSON is UTF-8.
    #[error("the body is not UTF-8")]
    NotUtf8,
    /// Not JSON, or not of the shape of an `AdmissionReview`.
    #[error("the body is no AdmissionReview: {what} at line {line}, column {column}")]
    NotReview {
        /// What kind of mistake it is.
        what: &'static str,
        /// Where, counted from 1.
        line: usize,
        /// Where, counted from 1.
        column: usize,
    },
    /// Another version or kind than the one that is understood.
    #[error(
        "the body is not an AdmissionReview of admission.k8s.io/v1; list v1 in the webhook's admissionReviewVersions"
    )]
    OtherVersion,
    /// `request.uid` is empty or far too long.
    #[error("request.uid is empty or longer than 1024 bytes")]
    Uid,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a> {
    #[serde(borrow)]
    api_version: Cow<'a, str>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    request: Request<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request<'a> {
    #[serde(borrow)]
    uid: Cow<'a, str>,
    #[serde(borrow)]
    operation: Cow<'a, str>,
    #[serde(borrow, default)]
    kind: Kind<'a>,
    #[serde(borrow)]
    sub_resource: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) namespace: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) name: Option<Cow<'a, str>>,
    dry_run: Option<bool>,
    user_info: UserInfo,
    options: Option<Options>,
    #[serde(borrow)]
    pub(super) object: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) old_object: Option<&'a RawValue>,
}

/// The type of `object` and `oldObject`.
#[derive(Default, Deserialize)]
struct Kind<'a> {
    #[serde(borrow, default)]
    version: Cow<'a, str>,
}

#[derive(Deserialize)]
struct UserInfo {
    #[serde(default)]
    username: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Options {
    field_manager: Option<String>,
    propagation_policy: Option<String>,
    orphan_dependents: Option<bool>,
}

impl Options {
    fn propagation(&self) -> Propagation {
        match (self.propagation_policy.as_deref(), self.orphan_dependents) {
            (Some("Foreground"), _) => Propagation::Foreground,
            (Some("Background"), _) | (None, Some(false)) => Propagation::Background,
            (Some("Orphan"), _) | (None, Some(true)) => Propagation::Orphan,
            _ => Propagation::Default,
        }
    }
}

/// As much of an object as identifies it.
#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(borrow, default)]
    uid: Cow<'a, str>,
    #[serde(borrow, default)]
    resource_version: Cow<'a, str>,
}

/// Reads the body of an admission request that came at `at`.
///
/// The objects are not copied: of each only the identity is read, and of the new one the fingerprint.
///
/// # Errors
/// Says why the body is no request. An object that cannot be read is no error: it has no record.
pub fn decode(body: &[u8], at: jiff::Timestamp) -> Result<Decoded, MalformedReview> {
    let body = std::str::from_utf8(body).map_err(|_| MalformedReview::NotUtf8)?;
    let review: Review<'_> = serde_json::from_str(body).map_err(|error| MalformedReview::from(&error))?;
    if review.api_version != API_VERSION || review.kind != KIND {
        return Err(MalformedReview::OtherVersion);
    }
    let request = review.request;
    if request.uid.is_empty() || request.uid.len() > MAX_TEXT {
        return Err(MalformedReview::Uid);
    }
    let response_uid = request.uid.clone().into_owned();
    Ok(Decoded { response_uid, record: record(request, at) })
}

/// `request.uid` of a body that [`decode`] refuses, where it is JSON and has one: enough to answer.
pub(super) fn response_uid(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Review {
        request: Request,
    }
    #[derive(Deserialize)]
    struct Request {
        uid: String,
    }
    let review: Review = serde_json::from_slice(body).ok()?;
    kept(&review.request.uid).map(str::to_owned)
}

fn record(request: Request<'_>, at: jiff::Timestamp) -> Option<Record> {
    if request.dry_run == Some(true) {
        return None;
    }
    let (uid, wish) = match (&*request.operation, request.sub_resource.as_deref().unwrap_or_default()) {
        ("UPDATE", "scale") => subresource::scale(&request)?,
        ("CREATE", "eviction") => subresource::eviction(&request)?,
        ("CREATE", "") => {
            let object = request.object?;
            (uid(&identity(object)?)?, Wish::Create(request.asked(object)?))
        }
        // Every other subresource that is updated takes the whole object.
        ("UPDATE", _) => {
            let (object, old) = (request.object?, request.old_object?);
            let (uid, base) = version(old)?;
            let asked = if object.get() == old.get() { None } else { request.asked(object) };
            (uid, Wish::Update { base, asked: asked? })
        }
        ("DELETE", "") => {
            let (uid, base) = version(request.old_object?)?;
            let propagation = request.options.as_ref().map_or(Propagation::Default, Options::propagation);
            (uid, Wish::Delete { base, propagation })
        }
        _ => return None,
    };
    let field_manager = request.options.and_then(|options| options.field_manager);
    Some(Record {
        uid,
        request: wish,
        user: User { name: kept(&request.user_info.username)?.to_owned() },
        field_manager: field_manager.filter(|manager| kept(manager).is_some()),
        request_uid: request.uid.into_owned(),
        at,
    })
}

impl Request<'_> {
    fn asked(&self, object: &RawValue) -> Option<Asked> {
        let api_version = Arc::from(kept(&self.kind.version).unwrap_or_default());
        Some(Asked { api_version, content: fingerprint(object)? })
    }
}

fn fingerprint(object: &RawValue) -> Option<Fingerprint> {
    Document::parse(object.get()).ok().map(|document| sanitize::fingerprint(&document))
}

fn identity(object: &RawValue) -> Option<Metadata<'_>> {
    serde_json::from_str::<Object<'_>>(object.get()).ok().map(|object| object.metadata)
}

fn uid(metadata: &Metadata<'_>) -> Option<Arc<str>> {
    kept(&metadata.uid).map(Arc::from)
}

/// The uid of an object, and its version.
pub(super) fn version(object: &RawValue) -> Option<(Arc<str>, Arc<str>)> {
    let metadata = identity(object)?;
    Some((uid(&metadata)?, kept(&metadata.resource_version).map(Arc::from)?))
}

/// `text`, if it is there and of a length that can be kept.
pub(super) fn kept(text: &str) -> Option<&str> {
    (1..=MAX_TEXT).contains(&text.len()).then_some(text)
}

impl From<&serde_json::Error> for MalformedReview {
    fn from(error: &serde_json::Error) -> Self {
        use serde_json::error::Category;
        let what = match error.classify() {
            Category::Data => "a field is missing or of another type",
            Category::Eof => "the end comes too early",
            Category::Syntax | Category::Io => "the JSON is broken",
        };
        Self::NotReview { what, line: error.line(), column: error.column() }
    }
}

/// The only answer: allowed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Debug, Serialize)]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
}

impl<'a> Answer<'a> {
    /// Allows the request `uid`.
    pub(super) const fn allow(uid: &'a str) -> Self {
        Self { api_version: API_VERSION, kind: KIND, response: Response { uid, allowed: true } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn mk_object(resource_version: Option<&str>, data: &str) -> Value {
        let mut object = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "c", "namespace": "n", "uid": "the-object"},
            "data": {"key": data},
        });
        if let Some(version) = resource_version {
            object["metadata"]["resourceVersion"] = version.into();
        }
        object
    }

    fn mk_review(operation: &str, object: Value, old_object: Value) -> Value {
        json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "the-call", "operation": operation, "dryRun": false, "name": "", "namespace": "n",
                "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
                "userInfo": {"username": "alice", "groups": ["system:authenticated"]},
                "options": {"kind": "UpdateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "kubectl-edit"},
                "object": object, "oldObject": old_object,
            },
        })
    }

    fn create() -> Value {
        mk_review("CREATE", mk_object(None, "new"), Value::Null)
    }

    fn update() -> Value {
        mk_review("UPDATE", mk_object(Some("7"), "new"), mk_object(Some("7"), "old"))
    }

    fn delete() -> Value {
        mk_review("DELETE", Value::Null, mk_object(Some("7"), "old"))
    }

    fn with(mut review: Value, pointer: &str, value: Value) -> Value {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        review.pointer_mut(parent).unwrap()[key] = value;
        review
    }

    fn decoded(review: &Value) -> Decoded {
        decode(review.to_string().as_bytes(), jiff::Timestamp::UNIX_EPOCH).unwrap()
    }

    fn asked(object: &Value) -> Asked {
        let content = sanitize::fingerprint(&Document::parse(&object.to_string()).unwrap());
        Asked { api_version: Arc::from("v1"), content }
    }

    fn mk_record(uid: &str, request: Wish) -> Record {
        Record {
            uid: Arc::from(uid),
            request,
            user: User { name: "alice".to_owned() },
            field_manager: Some("kubectl-edit".to_owned()),
            request_uid: "the-call".to_owned(),
            at: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    fn mk_scale(replicas: Value) -> Value {
        let metadata = json!({"name": "c", "namespace": "n", "uid": "the-object", "resourceVersion": "7"});
        json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": metadata, "spec": replicas})
    }

    fn scale(from: Value, to: Value) -> Value {
        with(mk_review("UPDATE", mk_scale(to), mk_scale(from)), "/request/subResource", json!("scale"))
    }

    fn eviction(options: Value) -> Value {
        let object = json!({"metadata": {"name": "p", "namespace": "n"}, "deleteOptions": options});
        let review = with(mk_review("CREATE", object, Value::Null), "/request/subResource", json!("eviction"));
        with(with(review, "/request/name", json!("p")), "/request/namespace", json!("n"))
    }

    #[test]
    fn requests_become_records() {
        let seen_by_the_watch = || asked(&mk_object(Some("8"), "new"));
        let base = || Arc::from("7");
        let delete = |propagation| mk_record("the-object", Wish::Delete { base: base(), propagation });
        let scaled = |replicas| mk_record("the-object", Wish::Scale { base: base(), replicas });
        let updated = || mk_record("the-object", Wish::Update { base: base(), asked: seen_by_the_watch() });
        let by = |option: &str, value: Value| with(self::delete(), &format!("/request/options/{option}"), value);
        let table = [
            (create(), mk_record("the-object", Wish::Create(seen_by_the_watch()))),
            (update(), updated()),
            (with(update(), "/request/subResource", json!("status")), updated()),
            (with(update(), "/request/subResource", json!("finalize")), updated()),
            (self::delete(), delete(Propagation::Default)),
            (by("propagationPolicy", json!("Background")), delete(Propagation::Background)),
            (by("propagationPolicy", json!("Foreground")), delete(Propagation::Foreground)),
            (by("propagationPolicy", json!("Orphan")), delete(Propagation::Orphan)),
            (by("orphanDependents", json!(true)), delete(Propagation::Orphan)),
            (by("orphanDependents", json!(false)), delete(Propagation::Background)),
            (scale(json!({"replicas": 1}), json!({"replicas": 3})), scaled(3)),
            (scale(json!({"replicas": 1}), json!({})), scaled(0)),
            (scale(json!({}), json!({"replicas": 1})), scaled(1)),
            (eviction(Value::Null), mk_record("pods/n/p", Wish::Evict)),
            (eviction(json!({"gracePeriodSeconds": 0})), mk_record("pods/n/p", Wish::Evict)),
        ];
        for (review, expected) in table {
            let decoded = decoded(&review);
            assert_eq!(decoded.response_uid, "the-call");
            assert_eq!(decoded.record, Some(expected));
        }
    }

    #[test]
    fn escaped_text_is_understood() {
        let body = update().to_string().replace("the-object", "the\\u002dobject").replace("alice", "al\\u0069ce\\n");
        let record = decode(body.as_bytes(), jiff::Timestamp::UNIX_EPOCH).unwrap().record.unwrap();
        assert_eq!((&*record.uid, record.user.name.as_str()), ("the-object", "alice\n"));
    }

    #[test]
    fn requests_that_lead_to_no_change_are_not_recorded() {
        let long = "x".repeat(MAX_TEXT + 1);
        let table = [
            ("dry run", with(update(), "/request/dryRun", json!(true))),
            ("binding", with(create(), "/request/subResource", json!("binding"))),
            ("deletion of a subresource", with(delete(), "/request/subResource", json!("status"))),
            ("scaled to the same", scale(json!({"replicas": 0}), json!({}))),
            ("scaled to less than nothing", scale(json!({}), json!({"replicas": -1}))),
            (
                "scaled without a version",
                with(scale(json!({}), json!({"replicas": 1})), "/request/oldObject", Value::Null),
            ),
            ("eviction as a dry run", eviction(json!({"dryRun": ["All"]}))),
            ("eviction of nobody", with(eviction(Value::Null), "/request/name", json!(""))),
            ("connect", with(update(), "/request/operation", json!("CONNECT"))),
            ("unknown operation", with(update(), "/request/operation", json!("PATCH"))),
            ("no change", with(update(), "/request/object", mk_object(Some("7"), "old"))),
            ("no object", with(update(), "/request/object", Value::Null)),
            ("no old object", with(update(), "/request/oldObject", Value::Null)),
            ("nothing created", with(create(), "/request/object", Value::Null)),
            ("nothing deleted", with(delete(), "/request/oldObject", Value::Null)),
            ("no version", with(delete(), "/request/oldObject", mk_object(None, "old"))),
            ("no uid", with(create(), "/request/object/metadata/uid", json!(""))),
            ("uid of another type", with(create(), "/request/object/metadata/uid", json!(5))),
            ("no metadata", with(create(), "/request/object", json!({}))),
            ("no object but text", with(create(), "/request/object", json!("text"))),
            ("no user", with(update(), "/request/userInfo", json!({}))),
            ("endless user", with(update(), "/request/userInfo/username", json!(long))),
            ("endless uid", with(create(), "/request/object/metadata/uid", json!(long))),
            ("endless version", with(update(), "/request/oldObject/metadata/resourceVersion", json!(long))),
        ];
        for (what, review) in table {
            assert_eq!(decoded(&review), Decoded { response_uid: "the-call".to_owned(), record: None }, "{what}");
        }
    }

    #[test]
    fn what_may_be_absent_may_be_absent() {
        let mut review = update();
        let request = review["request"].as_object_mut().unwrap();
        request.remove("dryRun");
        request.insert("subResource".to_owned(), json!(""));
        request.insert("options".to_owned(), Value::Null);
        let record = decoded(&review).record.unwrap();
        assert_eq!(record.field_manager, None);
        assert!(
            decoded(&with(update(), "/request/options/fieldManager", json!("")))
                .record
                .unwrap()
                .field_manager
                .is_none()
        );
    }

    #[test]
    fn garbage_is_malformed_and_not_repeated() {
        let table = [
            with(update(), "/apiVersion", json!("admission.k8s.io/v1beta1")).to_string(),
            with(update(), "/kind", json!("Pod")).to_string(),
            with(update(), "/request/uid", json!("")).to_string(),
            with(update(), "/request/uid", json!("x".repeat(MAX_TEXT + 1))).to_string(),
            with(update(), "/request/dryRun", json!("s3cret")).to_string(),
            with(update(), "/request/userInfo", Value::Null).to_string(),
            json!({"apiVersion": API_VERSION, "kind": KIND}).to_string(),
            json!({"apiVersion": API_VERSION, "kind": KIND, "response": {"uid": "x"}}).to_string(),
            update().to_string() + "x",
            update().to_string().replace('}', ""),
            "[".repeat(100_000),
            String::new(),
            "null".to_owned(),
            "s3cret".to_owned(),
        ];
        for body in table {
            let error = decode(body.as_bytes(), jiff::Timestamp::UNIX_EPOCH).unwrap_err();
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
        assert_eq!(decode(b"\xff", jiff::Timestamp::UNIX_EPOCH), Err(MalformedReview::NotUtf8));
    }

    #[test]
    fn what_is_refused_is_answered_where_it_has_an_identity() {
        let uid = |review: Value| response_uid(review.to_string().as_bytes());
        for review in [
            with(update(), "/apiVersion", json!("admission.k8s.io/v1beta1")),
            with(update(), "/request/dryRun", json!("s3cret")),
            with(update(), "/request/userInfo", Value::Null),
            with(update(), "/request/object", json!("x")),
        ] {
            assert_eq!(uid(review).as_deref(), Some("the-call"));
        }
        for uid_of in [json!(""), json!(7), json!("x".repeat(MAX_TEXT + 1))] {
            assert_eq!(uid(with(update(), "/request/uid", uid_of)), None);
        }
        assert_eq!(response_uid(update().to_string().replace('}', "").as_bytes()), None);
        assert_eq!(response_uid(b"\xff"), None);
    }

    #[test]
    fn a_deep_object_is_allowed() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let body = update().to_string().replace("\"new\"", &deep);
        assert_eq!(
            decode(body.as_bytes(), jiff::Timestamp::UNIX_EPOCH).map(|decoded| decoded.response_uid),
            Ok("the-call".to_owned())
        );
    }

    #[test]
    fn the_answer_allows() {
        let answer = serde_json::to_value(Answer::allow("the-call")).unwrap();
        let expected = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "response": {"uid": "the-call", "allowed": true},
        });
        assert_eq!(answer, expected);
    }
}
