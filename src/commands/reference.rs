//! `gitops-reverser reference`: prints every field of the custom resources as Markdown.

use crate::api;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use std::io::{self, Write};

/// Parts that stand in several places and are described once: the heading, and a field by which they are known.
const SHARED: [(&str, &str); 2] = [("Label selectors", "matchLabels"), ("Conditions", "lastTransitionTime")];

/// Writes one section for each kind, with a table of its spec and one of its status, the same bytes every time.
///
/// # Errors
/// When nobody reads.
pub fn print(out: &mut impl Write) -> io::Result<()> {
    let definitions = api::definitions();
    writeln!(out, "# Field reference\n")?;
    writeln!(out, "Every field of the kinds of `{}/v1alpha1`, as `gitops-reverser reference` prints it.", api::GROUP)?;
    writeln!(out, "`kubectl explain gittarget.spec` says the same of the definitions that a cluster has.")?;
    for definition in &definitions {
        print_kind(definition, out)?;
    }
    let schemas = definitions.iter().filter_map(schema);
    for (heading, field) in SHARED {
        writeln!(out, "\n## {heading}\n")?;
        if let Some(shared) = schemas.clone().find_map(|schema| holder(schema, field)) {
            print_table(shared, "", out)?;
        }
    }
    Ok(())
}

fn schema(definition: &CustomResourceDefinition) -> Option<&JSONSchemaProps> {
    definition.spec.versions.first()?.schema.as_ref()?.open_api_v3_schema.as_ref()
}

fn print_kind(definition: &CustomResourceDefinition, out: &mut impl Write) -> io::Result<()> {
    let names = &definition.spec.names;
    let Some(schema) = schema(definition) else { return Ok(()) };
    writeln!(out, "\n## {}\n\n{}", names.kind, schema.description.as_deref().unwrap_or_default())?;
    let scope = if definition.spec.scope == "Namespaced" { "Lives in a namespace" } else { "Lives in no namespace" };
    let short = names.short_names.iter().flatten().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let page = names.singular.as_deref().unwrap_or_default();
    let page = page.replace("watchrule", "watch-rule").replace("git", "git-").replace("cluster", "cluster-");
    writeln!(out, "{scope}; short name {short}. [What it is for]({page}.md)")?;
    for part in ["spec", "status"] {
        if let Some(part_schema) = property(schema, part) {
            writeln!(out)?;
            print_table(part_schema, part, out)?;
        }
    }
    Ok(())
}

fn print_table(schema: &JSONSchemaProps, path: &str, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "| field | type | default | meaning |\n|---|---|---|---|")?;
    print_rows(schema, path, out)
}

fn print_rows(schema: &JSONSchemaProps, path: &str, out: &mut impl Write) -> io::Result<()> {
    for (name, field) in schema.properties.iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let is_required = schema.required.iter().flatten().any(|required| required == name);
        let default = match &field.default {
            _ if is_required => "required".to_owned(),
            Some(default) if !default.0.is_object() => format!("`{}`", default.0.to_string().trim_matches('"')),
            _ => String::new(),
        };
        let meaning = cell(&format!("{}{}", description(field), limits(field)));
        writeln!(out, "| `{path}` | {} | {default} | {meaning} |", cell(&type_name(field)))?;
        let nested = items(field).unwrap_or(field);
        if heading(nested).is_none() {
            let mark = if items(field).is_some() { "[]" } else { "" };
            print_rows(nested, &format!("{path}{mark}"), out)?;
        }
    }
    Ok(())
}

/// What stands between two bars of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn description(field: &JSONSchemaProps) -> &str {
    field.description.as_deref().unwrap_or_default()
}

fn type_name(field: &JSONSchemaProps) -> String {
    if let Some(heading) = heading(field) {
        let (text, anchor) = (heading.to_lowercase(), heading.to_lowercase().replace(' ', "-"));
        return format!("[{}](#{anchor})", text.trim_end_matches('s'));
    }
    if let Some(values) = &field.enum_ {
        let values = values.iter().map(|value| format!("`{}`", value.0.as_str().unwrap_or_default()));
        return values.collect::<Vec<_>>().join(", ");
    }
    if let Some(items) = items(field) {
        return format!("list of {}", type_name(items));
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &field.additional_properties {
        return format!("map to {}", type_name(values));
    }
    match (field.type_.as_deref(), field.format.as_deref()) {
        (_, Some("date-time")) => "time".to_owned(),
        (kind, _) => kind.unwrap_or_default().to_owned(),
    }
}

/// What the API server checks, as sentences.
fn limits(field: &JSONSchemaProps) -> String {
    let mut limits = bounds(field);
    let checks = field.x_kubernetes_validations.iter().flatten();
    limits.extend(checks.filter_map(|check| check.message.clone()));
    if let Some(items) = items(field) {
        let checks = items.x_kubernetes_validations.iter().flatten().filter_map(|check| check.message.clone());
        if items.properties.is_some() {
            limits.extend(checks);
        } else {
            limits.extend(bounds(items).into_iter().chain(checks).map(|limit| format!("each {limit}")));
        }
    }
    if limits.is_empty() { String::new() } else { format!(" *Checked: {}.*", limits.join("; ")) }
}

fn bounds(field: &JSONSchemaProps) -> Vec<String> {
    let of = |least: Option<i64>, most: Option<i64>, what: &str| match (least.filter(|least| *least > 0), most) {
        (Some(least), Some(most)) => Some(format!("{least} to {most} {what}")),
        (Some(least), None) => Some(format!("at least {least} {what}")),
        (None, Some(most)) => Some(format!("at most {most} {what}")),
        (None, None) => None,
    };
    let range = match (field.minimum, field.maximum) {
        (Some(least), Some(most)) => Some(format!("{least} to {most}")),
        (Some(least), None) => Some(format!("at least {least}")),
        _ => None,
    };
    let all = [
        of(field.min_length, field.max_length, "characters"),
        of(field.min_items, field.max_items, "items"),
        of(None, field.max_properties, "entries"),
        range,
    ];
    all.into_iter().flatten().collect()
}

fn items(field: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match field.items.as_ref()? {
        JSONSchemaPropsOrArray::Schema(items) => Some(items),
        JSONSchemaPropsOrArray::Schemas(_) => None,
    }
}

fn property<'a>(schema: &'a JSONSchemaProps, name: &str) -> Option<&'a JSONSchemaProps> {
    schema.properties.as_ref()?.get(name)
}

/// Where `schema` is described, if that is not where it stands.
fn heading(schema: &JSONSchemaProps) -> Option<&'static str> {
    SHARED.iter().find(|(_, field)| property(schema, field).is_some()).map(|(heading, _)| *heading)
}

/// The first schema, from `schema` on inwards, that has the field `name`.
fn holder<'a>(schema: &'a JSONSchemaProps, name: &str) -> Option<&'a JSONSchemaProps> {
    if property(schema, name).is_some() {
        return Some(schema);
    }
    let nested = schema.properties.iter().flat_map(|properties| properties.values()).chain(items(schema));
    nested.into_iter().find_map(|schema| holder(schema, name))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn the_reference_in_docs_is_what_is_printed() {
        let mut printed = Vec::new();
        super::print(&mut printed).unwrap();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference.md");
        let kept = std::fs::read_to_string(path).unwrap();
        let is_equal = kept == String::from_utf8(printed).unwrap();
        assert!(is_equal, "run: cargo run -- reference > docs/reference.md");
    }
}
