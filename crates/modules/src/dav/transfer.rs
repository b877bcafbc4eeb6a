//! COPY and MOVE.

use super::{depth, ends_with_slash, failed, has_body, map, refuse, remove, tree};
use http::path::MappedPath;
use http::root::os_path;
use http::{Method, Request};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub(super) fn copy_or_move(request: &Request) -> Result<u16, u16> {
    if has_body(request) {
        return Err(refuse(request, 415, "COPY and MOVE with body are unsupported"));
    }
    let destination = request.headers.borrow().get(b"Destination").map(<[u8]>::to_vec);
    let destination = destination.ok_or_else(|| refuse(request, 400, "client sent no \"Destination\" header"))?;
    let uri = destination_uri(request, &destination)?;
    let slash = uri.ends_with(b"/");
    if ends_with_slash(request) != slash {
        let (source, shown) = (lossy(&request.line.borrow().uri), lossy(&destination));
        let why = format!("both URI \"{source}\" and \"Destination\" URI \"{shown}\" should be either collections or non-collections");
        return Err(refuse(request, 409, &why));
    }
    check_depth(request)?;
    let overwrite = overwrite(request)?;
    let from = trimmed(map(request)?);
    let mut mapped = MappedPath::default();
    request.map_uri_into(&uri, &mut mapped).map_err(|_| invalid(request, &destination))?;
    let to = trimmed(mapped.bytes);
    validate(request, &from, &to, &destination)?;
    perform(request, &Plan { from, to, slash, overwrite, display: lossy(&destination) })
}

struct Plan {
    from: PathBuf,
    to: PathBuf,
    slash: bool,
    overwrite: bool,
    display: String,
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

fn invalid(request: &Request, destination: &[u8]) -> u16 {
    refuse(request, 400, &format!("client sent invalid \"Destination\" header: \"{}\"", lossy(destination)))
}

/// The path in `Destination`, decoded and normalised; it must lie on this host and below an aliased location.
fn destination_uri(request: &Request, destination: &[u8]) -> Result<Vec<u8>, u16> {
    let raw = if destination.starts_with(b"/") {
        destination
    } else {
        let line = request.line.borrow();
        if line.host.is_empty() {
            return Err(refuse(request, 400, "client sent no \"Host\" header"));
        }
        let scheme: &[u8] = if request.connection.is_tls() { b"https://" } else { b"http://" };
        let rest = destination.strip_prefix(scheme).ok_or_else(|| invalid(request, destination))?;
        let same = rest.get(..line.host.len()).is_some_and(|host| host.eq_ignore_ascii_case(&line.host));
        if !same {
            let shown = lossy(destination);
            let why = format!("\"Destination\" URI \"{shown}\" is handled by different repository than the source URI");
            return Err(refuse(request, 400, &why));
        }
        let rest = rest.get(line.host.len()..).unwrap_or_default();
        let slash = memchr::memchr(b'/', rest).ok_or_else(|| invalid(request, destination))?;
        rest.get(slash..).unwrap_or_default()
    };
    let mut out = Vec::new();
    let target = wire::uri::internal::check(raw, &mut out).map_err(|_| invalid(request, destination))?;
    let uri = target.path(raw, &out).to_vec();
    // An alias cuts the location's name off: a destination elsewhere would be cut at random.
    let outside = request.with_location(|l| match &l.core.root {
        Some(root) if root.alias => root.cut.is_some_and(|cut| uri.get(..cut) != request.line.borrow().uri.get(..cut)),
        _ => false,
    });
    if outside { Err(invalid(request, destination)) } else { Ok(uri) }
}

fn check_depth(request: &Request) -> Result<(), u16> {
    match depth(request, None)? {
        None => Ok(()),
        Some(0) if request.method() == Method::COPY => Ok(()),
        Some(_) if request.method() == Method::COPY => Err(refuse(request, 400, "\"Depth\" header must be 0 or infinity")),
        Some(_) => Err(refuse(request, 400, "\"Depth\" header must be infinity")),
    }
}

fn overwrite(request: &Request) -> Result<bool, u16> {
    match request.headers.borrow().get(b"Overwrite") {
        None | Some(b"T" | b"t") => Ok(true),
        Some(b"F" | b"f") => Ok(false),
        Some(other) => Err(refuse(request, 400, &format!("client sent invalid \"Overwrite\" header: \"{}\"", lossy(other)))),
    }
}

/// The path with single slashes and none at its end.
fn trimmed(mut path: Vec<u8>) -> PathBuf {
    path.dedup_by(|a, b| *a == b'/' && *b == b'/');
    if path.len() > 1 && path.ends_with(b"/") {
        path.pop();
    }
    os_path(&path)
}

/// Neither path may be the other or hold it: the one would vanish while it is read.
fn validate(request: &Request, from: &Path, to: &Path, destination: &[u8]) -> Result<(), u16> {
    if from == to {
        let (uri, shown) = (lossy(&request.line.borrow().uri), lossy(destination));
        return Err(refuse(request, 403, &format!("source and destination are the same: \"{uri}\" and \"{shown}\"")));
    }
    if from.starts_with(to) || to.starts_with(from) {
        let (uri, shown) = (lossy(&request.line.borrow().uri), lossy(destination));
        return Err(refuse(request, 403, &format!("source \"{uri}\" and destination \"{shown}\" contain one another")));
    }
    Ok(())
}

fn perform(request: &Request, plan: &Plan) -> Result<u16, u16> {
    let Plan { from, to, slash, overwrite, display: shown } = plan;
    let existing = match fs::symlink_metadata(to) {
        Ok(meta) => Some(meta.is_dir()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(request, &error, 404, "lstat()", to)),
    };
    if existing == Some(true) && !slash {
        let (uri, method) = (lossy(&request.line.borrow().uri), lossy(&request.line.borrow().method_name));
        return Err(refuse(request, 409, &format!("\"{uri}\" could not be {method}ed to collection \"{shown}\"")));
    }
    if existing.is_some() && !overwrite {
        return Err(refuse(request, 412, &format!("\"{}\" could not be created (17: File exists)", to.display())));
    }
    let meta = fs::symlink_metadata(from).map_err(|error| failed(request, &error, 404, "lstat()", from))?;
    let moving = request.method() == Method::MOVE;
    super::changed(request, to);
    super::changed(request, from);
    if !meta.is_dir() {
        let done = if moving { tree::rename_with(from, to, 0, None, true) } else { tree::copy_file(from, to) };
        return done.map(|()| 204).map_err(|(call, path, error)| failed(request, &error, 500, call, &path));
    }
    if !ends_with_slash(request) {
        return Err(refuse(request, 400, &format!("\"{}\" is collection", lossy(&request.line.borrow().uri))));
    }
    if let Some(directory) = existing {
        // The log shows a directory's name as the client wrote it.
        remove(request, &if directory { to.join("") } else { to.clone() }, directory)?;
    }
    if moving && fs::rename(from, to).is_ok() {
        return Ok(201);
    }
    tree::copy_tree(from, to, 0).map_err(|(call, path, error)| failed(request, &error, 404, call, &path))?;
    if moving {
        remove(request, from, true)?;
    }
    Ok(201)
}
