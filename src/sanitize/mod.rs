//! From the JSON of a live object to the clean YAML that restores it.
//!
//! ```text
//! text ──► Document (a tape over the text) ──► passes (mark as removed) ──► emitter ──► Manifest
//!              └──► fingerprint (the whole object, before any pass)
//! ```
//!
//! Pure: no clock, no I/O, and nothing that is specific to a target. A pass can only take out. The order of
//! the passes is an invariant, because a later one decides on what an earlier one left:
//!
//! 1. rules of single kinds: first, because what shows that somebody asked for a value (`managedFields`, the
//!    last applied configuration, the annotations of provisioners and injectors) is what the next two take out;
//! 2. metadata: what the API server assigned, and system finalizers;
//! 3. annotations;
//! 4. labels;
//! 5. `status`;
//! 6. nested nulls: what is left in templates.
//!
//! Everything that no rule names is kept, defaults and empty values included: `{}` and `[]` carry meaning.
//! Only `annotations`, `labels`, `finalizers` and the lists that a rule of a kind filters go when a pass has
//! emptied them. An object of a kind without a rule costs nothing more than looking that up.
//!
//! [`noise()`] tells, before any pass, which objects are not worth a file; [`same_object`], whether a file that
//! is there says the same already.

mod copy;
mod cut;
mod equal;
mod error;
mod fields;
#[cfg(test)]
mod fixtures;
pub mod hash;
mod identity;
mod intent;
pub mod json;
mod kinds;
pub mod manifest;
mod metadata;
mod noise;
mod number;
mod parser;
mod reader;
#[cfg(test)]
mod restoring;
#[cfg(test)]
mod samples;
mod scalar;
pub mod yaml;

pub use cut::manifest_without;
pub use equal::same_object;
pub use error::SanitizeError;
pub use hash::{fingerprint, hash_without};
pub use identity::{identifies, kind_of};
pub use json::Document;
pub use kinds::FIELD_MANAGER;
pub use manifest::Manifest;
pub use noise::{Noise, noise};

use crate::resource::ResourceType;

/// Runs the passes over `document` and writes what is left.
///
/// `apiVersion` and `kind` are those of `kind`, since the items of a list carry none.
///
/// # Errors
///
/// [`SanitizeError::DuplicateKey`] and [`SanitizeError::TooLarge`]; only a server that is no Kubernetes API
/// server causes either.
pub fn manifest(document: &mut Document<'_>, kind: &ResourceType) -> Result<Manifest, SanitizeError> {
    strip(document, kind);
    yaml::emit(document, kind).map(Manifest::new)
}

