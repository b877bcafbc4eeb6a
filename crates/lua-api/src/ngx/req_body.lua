local b = ...
local C, R, cx, stop, req = b.C, b.R, b.cx, b.stop, b.ngx.req
local read = R.read_body

function req.read_body(...)
    local status = read(...)
    if status then
        -- The body cannot be had: the request ends with this status.
        C.finish_read(cx, status)
        stop()
    end
end

for _, name in ipairs { "discard_body", "get_body_data", "get_body_file", "set_body_data", "set_body_file", "init_body",
    "append_body", "finish_body" } do
    req[name] = R[name]
end
