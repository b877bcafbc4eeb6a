//! How files are opened and read: `sendfile`, `aio`, `directio`, `open_file_cache`, `disable_symlinks`.

use super::slots::{compile, given_once};
use base::text;
use conf::context::{Arity, Context};
use conf::row::{self, Cx, Row};
use conf::tree::Error;
use http::core::{Core, OpenFileCache};
use session::thread_pools::Pools;

const ALL: Context = Context::HTTP_ALL;

/// `directio off`: no file is that large.
const NEVER: u64 = u64::MAX;

pub(super) fn rows() -> Vec<Row> {
    let one = Arity::exactly(1);
    vec![
        row::flag("sendfile", Context::HTTP_IF, "The kernel sends files by itself.", |core: &mut Core| &mut core.sendfile),
        row::size("sendfile_max_chunk", ALL, "Most bytes of a file in one system call.", |core: &mut Core| &mut core.sendfile_max_chunk),
        Row::new("aio", ALL, one, "Reads files away from the event loop.", aio),
        Row::new("directio", ALL, one, "Files of this size and more bypass the page cache.", directio),
        Row::new("open_file_cache", ALL, Arity::Between(1, 2), "Keeps open files and what is known of them.", cache),
        row::time_sec("open_file_cache_valid", ALL, "How long the knowledge is trusted.", |core: &mut Core| {
            &mut core.open_file_cache_valid
        }),
        row::number("open_file_cache_min_uses", ALL, "Uses after which a file stays open.", |core: &mut Core| {
            &mut core.open_file_cache_min_uses
        }),
        row::flag("open_file_cache_errors", ALL, "Keeps failures as well.", |core: &mut Core| &mut core.open_file_cache_errors),
        Row::new("disable_symlinks", ALL, Arity::Between(1, 2), "Refuses paths with symbolic links.", symlinks),
    ]
}

fn aio(cx: &mut Cx<'_>) -> Result<(), Error> {
    given_once(cx)?;
    let threads = match cx.arg(0) {
        b"off" => false,
        // `on`: the kernel's own kind, which is only asynchronous with `directio`.
        b"on" | b"threads" => {
            cx.global::<Pools>().referenced.push((b"default".to_vec(), cx.error("")));
            true
        }
        other => match other.strip_prefix(b"threads=") {
            Some(name) => {
                // A name with variables is looked up by nobody: all pools are one.
                let literal = compile(cx, 0, name)?.literal().map(<[u8]>::to_vec);
                cx.global::<Pools>().referenced.extend(literal.map(|name| (name, cx.error(""))));
                true
            }
            None => return Err(cx.invalid_value(0)),
        },
    };
    cx.location::<Core>().aio_threads = Some(threads);
    Ok(())
}

fn directio(cx: &mut Cx<'_>) -> Result<(), Error> {
    let size = if cx.arg(0) == b"off" { NEVER } else { cx.offset(0)? };
    cx.once(&mut cx.location::<Core>().directio, size)
}

fn cache(cx: &mut Cx<'_>) -> Result<(), Error> {
    let mut max = None;
    let mut inactive = 60;
    let mut off = false;
    for i in 0..cx.args().len() {
        let bad = || cx.error_at(i, format!("invalid \"open_file_cache\" parameter \"{}\"", cx.text(i)));
        let arg = cx.arg(i);
        if arg == b"off" {
            off = true;
        } else if let Some(value) = arg.strip_prefix(b"max=") {
            max = Some(text::parse_number(value).filter(|n| *n > 0).ok_or_else(bad)?);
        } else if let Some(value) = arg.strip_prefix(b"inactive=") {
            inactive = text::parse_time_sec(value).ok_or_else(bad)?;
        } else {
            return Err(bad());
        }
    }
    let cache = match max {
        _ if off => None,
        Some(max) => Some(OpenFileCache { max: usize::try_from(max).unwrap_or(usize::MAX), inactive }),
        None => return Err(cx.error("\"open_file_cache\" must have the \"max\" parameter")),
    };
    cx.once(&mut cx.location::<Core>().open_file_cache, cache)
}

fn symlinks(cx: &mut Cx<'_>) -> Result<(), Error> {
    let mut mode = None;
    let mut from = None;
    for i in 0..cx.args().len() {
        match cx.arg(i) {
            b"off" => mode = Some(0),
            b"on" => mode = Some(1),
            b"if_not_owner" => mode = Some(2),
            other => match other.strip_prefix(b"from=") {
                Some(path) => from = Some(compile(cx, i, path)?),
                None => return Err(cx.invalid_parameter(i)),
            },
        }
    }
    let Some(mode) = mode else {
        return Err(cx.error("\"disable_symlinks\" must have \"off\", \"on\" or \"if_not_owner\" parameter"));
    };
    match (&from, mode) {
        (None, _) if cx.args().len() == 2 => {
            return Err(cx.error(format!("duplicate parameters \"{} {}\"", cx.text(0), cx.text(1))));
        }
        (Some(_), 0) => return Err(cx.error("\"from=\" cannot be used with \"off\" parameter")),
        _ => {}
    }
    cx.once(&mut cx.location::<Core>().disable_symlinks, mode)?;
    cx.location::<Core>().disable_symlinks_from = Some(from.unwrap_or_else(|| http::Complex::from_literal(b"")));
    Ok(())
}
