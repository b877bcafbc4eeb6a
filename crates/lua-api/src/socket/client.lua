local b = ...
local R, C, ngx = b.R, b.C, b.ngx
local ipairs, setmetatable, sockets = ipairs, setmetatable, getmetatable(ngx).sockets
local take, raised, RAISE = b.N.client, b.raised, b.RAISE
local receive = sockets.receiver(R.client_receive, C.client_quick_receive)
local body_methods, raw_methods = {}, { send = sockets.sender(R.client_send, C.client_quick_send) }
for _, t in ipairs { body_methods, raw_methods } do
    t.receive, t.receiveany, t.receiveuntil = receive, R.client_receiveany, sockets.receiveuntil(R.client_until)
    t.settimeout, t.settimeouts, t.getfd = sockets.settimeout, sockets.settimeouts, R.client_fd
end
local body_meta, raw_meta = { __index = body_methods }, { __index = raw_methods }

ngx.req = ngx.req or {}
function ngx.req.socket(...)
    local id, message, level = take(...)
    if id == RAISE then
        return raised(message, level)
    end
    if not id then
        return nil, message
    end
    return setmetatable({ id }, (...) and raw_meta or body_meta)
end
