//! Templates of commit messages: text with named placeholders, such as `{operation} {kind}/{name}`. Braces that are to
//! stay are doubled. There is no logic in them, so nothing that a template says can fail when it is used.

use std::fmt;

/// The longest that a template may be, in characters.
pub const LONGEST: usize = 1_000;

/// What a template is for: that decides which placeholders it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The message of one change.
    Change,
    /// The message of several changes of one author.
    Group,
    /// The message of what a complete list brought.
    Seed,
}

impl Purpose {
    /// The placeholders of such a template.
    #[must_use]
    pub const fn placeholders(self) -> &'static [Placeholder] {
        use Placeholder::{
            ApiVersion, Count, Created, Deleted, Kind, Name, Namespace, Operation, Resource, Target, Updated, User,
            Written,
        };
        match self {
            Self::Change => &[Operation, Kind, Name, Namespace, ApiVersion, Resource, User, Target],
            Self::Group => &[Operation, Count, Created, Updated, Deleted, Namespace, User, Target],
            Self::Seed => &[Operation, Count, Written, Deleted, Kind, Namespace, ApiVersion, Resource, Target],
        }
    }
}

/// What a template can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placeholder {
    /// `CREATE`, `UPDATE` or `DELETE`; `CHANGE` for several different ones; `RECONCILE` for lists.
    Operation,
    /// The object's kind.
    Kind,
    /// The object's name.
    Name,
    /// The namespace of the object, or of all of them; empty without one, and for objects of several.
    Namespace,
    /// The object's apiVersion.
    ApiVersion,
    /// The plural name of the object's type, such as `deployments`.
    Resource,
    /// The user; `unknown` when nobody is proven.
    User,
    /// Namespace and name of the GitTarget.
    Target,
    /// How many files the commit changes.
    Count,
    /// How many objects were created.
    Created,
    /// How many objects were changed.
    Updated,
    /// How many files are written.
    Written,
    /// How many objects or files are gone.
    Deleted,
}

impl Placeholder {
    /// The name in templates, without braces.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Operation => "operation",
            Self::Kind => "kind",
            Self::Name => "name",
            Self::Namespace => "namespace",
            Self::ApiVersion => "apiVersion",
            Self::Resource => "resource",
            Self::User => "user",
            Self::Target => "target",
            Self::Count => "count",
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Written => "written",
            Self::Deleted => "deleted",
        }
    }
}

/// What is wrong with a template, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    /// There is nothing in it.
    #[error("it is empty; leave it out for the message that is made without a template")]
    Empty,
    /// It is longer than [`LONGEST`].
    #[error("it has more than {LONGEST} characters")]
    TooLong,
    /// It holds what can be neither typed nor read.
    #[error("it holds a control character; only line breaks are allowed")]
    ControlCharacter,
    /// A brace has no partner.
    #[error("a brace has no partner; write {{{{ or }}}} for a brace that is to stay")]
    UnbalancedBrace,
    /// A placeholder that there is not.
    #[error("there is no placeholder {{{name}}} here; there are {known}")]
    UnknownPlaceholder {
        /// The name, cut to a length that can be shown.
        name: String,
        /// The names that there are.
        known: String,
    },
}

/// A template that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageTemplate(Vec<Part>);

/// Templates of messages; without one, the message is as the manual says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageTemplates {
    /// For one change.
    pub change: Option<MessageTemplate>,
    /// For several changes of one author.
    pub group: Option<MessageTemplate>,
    /// For what a complete list brought.
    pub seed: Option<MessageTemplate>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Value(Placeholder),
}

