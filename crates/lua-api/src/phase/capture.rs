//! Where the response of a subrequest that `ngx.location.capture` issued is taken: behind Lua's own filters and before those that make
//! it fit for a client, as OpenResty's place among nginx's filters has it. Code that captures a compressed body or a page with SSI
//! commands gets just that.

use http::Module;

/// The place in the order of filters.
pub const MODULE: Module = Module {
    attach: |place| {
        place.capture();
        Ok(())
    },
    ..Module::named("lua_capture")
};
