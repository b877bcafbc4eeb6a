//! `ngx.null`, the numbers of methods, statuses and results, `ngx.config`, `ngx.get_phase`, and `resty.core.base`.

use crate::host::{expect_host, host};
use crate::runtime::Subsystem;
use lua::{CallContext, Group, PhaseSet, Raise, Row, Stack};
use std::os::unix::ffi::OsStrExt;

/// The part's rows and glue.
#[must_use]
pub(crate) fn group(subsystem: Subsystem) -> Group {
    Group {
        name: "ngx.consts",
        rows: vec![
            Row::calls("null", PhaseSet::EVERYWHERE, null),
            Row::calls("prefix", PhaseSet::EVERYWHERE, prefix),
            Row::calls("configure", PhaseSet::EVERYWHERE, configure),
            Row::constant("IS_STREAM", i32::from(subsystem == Subsystem::Stream)),
        ],
        glue: include_str!("consts.lua"),
    }
}

fn null(_: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    stack.push_light(0);
    Ok(1)
}

fn prefix(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let host = expect_host(cx)?;
    let mut prefix = host.runtime().prefix.borrow().as_os_str().as_bytes().to_vec();
    if prefix.last() != Some(&b'/') {
        prefix.push(b'/');
    }
    stack.push_bytes(&prefix);
    Ok(1)
}

/// ` --with-...`, as nginx keeps it.
fn configure(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let arguments = host(cx).map(|host| host.runtime().surroundings.borrow().configure.clone()).unwrap_or_default();
    let space = if arguments.starts_with('-') { " " } else { "" };
    stack.push_bytes(format!("{space}{arguments}").as_bytes());
    Ok(1)
}

#[cfg(test)]
mod tests {
    use crate::ngx::tests::evaluate;

    #[test]
    fn numbers() {
        assert_eq!(evaluate("ngx.OK, ngx.DECLINED, ngx.HTTP_GET, ngx.HTTP_GONE, ngx.ERR"), "0 -5 2 410 4");
        assert_eq!(evaluate("ngx.null, type(ngx.null), ngx.config.subsystem"), "userdata: NULL userdata http");
    }

    #[test]
    fn the_phase_outside_of_requests() {
        assert_eq!(evaluate("ngx.get_phase()"), "init");
    }

    #[test]
    fn libraries_find_the_core() {
        assert_eq!(evaluate("type(require 'resty.core'.version), require 'resty.core.base'.FFI_OK"), "string 0");
    }
}
