//! Directives of the main level about processes.

use super::{MainLevel, affinity, once, os};
use base::errno::describe;
use base::text::parse_number;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::tree::Error;
use daemon::EnvEntry;
use sys::identity::Account;

type Read<T> = fn(&Cx<'_>, usize) -> Result<T, Error>;

/// A row that stores one value of the main level.
fn slot<T: 'static>(
    name: &'static str,
    arity: Arity,
    doc: &'static str,
    read: Read<T>,
    field: fn(&mut MainLevel) -> &mut Option<T>,
) -> Row {
    Row::new(name, Context::MAIN, arity, doc, move |cx| {
        let value = read(cx, 0)?;
        once(cx, field, value)
    })
}

fn bytes(cx: &Cx<'_>, i: usize) -> Result<Vec<u8>, Error> {
    Ok(cx.arg(i).to_vec())
}

pub(super) fn rows() -> Vec<Row> {
    let one = Arity::exactly(1);
    let mut rows = vec![
        slot("daemon", Arity::Flag, "Whether the server leaves the terminal.", |cx, i| cx.flag(i), |m| &mut m.daemon),
        slot("master_process", Arity::Flag, "Whether workers are processes of their own.", |cx, i| cx.flag(i), |m| &mut m.master_process),
        slot("worker_processes", one, "Number of workers, or auto: one per processor.", workers, |m| &mut m.worker_processes),
        slot("pid", one, "File for the master's process number.", bytes, |m| &mut m.pid),
        slot("lock_file", one, "Lock of old systems; no effect.", bytes, |m| &mut m.lock_file),
        slot("user", Arity::Between(1, 2), "Account of the workers.", user, |m| &mut m.user),
        slot("worker_priority", one, "Nice value of the workers.", priority, |m| &mut m.priority),
        slot("worker_cpu_affinity", Arity::AtLeast(1), "Processors of the workers.", |cx, _| affinity::read(cx), |m| &mut m.affinity),
        slot("worker_rlimit_nofile", one, "Most open files of a worker.", |cx, i| cx.number(i), |m| &mut m.open_files),
        slot("worker_rlimit_core", one, "Largest core file of a worker.", |cx, i| cx.offset(i), |m| &mut m.core_size),
        slot("worker_shutdown_timeout", one, "How long a graceful end may take.", |cx, i| cx.time_ms(i), |m| &mut m.shutdown_timeout),
        slot("working_directory", one, "Directory of the workers.", bytes, |m| &mut m.working_directory),
        slot("timer_resolution", one, "Coarser clock of nginx; no effect.", |cx, i| cx.time_ms(i), |m| &mut m.timer_resolution),
        slot("debug_points", one, "What internal errors of nginx do; no effect.", debug_points, |m| &mut m.debug_points),
        slot("pcre_jit", Arity::Flag, "Compiles expressions to machine code; always on.", |cx, i| cx.flag(i), |m| &mut m.pcre_jit),
        slot(
            "quic_bpf",
            Arity::Flag,
            "Datagrams of QUIC go to the worker that has the connection; always on.",
            |cx, i| cx.flag(i),
            |m| &mut m.quic_bpf,
        ),
        Row::new("env", Context::MAIN, one, "A variable of the environment that workers keep or get.", env),
    ];
    let refused = |name: &'static str, doc: &'static str, why: &'static str| {
        Row::new(name, Context::MAIN, Arity::exactly(1), doc, move |cx| Err(Error { unsupported: true, ..cx.error(why) }))
    };
    rows.push(refused(
        "load_module",
        "Refused: modules are built in.",
        "\"load_module\" is not supported: modules of nginx are built in, remove the directive",
    ));
    rows.push(refused(
        "ssl_engine",
        "Refused: there is no OpenSSL.",
        "\"ssl_engine\" is not supported: there is no OpenSSL in this server",
    ));
    rows
}

fn workers(cx: &Cx<'_>, i: usize) -> Result<usize, Error> {
    if cx.arg(i) == b"auto" {
        return Ok(sys::limits::processors());
    }
    parse_number(cx.arg(i)).and_then(|n| usize::try_from(n).ok()).ok_or_else(|| cx.invalid_value(i))
}

fn user(cx: &Cx<'_>, _: usize) -> Result<Option<Account>, Error> {
    if !sys::identity::is_root() {
        cx.warn("the \"user\" directive makes sense only if the master process runs with super-user privileges, ignored");
        return Ok(None);
    }
    let name = cx.text(0);
    let missing = |call: &str, name: &str, error: Option<std::io::Error>| {
        let why = error.map(|error| format!(" {}", describe(&error))).unwrap_or_default();
        cx.error(format!("{call}(\"{name}\") failed{why}"))
    };
    let mut account = match sys::identity::user(&name) {
        Ok(Some(account)) => account,
        Ok(None) => return Err(missing("getpwnam", &name, None)),
        Err(error) => return Err(missing("getpwnam", &name, Some(error))),
    };
    let group = if cx.args().len() == 2 { cx.text(1) } else { name };
    account.gid = match sys::identity::group(&group) {
        Ok(Some(gid)) => gid,
        Ok(None) => return Err(missing("getgrnam", &group, None)),
        Err(error) => return Err(missing("getgrnam", &group, Some(error))),
    };
    Ok(Some(account))
}

fn priority(cx: &Cx<'_>, i: usize) -> Result<i32, Error> {
    let (negative, digits) = match cx.arg(i).split_first() {
        Some((b'-', digits)) => (true, digits),
        Some((b'+', digits)) => (false, digits),
        _ => (false, cx.arg(i)),
    };
    let number = parse_number(digits).and_then(|n| i32::try_from(n).ok());
    let number = number.ok_or_else(|| cx.error_at(i, "\"worker_priority\" directive invalid number"))?;
    Ok(if negative { -number } else { number })
}

fn debug_points(cx: &Cx<'_>, i: usize) -> Result<(), Error> {
    cx.choice(i, &[("stop", ()), ("abort", ())])
}

fn env(cx: &mut Cx<'_>) -> Result<(), Error> {
    let text = cx.arg(0);
    let entry = match text.iter().position(|byte| *byte == b'=') {
        Some(at) => EnvEntry { name: os(text.get(..at).unwrap_or_default()), value: Some(os(text.get(at + 1..).unwrap_or_default())) },
        None => EnvEntry { name: os(text), value: None },
    };
    cx.global::<MainLevel>().env.push(entry);
    Ok(())
}
