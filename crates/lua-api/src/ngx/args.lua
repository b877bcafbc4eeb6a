local b = ...
local R, ngx, RAISE, raised = b.R, b.ngx, b.RAISE, b.raised
local clear = require "table.clear"
local uri_args = b.N.get_uri_args
local req = ngx.req

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
ngx.encode_args, ngx.decode_args = R.encode_args, R.decode_args
