//! The schema of label selectors.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

/// What the name of a label matches. Shorter than its rule, since the API server counts: more is refused by
/// [`crate::rules`].
const KEY: &str = "^([a-z0-9][-a-z0-9.]*/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$";

/// A selector in a spec.
pub(super) fn selector(_: &mut SchemaGenerator) -> Schema {
    let example = "the name of a label, such as team or app.kubernetes.io/name";
    let keys = json!([{
        "rule": format!("self.all(key, key.matches('{KEY}'))"),
        "message": format!("each key must be {example}")
    }]);
    let key = json!([{"rule": format!("self.matches('{KEY}')"), "message": format!("must be {example}")}]);
    let requirement = json!([
        {
            "rule": "!(self.operator in ['In', 'NotIn']) || (has(self.values) && size(self.values) > 0)",
            "message": "operators In and NotIn need at least one value",
            "reason": "FieldValueRequired", "fieldPath": ".values"
        },
        {
            "rule": "!(self.operator in ['Exists', 'DoesNotExist']) || !has(self.values) || size(self.values) == 0",
            "message": "operators Exists and DoesNotExist take no values: leave them out, or write In or NotIn",
            "reason": "FieldValueForbidden", "fieldPath": ".values"
        }
    ]);
    let mut schema = fields();
    let checks = "x-kubernetes-validations";
    schema["matchLabels"][checks] = keys;
    schema["matchExpressions"]["items"]["properties"]["key"][checks] = key;
    schema["matchExpressions"]["items"][checks] = requirement;
    of(&schema)
}

/// A selector in a status, which only the operator writes.
pub(super) fn stored_selector(_: &mut SchemaGenerator) -> Schema {
    of(&fields())
}

fn of(fields: &Value) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-map-type": "atomic", "properties": fields})
}

fn fields() -> Value {
    let value = json!({"type": "string", "maxLength": 63, "pattern": "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"});
    let requirement = json!({
        "type": "object",
        "required": ["key", "operator"],
        "properties": {
            "key": {"type": "string", "description": "Name of the label.", "maxLength": 317},
            "operator": {
                "type": "string",
                "description": "How the label is compared with the values.",
                "enum": ["In", "NotIn", "Exists", "DoesNotExist"]
            },
            "values": {
                "type": "array",
                "description": "The values, for `In` and `NotIn` only.",
                "maxItems": 256,
                "x-kubernetes-list-type": "atomic",
                "items": &value
            }
        }
    });
    json!({
        "matchLabels": {
            "type": "object",
            "description": "Labels that must be there with exactly these values.",
            "maxProperties": 64,
            "additionalProperties": value
        },
        "matchExpressions": {
            "type": "array",
            "description": "Requirements that must hold, all of them.",
            "maxItems": 64,
            "x-kubernetes-list-type": "atomic",
            "items": requirement
        }
    })
}
