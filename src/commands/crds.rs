//! `gitops-reverser crds`: prints the definitions of the custom resources.

use crate::api;
use std::io::Write;

/// Why the definitions could not be printed.
#[derive(Debug, thiserror::Error)]
pub enum CrdsError {
    /// A definition cannot be serialized, which is a defect of its schema.
    #[error("a definition cannot be written as YAML: {0}")]
    Yaml(#[from] serde_yaml::Error),
    /// Nobody reads.
    #[error("the definitions cannot be written: {0}")]
    Write(#[from] std::io::Error),
}

/// Writes the four definitions as one YAML stream, one document each, the same bytes every time.
///
/// # Errors
/// When nobody reads, or a schema is defective.
pub fn print(out: &mut impl Write) -> Result<(), CrdsError> {
    for definition in api::definitions() {
        writeln!(out, "---")?;
        out.write_all(serde_yaml::to_string(&definition)?.as_bytes())?;
    }
    Ok(())
}
