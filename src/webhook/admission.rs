//! `AdmissionReview`: what is asked, and the answer.

use crate::attribution::{Record, User};
use crate::resource::{ContentHash, Operation};
use crate::sanitize::{Document, content_hash};
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
    /// connection, a subresource, an update that changes nothing, or an object without an identity.
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
struct Request<'a> {
    #[serde(borrow)]
    uid: Cow<'a, str>,
    #[serde(borrow)]
    operation: Cow<'a, str>,
    sub_resource: Option<String>,
    dry_run: Option<bool>,
    user_info: UserInfo,
    options: Option<Options>,
    #[serde(borrow)]
    object: Option<&'a RawValue>,
    #[serde(borrow)]
    old_object: Option<&'a RawValue>,
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
    if request.dry_run == Some(true) || request.sub_resource.is_some_and(|name| !name.is_empty()) {
        return None;
    }
    let operation = match &*request.operation {
        "CREATE" => Operation::Create,
        "UPDATE" => Operation::Update,
        "DELETE" => Operation::Delete,
        _ => return None,
    };
    let (identified_by, content) = match operation {
        Operation::Create => (request.object?, Some(fingerprint(request.object?)?)),
        Operation::Update => (request.old_object?, Some(changed(request.object?, request.old_object?)?)),
        Operation::Delete => (request.old_object?, None),
    };
    let metadata = serde_json::from_str::<Object<'_>>(identified_by.get()).ok()?.metadata;
    let old_resource_version = match operation {
        Operation::Create => None,
        Operation::Update | Operation::Delete => Some(kept(&metadata.resource_version)?),
    };
    let field_manager = request.options.and_then(|options| options.field_manager);
    Some(Record {
        uid: Arc::from(kept(&metadata.uid)?),
        operation,
        old_resource_version: old_resource_version.map(Arc::from),
        content,
        user: User { name: kept(&request.user_info.username)?.to_owned() },
        field_manager: field_manager.filter(|manager| kept(manager).is_some()),
        request_uid: request.uid.into_owned(),
        at,
    })
}

/// The fingerprint of `new`, unless it is `old` again.
fn changed(new: &RawValue, old: &RawValue) -> Option<ContentHash> {
    if new.get() == old.get() { None } else { fingerprint(new) }
}

fn fingerprint(object: &RawValue) -> Option<ContentHash> {
    Document::parse(object.get()).ok().map(|document| content_hash(&document))
}

/// `text`, if it is there and of a length that can be kept.
fn kept(text: &str) -> Option<&str> {
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
                "uid": "the-call", "operation": operation, "dryRun": false, "name": "",
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

    fn hash(object: &Value) -> Option<ContentHash> {
        Some(content_hash(&Document::parse(&object.to_string()).unwrap()))
    }

    #[test]
    fn requests_become_records() {
        let record = |operation, version: Option<&str>, content| Record {
            uid: Arc::from("the-object"),
            operation,
            old_resource_version: version.map(Arc::from),
            content,
            user: User { name: "alice".to_owned() },
            field_manager: Some("kubectl-edit".to_owned()),
            request_uid: "the-call".to_owned(),
            at: jiff::Timestamp::UNIX_EPOCH,
        };
        let seen_by_the_watch = hash(&mk_object(Some("8"), "new"));
        let table = [
            (create(), record(Operation::Create, None, seen_by_the_watch)),
            (update(), record(Operation::Update, Some("7"), seen_by_the_watch)),
            (delete(), record(Operation::Delete, Some("7"), None)),
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
            ("subresource", with(update(), "/request/subResource", json!("scale"))),
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
