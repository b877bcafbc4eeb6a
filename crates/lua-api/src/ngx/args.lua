local b = ...
local R, RAISE, raised = b.R, b.RAISE, b.raised
local clear = require "table.clear"
local uri_args = b.N.get_uri_args
local req = b.ngx.req

function req.get_uri_args(max, t)
    if t then
        clear(t)
    end
    local args, truncated, level = uri_args(max, t)
    if args == RAISE then
        return raised(truncated, level)
    end
    if truncated then
        return args, truncated
    end
    return args
end

req.set_uri_args, req.get_post_args = R.set_uri_args, R.get_post_args
