//! The masks of `worker_cpu_affinity`.

use conf::row::Cx;
use conf::tree::Error;
use daemon::Affinity;

/// Most processors that a mask can name, `CPU_SETSIZE` of sched_setaffinity(2).
const MOST: usize = 1024;

/// Reads the arguments: `auto [mask]`, or masks.
///
/// # Errors
/// nginx's texts.
pub(super) fn read(cx: &Cx<'_>) -> Result<Affinity, Error> {
    let auto = cx.arg(0) == b"auto";
    if auto && cx.args().len() > 2 {
        return Err(cx.error("invalid number of arguments in \"worker_cpu_affinity\" directive"));
    }
    let masks: Result<_, _> = (usize::from(auto)..cx.args().len()).map(|i| mask(cx, i)).collect();
    Ok(Affinity { masks: masks?, auto })
}

/// The processors of one mask; the rightmost digit is processor 0.
fn mask(cx: &Cx<'_>, i: usize) -> Result<Vec<usize>, Error> {
    let text = cx.arg(i);
    if text.len() > MOST {
        return Err(cx.error_at(i, format!("\"worker_cpu_affinity\" supports up to {MOST} CPUs only")));
    }
    let mut processors = Vec::new();
    for (number, digit) in text.iter().rev().filter(|byte| **byte != b' ').enumerate() {
        match digit {
            b'0' => {}
            b'1' => processors.push(number),
            other => {
                let shown = char::from(*other);
                return Err(cx.error_at(i, format!("invalid character \"{shown}\" in \"worker_cpu_affinity\"")));
            }
        }
    }
    Ok(processors)
}
