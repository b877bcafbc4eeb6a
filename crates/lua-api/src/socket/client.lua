local b = ...
local R, C, ngx = b.R, b.C, b.ngx
local sockets = getmetatable(ngx).sockets
local receive = sockets.receiver(R.client_receive, C.client_quick_receive)
local body_methods, raw_methods = {}, { send = sockets.sender(R.client_send, C.client_quick_send) }
for _, t in ipairs { body_methods, raw_methods } do
    t.receive, t.receiveany, t.receiveuntil = receive, R.client_receiveany, sockets.receiveuntil(R.client_until)
    t.settimeout, t.settimeouts, t.getfd = sockets.settimeout, sockets.settimeouts, R.client_fd
end
local body_meta, raw_meta = { __index = body_methods }, { __index = raw_methods }

ngx.req = ngx.req or {}
ngx.req.socket = sockets.client(b.N.client, function(_, raw)
    return raw and raw_meta or body_meta
end)
