//! The house rules that a machine can keep (ARCHITECTURE.md, "House rules").

mod cycles;
mod floors;
mod manual;
mod shape;
mod source;
mod words;

/// Fails with all findings at once.
fn report(rule: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{rule}: {} findings\n{}", findings.len(), findings.join("\n"));
}
