local b = ...
local R, C, cx, text, ngx = b.R, b.C, b.cx, b.text, b.ngx
local error, sockets = error, getmetatable(ngx).sockets

local stream = {
    receive = sockets.receiver(R.client_receive, C.client_quick_receive), receiveany = R.client_receiveany,
    receiveuntil = sockets.receiveuntil(R.client_until),
    peek = R.client_peek, send = sockets.sender(R.client_send, C.client_quick_send), shutdown = R.client_shutdown, getfd = R.client_fd,
    serversslhandshake = R.client_handshake, setoption = R.client_setoption, getoption = R.client_getoption,
    settimeout = sockets.settimeout, settimeouts = sockets.settimeouts,
}
local datagrams = { receive = R.datagram_receive, send = R.datagram_send, settimeout = sockets.settimeout }
stream.__index, datagrams.__index = stream, datagrams

-- What is given is not looked at: the socket is always the connection itself.
ngx.req.socket = sockets.client(b.N.client, function(kind)
    return kind == K.IS_UDP and datagrams or stream
end)
ngx.req.get_original_addr = R.original_address

function ngx.req.start_time()
    local time = C.start_time(cx)
    if time < 0 then
        error(text(), 2)
    end
    return time
end
b.G.package.loaded["resty.core.request"] = { version = "0.1.33" }
