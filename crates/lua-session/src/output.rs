//! The Lua side of `ngx.say`, `ngx.print`, `ngx.flush` and `ngx.eof`, whose rows are each protocol's own.

/// The glue. It calls the fast rows `say_text`, `print_text`, `begin`, `add`, `add_number` and `done`, which answer `DONE`, `REFUSED`,
/// `SLOW` or a negative number, and the rows `emit`, `say`, `print`, `flush` and `eof`.
pub const GLUE: &str = include_str!("output.lua");
