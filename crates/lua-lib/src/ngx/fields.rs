//! Fields of `ngx` that are computed: `ngx.status`, `ngx.ctx`. Other groups add getters and setters to the tables
//! `getters` and `setters` in the metatable of `ngx`.

use lua::Group;

/// The metatable of `ngx`.
pub fn group() -> Group {
    Group { name: "ngx fields", rows: Vec::new(), glue: include_str!("fields.lua") }
}
