//! The checks of label selectors, wherever one stands.

/// The mistakes of a selector, from the field as the schema has it, as messages have it, and what stands around it.
macro_rules! selector_mistakes {
    ($field:literal, $path:literal, $before:literal, $after:literal) => {
        [
            $crate::validation::mistake(
                concat!($field, ".matchLabels"),
                "maxProperties",
                concat!($before, "{matchLabels: '<65 keys>'}", $after),
                concat!($path, ".matchLabels: Too many: 65: must have at most 64 items"),
            ),
            $crate::validation::mistake(
                concat!($field, ".matchLabels"),
                "cel",
                concat!($before, "{matchLabels: {'my team': a}}", $after),
                concat!($path, ".matchLabels: Invalid value: each key must be the name of a label, such as team or app.kubernetes.io/name"),
            ),
            $crate::validation::mistake(
                concat!($field, ".matchLabels{}"),
                "maxLength",
                concat!($before, "{matchLabels: {a: '<64 a>'}}", $after),
                concat!($path, ".matchLabels.a: Too long: may not be more than 63 bytes"),
            ),
            $crate::validation::mistake(
                concat!($field, ".matchLabels{}"),
                "pattern",
                concat!($before, "{matchLabels: {a: 'a b'}}", $after),
                concat!($path, r#".matchLabels.a: Invalid value: "a b": "#, $path, r#".matchLabels.a in body should match '^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$'"#),
            ),
            $crate::validation::mistake(
                concat!($field, ".matchExpressions"),
                "maxItems",
                concat!($before, "{matchExpressions: '<65 of {key: a, operator: Exists}>'}", $after),
                concat!($path, ".matchExpressions: Too many: 65: must have at most 64 items"),
            ),
            $crate::validation::mistake(
                concat!($field, ".matchExpressions[]"),
                "required",
                concat!($before, "{matchExpressions: [{operator: Exists}]}", $after),
                concat!($path, ".matchExpressions[0].key: Required value"),
            ),
            $crate::validation::mistake(
                concat!($field, ".matchExpressions[]"),
                "required",
                concat!($before, "{matchExpressions: [{key: a}]}", $after),
                concat!($path, ".matchExpressions[0].operator: Required value"),
            ),
            $crate::validation::mistake(
                concat!($field, ".matchExpressions[]"),
                "cel",
                concat!($before, "{matchExpressions: [{key: a, operator: In}]}", $after),
                concat!($path, ".matchExpressions[0].values: Required value: operators In and NotIn need at least one value"),
            ),
            $crate::validation::mistake(
                concat!($field, ".matchExpressions[]"),
                "cel",
                concat!($before, "{matchExpressions: [{key: a, operator: NotIn, values: []}]}", $after),
                concat!($path, ".matchExpressions[0].values: Required value: operators In and NotIn need at least one value"),
            ),
            $crate::validation::mistake(
                concat!($field, ".matchExpressions[]"),
                "cel",
                concat!($before, "{matchExpressions: [{key: a, operator: Exists, values: [b]}]}", $after),
                concat!($path, ".matchExpressions[0].values: Forbidden: operators Exists and DoesNotExist take no values: leave them out, or write In or NotIn"),
            ),
            $crate::validation::mistake(
                concat!($field, ".matchExpressions[].key"),
                "maxLength",
                concat!($before, "{matchExpressions: [{key: '<318 a>', operator: Exists}]}", $after),
                concat!($path, ".matchExpressions[0].key: Too long: may not be more than 317 bytes"),
            ),
            $crate::validation::mistake(
                concat!($field, ".matchExpressions[].key"),
                "cel",
                concat!($before, "{matchExpressions: [{key: '', operator: Exists}]}", $after),
                concat!($path, r#".matchExpressions[0].key: Invalid value: "": must be the name of a label, such as team or app.kubernetes.io/name"#),
            ),
            $crate::validation::mistake(
                concat!($field, ".matchExpressions[].key"),
                "cel",
                concat!($before, "{matchExpressions: [{key: a/b/c, operator: Exists}]}", $after),
                concat!($path, r#".matchExpressions[0].key: Invalid value: "a/b/c": must be the name of a label, such as team or app.kubernetes.io/name"#),
            ),
            $crate::validation::mistake(
                concat!($field, ".matchExpressions[].operator"),
                "enum",
                concat!($before, "{matchExpressions: [{key: a, operator: Equals}]}", $after),
                concat!($path, r#".matchExpressions[0].operator: Unsupported value: "Equals": supported values: "In", "NotIn", "Exists", "DoesNotExist""#),
            ),
            $crate::validation::mistake(
                concat!($field, ".matchExpressions[].values"),
                "maxItems",
                concat!($before, "{matchExpressions: [{key: a, operator: In, values: '<257 of b>'}]}", $after),
                concat!($path, ".matchExpressions[0].values: Too many: 257: must have at most 256 items"),
            ),
            $crate::validation::mistake(
                concat!($field, ".matchExpressions[].values[]"),
                "maxLength",
                concat!($before, "{matchExpressions: [{key: a, operator: In, values: ['<64 b>']}]}", $after),
                concat!($path, ".matchExpressions[0].values[0]: Too long: may not be more than 63 bytes"),
            ),
            $crate::validation::mistake(
                concat!($field, ".matchExpressions[].values[]"),
                "pattern",
                concat!($before, "{matchExpressions: [{key: a, operator: In, values: [b!]}]}", $after),
                concat!($path, r#".matchExpressions[0].values[0]: Invalid value: "b!": "#, $path, r#".matchExpressions[0].values[0] in body should match '^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$'"#),
            ),
        ]
    };
}

pub(super) use selector_mistakes;
