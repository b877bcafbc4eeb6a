//! `flv`: Flash videos from a byte offset (nginx manual, `ngx_http_flv_module`).

use crate::files::serve;
use crate::static_files;
use bytes::Bytes;
use conf::context::{Arity, Context};
use conf::row::Row;
use conf::scope::Config;
use conf::tree::Error;
use http::{Attach, Chain, Levels, Module, Piece, Request, Step, content_type};
use std::rc::Rc;

/// Flash videos.
pub const MODULE: Module = Module { rows, levels: Levels::location_only::<Flv>, attach, ..Module::named("flv") };

/// What a video begins with: version 1, sound and pictures, nine bytes; no tag before.
const HEADER: &[u8; 13] = b"FLV\x01\x05\0\0\0\x09\0\0\0\0";

#[derive(Default)]
struct Flv {
    on: bool,
}

impl Config for Flv {
    // A content handler belongs to its location.
    fn inherit(&mut self, _: &Self) {}
}

fn rows() -> Vec<Row> {
    vec![Row::new("flv", Context::LOCATION, Arity::exactly(0), "Serves Flash videos from any byte on.", |cx| {
        cx.location::<Flv>().on = true;
        Ok(())
    })]
}

fn attach(place: &mut Attach<'_>) -> Result<(), Error> {
    if place.conf::<Flv>().on {
        place.content(handle);
    }
    Ok(())
}

fn handle(request: &Rc<Request>) -> Step {
    let file = match static_files::open_video(request) {
        Ok((file, _)) => file,
        Err(outcome) => return Step::Now(outcome),
    };
    let start = {
        let line = request.line.borrow();
        wire::uri::args::find(&line.args, b"start").and_then(base::text::parse_number).filter(|start| *start < file.size())
    };
    let mut pieces = Vec::new();
    if start.is_some_and(|start| start > 0) {
        pieces.push(Piece::Bytes(Bytes::from_static(HEADER)));
    }
    pieces.extend(serve::piece(&file, start.unwrap_or_default(), file.size()));
    serve::describe_part(request, &file, pieces.iter().map(Piece::len).sum());
    content_type::set_by_extension(request);
    request.response.borrow_mut().allow_ranges = true;
    request.action.set("sending flv to client");
    serve::send_chain(request, Chain { pieces, flush: false, last: true })
}
