//! The house rules that can be checked mechanically (CONTRIBUTING.md lists them).
// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cycles;
mod index;
mod layers;
mod manual;
mod shape;
mod source;
mod words;

/// Fails with all findings at once.
fn report(rule: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{rule}: {} findings\n{}", findings.len(), findings.join("\n"));
}