/// The passes, in their order.
fn strip(document: &mut Document<'_>, kind: &ResourceType) {
    kinds::strip(document, kind);
    if let Some(node) = document.get(document.root(), "metadata") {
        metadata::metadata(document, node);
        metadata::annotations(document, node);
        metadata::labels(document, node, kind);
    }
    document.remove_members(document.root(), |_, key, _| key == "status");
    metadata::nested_nulls(document);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_kind(group: &str, kind: &str) -> ResourceType {
        let text = str::to_owned;
        let resource = format!("{}s", kind.to_lowercase());
        ResourceType { group: text(group), version: text("v1"), resource, kind: text(kind), namespaced: true }
    }

    fn clean(json: &str, kind: &ResourceType) -> String {
        let manifest = manifest(&mut Document::parse(json).unwrap(), kind).unwrap();
        String::from_utf8(manifest.bytes().to_vec()).unwrap()
    }

    /// What is left of the `metadata` of a Thing, indented as in the file.
    fn clean_metadata(json: &str) -> String {
        let text = clean(&format!(r#"{{"metadata":{json}}}"#), &mk_kind("", "Thing"));
        text.strip_prefix("apiVersion: v1\nkind: Thing\nmetadata:").unwrap().to_owned()
    }

    #[test]
    fn a_deployment() {
        let json = r#"{"metadata":{"name":"web","namespace":"shop","uid":"u","resourceVersion":"7","generation":3,
            "creationTimestamp":"2026-01-01T00:00:00Z","labels":{"app":"web"},
            "annotations":{"deployment.kubernetes.io/revision":"3","kubernetes.io/change-cause":"because"},
            "managedFields":[{"manager":"kubectl","fieldsV1":{"f:spec":{}}}]},
            "spec":{"replicas":2,"selector":{"matchLabels":{"app":"web"}},"strategy":{},
            "template":{"metadata":{"creationTimestamp":null,"labels":{"app":"web"},
            "annotations":{"kubectl.kubernetes.io/restartedAt":"2026-01-02T03:04:05Z"}},
            "spec":{"containers":[{"name":"web","image":"nginx:1.25","args":["-c","exec nginx\n"],
            "ports":[{"containerPort":80}],"resources":{}}],"volumes":[{"name":"tmp","emptyDir":{}}]}}},
            "status":{"replicas":2}}"#;
        let expected = "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
  labels:
    app: web
  annotations:
    kubernetes.io/change-cause: because
spec:
  replicas: 2
  selector:
    matchLabels:
      app: web
  strategy: {}
  template:
    metadata:
      annotations:
        kubectl.kubernetes.io/restartedAt: \"2026-01-02T03:04:05Z\"
      labels:
        app: web
    spec:
      containers:
      - args:
        - -c
        - |
          exec nginx
        image: nginx:1.25
        name: web
        ports:
        - containerPort: 80
        resources: {}
      volumes:
      - emptyDir: {}
        name: tmp
";
        assert_eq!(clean(json, &mk_kind("apps", "Deployment")), expected);
    }

    #[test]
    fn what_the_api_server_assigned_goes_and_the_unknown_stays() {
        let assigned = r#"{"managedFields":[],"resourceVersion":"1","uid":"u","selfLink":"/x","generation":1,
            "creationTimestamp":null,"deletionTimestamp":"t","deletionGracePeriodSeconds":0,"generateName":"x-",
            "ownerReferences":[{"uid":"o"}]"#;
        assert_eq!(clean_metadata(&format!("{assigned}}}")), " {}\n");
        assert_eq!(clean_metadata(&format!("{assigned},\"name\":\"x\",\"new\":[]}}")), "\n  name: x\n  new: []\n");
    }

    #[test]
    fn a_container_goes_only_when_a_pass_has_emptied_it() {
        for (json, expected) in [
            (r#"{"finalizers":["foregroundDeletion","external-attacher/csi-x","orphan"]}"#, " {}\n"),
            (
                r#"{"finalizers":["kubernetes.io/pvc-protection","example.com/f"]}"#,
                "\n  finalizers:\n  - example.com/f\n",
            ),
            (
                r#"{"finalizers":[],"labels":{},"annotations":{}}"#,
                "\n  labels: {}\n  annotations: {}\n  finalizers: []\n",
            ),
            (r#"{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{}"}}"#, " {}\n"),
            (r#"{"labels":{"kro.run/owned":"true","velero.io/backup-name":"b"}}"#, " {}\n"),
            (r#"{"labels":{"kubernetes.io/metadata.name":"x"}}"#, "\n  labels:\n    kubernetes.io/metadata.name: x\n"),
            (
                r#"{"labels":null,"annotations":"x","finalizers":{"a":1}}"#,
                "\n  labels: null\n  annotations: x\n  finalizers:\n    a: 1\n",
            ),
        ] {
            assert_eq!(clean_metadata(json), expected, "{json}");
        }
        let namespace = r#"{"metadata":{"name":"x","labels":{"kubernetes.io/metadata.name":"x"}}}"#;
        assert_eq!(
            clean(namespace, &mk_kind("", "Namespace")),
            "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: x\n"
        );
    }

    #[test]
    fn annotations_that_are_a_copy_of_an_object_go() {
        let kept =
            r#"{"annotations":{"a":"{\"kind\":\"x\"}","b":"{\"apiVersion\":1,\"kind\":\"x\"}","c":"{apiVersion"}}"#;
        assert_eq!(clean_metadata(kept).lines().count(), 5);
        let copy = r#"{"annotations":{"x":" {\"kind\":\"Secret\",\"apiVersion\":\"v1\",\"data\":{}}\n"}}"#;
        assert_eq!(clean_metadata(copy), " {}\n");
    }

    #[test]
    fn status_and_nested_nulls_go_at_their_places_only() {
        let json = r#"{"status":{"a":1},"data":{"status":"s","creationTimestamp":null},
            "spec":{"status":1,"metadata":{"creationTimestamp":"t"},"template":{"metadata":{"creationTimestamp":null}},
            "volumeClaimTemplates":[{"kind":"PersistentVolumeClaim","metadata":{"name":"d","creationTimestamp":null},
            "spec":{"status":2},"status":{"phase":"Pending"}},1]}}"#;
        let expected = "\
apiVersion: v1
kind: Thing
data:
  creationTimestamp: null
  status: s
spec:
  metadata:
    creationTimestamp: t
  status: 1
  template:
    metadata: {}
  volumeClaimTemplates:
  - kind: PersistentVolumeClaim
    metadata:
      name: d
    spec:
      status: 2
  - 1
";
        assert_eq!(clean(json, &mk_kind("", "Thing")), expected);
    }

    #[test]
    fn a_manifest_shows_its_id_and_not_its_bytes() {
        let manifest = Manifest::new(b"secret\n".to_vec());
        assert_eq!(format!("{manifest:?}"), "Manifest { oid: Oid(d97c5eada5d8c52079031eef0107a4430a9617c5), len: 7 }");
        assert_eq!((manifest.len(), manifest.is_empty(), manifest.clone().bytes()), (7, false, &b"secret\n"[..]));
    }
}
