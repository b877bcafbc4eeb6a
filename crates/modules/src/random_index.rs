//! `random_index`: serves a random file of a directory.

use crate::files::open::Failure;
use crate::files::serve::refuse_directory;
use crate::static_files::unmappable;
use base::saturated::Saturated;
use conf::context::Context;
use conf::row::{self, Row};
use conf::scope::Config;
use http::root::os_path;
use http::{Attach, Jump, Levels, Method, Module, Outcome, Phase, Request, Step};
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::rc::Rc;

/// The module; it comes before `index`.
pub const MODULE: Module = Module { rows, levels: Levels::location_only::<Conf>, attach, ..Module::named("random_index") };

#[derive(Default)]
struct Conf {
    on: Option<bool>,
}

impl Config for Conf {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; on);
    }
}

fn rows() -> Vec<Row> {
    vec![row::flag::<Conf>("random_index", Context::LOCATION, "Picks a random file for a directory.", |c| &mut c.on)]
}

fn attach(at: &mut Attach<'_>) -> Result<(), conf::tree::Error> {
    if at.conf::<Conf>().on == Some(true) {
        at.phase(Phase::Content, |request| Step::Now(handle(request)));
    }
    Ok(())
}

fn handle(request: &Rc<Request>) -> Outcome {
    if request.line.borrow().uri.last() != Some(&b'/') || !request.method().intersects(Method::GET.or(Method::HEAD).or(Method::POST)) {
        return Outcome::Declined;
    }
    let mut path = match request.map_path() {
        Ok(path) => path.bytes,
        Err(error) => return unmappable(error),
    };
    if path.len() > 1 {
        path.pop();
    }
    let names = match names(&path) {
        Ok(names) => names,
        Err(error) => {
            let errno = error.raw_os_error().unwrap_or(nix::errno::Errno::EIO as i32);
            return refuse_directory(request, Failure { call: "opendir()", errno }, &path);
        }
    };
    let chosen = RandomState::new().hash_one(names.len()) % (names.len() as u64).max(1);
    let Some(name) = names.get(usize::saturated(chosen)) else { return Outcome::Declined };
    let mut uri = request.line.borrow().uri.clone();
    uri.extend_from_slice(name);
    let args = request.line.borrow().args.clone();
    request.jump(Jump::Internal { uri, args })
}

/// Regular files whose names do not begin with a dot.
fn names(path: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for item in fs::read_dir(os_path(path))? {
        let item = item?;
        let name = item.file_name().into_vec();
        if name.first() != Some(&b'.') && is_regular(&item) {
            names.push(name);
        }
    }
    Ok(names)
}

/// Whether it is a regular file or a link to one. Only links have to be asked: of all else the directory says what it is.
fn is_regular(item: &fs::DirEntry) -> bool {
    item.file_type().is_ok_and(|kind| kind.is_file() || (kind.is_symlink() && fs::metadata(item.path()).is_ok_and(|m| m.is_file())))
}
