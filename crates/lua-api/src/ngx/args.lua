local b = ...
local R, ngx = b.R, b.ngx
local clear = require "table.clear"
local uri_args = R.get_uri_args
local req = ngx.req

function req.get_uri_args(max, t)
    if t then
        clear(t)
    end
    local args, truncated = uri_args(max, t)
    if truncated then
        return args, truncated
    end
    return args
end

req.set_uri_args, req.get_post_args = R.set_uri_args, R.get_post_args
ngx.encode_args, ngx.decode_args = R.encode_args, R.decode_args
