-- The server's end of a WebSocket connection (README of lua-resty-websocket).
local ngx, type, tostring, setmetatable, lower, find = ngx, type, tostring, setmetatable, string.lower, string.find
local endpoint = require "resty.websocket.endpoint"

local server = { _VERSION = "0.13" }
local meta = { __index = server }

endpoint.methods(server, true, function(self)
    return self.send_masked
end)

function server.send_continue(self, data)
    return server.send_frame(self, true, 0x0, data)
end

local function first(value)
    if type(value) == "table" then
        return value[1]
    end
    return value
end

-- Whether a request asks for WebSocket: its key, or an error.
local function key_of(headers)
    local upgrade, connection = first(headers.upgrade), first(headers.connection)
    if not upgrade or lower(upgrade) ~= "websocket" then
        return nil, 'bad "upgrade" request header: ' .. tostring(upgrade)
    elseif not connection or not find(lower(connection), "upgrade", 1, true) then
        return nil, 'bad "connection" request header'
    end
    local key = first(headers["sec-websocket-key"])
    if not key then
        return nil, 'bad "sec-websocket-key" request header'
    elseif first(headers["sec-websocket-version"]) ~= "13" then
        return nil, 'bad "sec-websocket-version" request header'
    end
    return key
end

local function send_head(key, protocols)
    local header = ngx.header
    if protocols then
        header["Sec-WebSocket-Protocol"] = protocols
    end
    header["Upgrade"] = "websocket"
    header["Sec-WebSocket-Accept"] = ngx.encode_base64(ngx.sha1_bin(key .. "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
    header["Content-Type"] = nil
    ngx.status = 101
    local ok, err = ngx.send_headers()
    if not ok then
        return nil, "failed to send response header: " .. (err or "unknown")
    end
    ok, err = ngx.flush(true)
    if not ok then
        return nil, "failed to flush response header: " .. (err or "unknown")
    end
    return true
end

function server.new(_, opts)
    if ngx.headers_sent then
        return nil, "response header already sent"
    end
    ngx.req.read_body()
    if ngx.req.http_version() < 1.1 then
        return nil, "bad http version"
    end
    local headers = ngx.req.get_headers()
    local key, err = key_of(headers)
    if not key then
        return nil, err
    end
    local ok
    ok, err = send_head(key, first(headers["sec-websocket-protocol"]))
    if not ok then
        return nil, err
    end
    local sock
    sock, err = ngx.req.socket(true)
    if not sock then
        return nil, err
    end
    local self = endpoint.set_up({}, sock, opts)
    self.send_masked = opts and opts.send_masked
    return setmetatable(self, meta)
end

return server
