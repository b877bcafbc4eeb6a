//! Directories for protocols that are not spoken yet. Packaged configurations name all five, so that nothing is written
//! below the prefix; they are checked and made like the others.

use super::slots::given_once;
use conf::context::{Arity, Context};
use conf::row::Row;

const NAMES: [&str; 3] = ["fastcgi_temp_path", "uwsgi_temp_path", "scgi_temp_path"];

pub(super) fn rows() -> Vec<Row> {
    let row = |name: &'static str| {
        Row::new(name, Context::HTTP_ALL, Arity::Between(1, 4), "Directory of files for answers; made, nothing uses it.", |cx| {
            http::temp_path::read(cx)?;
            given_once(cx)
        })
    };
    NAMES.into_iter().map(row).collect()
}
