//! `ngx.sleep`.

use lua::{Cx, Group, Later, Raise, Reply, Row, Stack, YIELDABLE};
use std::time::Duration;

/// `ngx.sleep`.
pub fn group() -> Group {
    Group { name: "ngx.sleep", rows: vec![Row::suspends("sleep", YIELDABLE, sleep)], glue: "local b = ... b.ngx.sleep = b.R.sleep" }
}

fn sleep(_: &Cx, stack: &mut Stack<'_>) -> Result<Later, Raise> {
    let count = stack.top();
    if count != 1 {
        return Err(Raise::new(format!("attempt to pass {count} arguments, but accepted 1")));
    }
    let seconds = stack.check_number(1, "sleep")?;
    let milliseconds = (seconds * 1000.0) as i64;
    let Ok(delay) = u64::try_from(milliseconds) else {
        return Err(Raise::new(format!("invalid sleep duration \"{milliseconds}\"")));
    };
    Ok(Later::wait(async move {
        if delay == 0 {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        Ok(Reply::Empty)
    }))
}
