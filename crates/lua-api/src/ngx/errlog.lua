local b = ...
local C, cx, text = b.C, b.cx, b.text
local type, error = type, error
local missing = 'directive "lua_capture_error_log" is not set'

b.G.package.loaded["ngx.errlog"] = {
    version = "0.1.33",
    set_filter_level = function(level)
        if not level then
            return nil, 'missing "level" argument'
        end
        return nil, missing
    end,
    get_logs = function()
        return nil, missing
    end,
    get_sys_filter_level = function()
        return C.log_level(cx)
    end,
    raw_log = function(level, message)
        if type(level) ~= "number" then
            error("bad argument #1 to 'raw_log' (must be a number)", 2)
        end
        if type(message) ~= "string" then
            error("bad argument #2 to 'raw_log' (must be a string)", 2)
        end
        if C.raw_log(cx, level, message, #message) < 0 then
            error(text(), 2)
        end
    end,
}
