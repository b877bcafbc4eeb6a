//! `empty_gif`: one transparent pixel (nginx manual, `ngx_http_empty_gif_module`).

use bytes::Bytes;
use conf::context::{Arity, Context};
use conf::row::Row;
use conf::scope::Config;
use conf::tree::Error;
use http::{Attach, Levels, Method, Module, Outcome, Step};

/// The pixel.
pub const MODULE: Module = Module { rows, levels: Levels::location_only::<Pixel>, attach, ..Module::named("empty_gif") };

#[derive(Default)]
struct Pixel {
    on: bool,
}

impl Config for Pixel {
    // A content handler belongs to its location.
    fn inherit(&mut self, _: &Self) {}
}

/// GIF89a, 1x1, two colours, the second one transparent.
const GIF: &[u8; 43] =
    b"GIF89a\x01\0\x01\0\x80\x01\0\0\0\0\xff\xff\xff\x21\xf9\x04\x01\0\0\x01\0\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x4c\x01\0\x3b";

/// `Mon, 28 Sep 1970 06:00:00 GMT`: constant, so that caches keep the pixel.
const LAST_MODIFIED: i64 = 23_349_600;

fn rows() -> Vec<Row> {
    vec![Row::new("empty_gif", Context::LOCATION, Arity::exactly(0), "Answers with a transparent pixel.", |cx| {
        cx.location::<Pixel>().on = true;
        Ok(())
    })]
}

fn attach(place: &mut Attach<'_>) -> Result<(), Error> {
    if place.conf::<Pixel>().on {
        place.content(|request| {
            if !request.method().intersects(Method::GET.or(Method::HEAD)) {
                return Step::Now(Outcome::Status(405));
            }
            request.response.borrow_mut().last_modified = Some(LAST_MODIFIED);
            request.respond(200, b"image/gif", Bytes::from_static(GIF))
        });
    }
    Ok(())
}
