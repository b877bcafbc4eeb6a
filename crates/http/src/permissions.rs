//! Permissions of created files: `dav_access`, `*_store_access`.

use conf::row::Cx;
use conf::tree::Error;

/// `user:rw group:rw all:r` as permission bits; the owner always reads and writes.
///
/// # Errors
/// A word that is none of these.
pub fn read(cx: &Cx<'_>) -> Result<u32, Error> {
    let mut access = 0o600;
    for i in 0..cx.args().len() {
        let invalid = || cx.error_at(i, format!("invalid value \"{}\"", cx.text(i)));
        let text = cx.text(i);
        let (who, what) = text.split_once(':').ok_or_else(invalid)?;
        let shift = match who {
            "user" => 6,
            "group" => 3,
            "all" => 0,
            _ => return Err(invalid()),
        };
        let bits = match what {
            "rw" => 6,
            "r" => 4,
            _ => return Err(invalid()),
        };
        if who == "user" {
            access &= !0o700;
        }
        access |= bits << shift;
    }
    Ok(access)
}