impl MessageTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str, purpose: Purpose) -> Result<Self, InvalidTemplate> {
        if text.trim().is_empty() {
            return Err(InvalidTemplate::Empty);
        }
        if text.chars().count() > LONGEST {
            return Err(InvalidTemplate::TooLong);
        }
        if text.chars().any(|c| c.is_control() && c != '\n') {
            return Err(InvalidTemplate::ControlCharacter);
        }
        let (mut parts, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            rest = &rest[at..];
            if let Some(after) = rest.strip_prefix("{{").or_else(|| rest.strip_prefix("}}")) {
                plain.push_str(&rest[..1]);
                rest = after;
                continue;
            }
            let (name, after) = rest
                .strip_prefix('{')
                .and_then(|rest| rest.split_once('}'))
                .filter(|(name, _)| !name.contains('{'))
                .ok_or(InvalidTemplate::UnbalancedBrace)?;
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Value(named(name, purpose)?));
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self(parts))
    }

    /// The text with `value` in the place of each placeholder.
    #[must_use]
    pub fn render(&self, value: impl Fn(Placeholder) -> String) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Value(placeholder) => value(*placeholder),
        };
        self.0.iter().map(part).collect()
    }
}

fn named(name: &str, purpose: Purpose) -> Result<Placeholder, InvalidTemplate> {
    let known = purpose.placeholders();
    known.iter().find(|placeholder| placeholder.name() == name).copied().ok_or_else(|| {
        let known: Vec<String> = known.iter().map(|placeholder| format!("{{{placeholder}}}")).collect();
        InvalidTemplate::UnknownPlaceholder { name: name.chars().take(40).collect(), known: known.join(", ") }
    })
}

impl fmt::Display for Placeholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::GitTarget;
    use kube::CustomResourceExt as _;
    use proptest::prelude::*;

    fn rendered(text: &str) -> Result<String, InvalidTemplate> {
        let template = MessageTemplate::parse(text, Purpose::Change)?;
        Ok(template.render(|placeholder| placeholder.name().to_uppercase()))
    }

    #[test]
    fn placeholders_become_values_and_doubled_braces_stay() {
        for (text, expected) in [
            ("plain", "plain"),
            ("{kind}/{name}", "KIND/NAME"),
            ("{{kind}}", "{kind}"),
            ("{{{kind}}}", "{KIND}"),
            ("}}{{", "}{"),
            ("a\n\n{user}", "a\n\nUSER"),
        ] {
            assert_eq!(rendered(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, expected) in [
            ("", "empty"),
            (" \n", "empty"),
            ("{kind", "no partner"),
            ("kind}", "no partner"),
            ("{a{kind}", "no partner"),
            ("{{kind}", "no partner"),
            ("{}", "no placeholder {}"),
            ("{ kind }", "no placeholder { kind }"),
            ("{written}", "there are {operation}, {kind}"),
            ("{Kind}", "no placeholder {Kind}"),
            ("a\tb", "control character"),
            ("a\0b", "control character"),
            (&"x".repeat(LONGEST + 1), "1000 characters"),
        ] {
            let error = rendered(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_not_named_stays(text in "([{}]|\\PC|[{]kind[}]){0,40}") {
            if let Ok(template) = MessageTemplate::parse(&text, Purpose::Change) {
                let again = template.render(|placeholder| format!("\u{1}{placeholder}\u{2}"));
                let again = again.replace('{', "{{").replace('}', "}}").replace('\u{1}', "{").replace('\u{2}', "}");
                prop_assert_eq!(again, text);
            }
        }
    }

    /// The schema's pattern lists the placeholders a second time.
    #[test]
    fn the_schema_knows_the_same_placeholders() {
        let schema = serde_json::to_value(GitTarget::crd()).unwrap();
        let spec = &schema["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
        let messages = &spec["commit"]["properties"]["message"]["properties"];
        for (field, purpose) in [("change", Purpose::Change), ("group", Purpose::Group), ("seed", Purpose::Seed)] {
            let names: Vec<&str> = purpose.placeholders().iter().map(|placeholder| placeholder.name()).collect();
            let rule = messages[field]["x-kubernetes-validations"][0]["rule"].as_str().unwrap();
            assert!(rule.contains(&format!("[{{]({})[}}]", names.join("|"))), "{field}: {rule}");
            assert_eq!(messages[field]["maxLength"], LONGEST);
            let description = messages[field]["description"].as_str().unwrap();
            assert!(names.iter().all(|name| description.contains(&format!("`{{{name}}}`"))), "{field}: {description}");
        }
    }
}
