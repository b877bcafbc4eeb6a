//! The house rules that a machine can keep (ARCHITECTURE.md, "House rules").
// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cycles;
mod floors;
mod index;
mod manual;
mod shape;
mod source;
mod words;

/// Fails with all findings at once.
fn report(rule: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{rule}: {} findings\n{}", findings.len(), findings.join("\n"));
}
