-- The client's end of a WebSocket connection (README of lua-resty-websocket).
local ngx, type, tostring, setmetatable, assert, match, concat = ngx, type, tostring, setmetatable, assert, string.match, table.concat
local char, random, endpoint = string.char, math.random, require "resty.websocket.endpoint"
local tcp, log, DEBUG, debug = ngx.socket.tcp, ngx.log, ngx.DEBUG, ngx.config.debug

local client = { _VERSION = "0.13" }
local meta = { __index = client }

endpoint.methods(client, false, function(self)
    return not self.send_unmasked
end)

function client.new(_, opts)
    local sock, err = tcp()
    if not sock then
        return nil, err
    end
    local self = endpoint.set_up({}, sock, opts)
    self.send_unmasked = opts and opts.send_unmasked
    return setmetatable(self, meta)
end

-- Whether there is TLS, the address, the port (none for a Unix socket), and the path of a URI.
local function parse(uri)
    local scheme, address, path = match(uri, "^(wss?)://(unix:[^:]+):([^\n]*)")
    local port
    if not scheme then
        scheme, address, path = match(uri, "^(wss?)://([^:/]+)([^\n]*)")
        if not scheme or match(uri, "unix:") then
            return nil
        end
        local tls = scheme == "wss"
        local number, rest = match(path, "^:(%d+)(.*)")
        port, path = number or (tls and 443 or 80), rest or path
    end
    return address, port, path == "" and "/" or path, scheme == "wss"
end

local texts = { "server_name", "host", "key" }
local complaints = {
    server_name = "SSL server_name must be a string",
    host = "custom host header must be a string",
    key = "custom Sec-WebSocket-Key must be a string",
}

local function check(opts)
    if opts.client_cert then
        assert(opts.client_priv_key, "client_priv_key must be provided with client_cert")
    end
    if opts.headers and type(opts.headers) ~= "table" then
        return "custom headers must be a table"
    end
    for i = 1, #texts do
        local value = opts[texts[i]]
        if value ~= nil and type(value) ~= "string" then
            return complaints[texts[i]]
        end
    end
end

local function handshake_tls(sock, opts, address)
    if opts.client_cert then
        local ok, err = sock:setclientcert(opts.client_cert, opts.client_priv_key)
        if not ok then
            return nil, "failed to set TLS client certificate: " .. err
        end
    end
    local ok, err = sock:sslhandshake(false, opts.server_name or opts.host or address, opts.ssl_verify)
    if not ok then
        return nil, "ssl handshake failed: " .. err
    end
    return true
end

-- Sixteen bytes that only have to differ between connections.
local function new_key()
    local bytes = {}
    for i = 1, 16 do
        bytes[i] = char(random(0, 255))
    end
    return ngx.encode_base64(concat(bytes))
end

local function head(opts, address, port, path)
    local protocols = opts.protocols
    if type(protocols) == "table" then
        protocols = concat(protocols, ",")
    end
    local lines = {
        "GET " .. path .. " HTTP/1.1",
        "Upgrade: websocket",
        "Host: " .. (opts.host or (port and address .. ":" .. port or "unix_sock")),
        "Sec-WebSocket-Key: " .. (opts.key or new_key()),
    }
    if protocols then
        lines[#lines + 1] = "Sec-WebSocket-Protocol: " .. protocols
    end
    lines[#lines + 1] = "Sec-WebSocket-Version: 13"
    if opts.origin then
        lines[#lines + 1] = "Origin: " .. opts.origin
    end
    lines[#lines + 1] = "Connection: Upgrade"
    if opts.headers then
        lines[#lines + 1] = concat(opts.headers, "\r\n")
    end
    return concat(lines, "\r\n") .. "\r\n\r\n"
end

local function handshake(sock, request)
    local bytes, err = sock:send(request)
    if not bytes then
        return nil, "failed to send the handshake request: " .. err
    end
    local answer
    answer, err = sock:receiveuntil("\r\n\r\n")()
    if not answer then
        return nil, "failed to receive response header: " .. err
    elseif not match(answer, "^%s*HTTP/1%.1%s+") then
        return nil, "bad HTTP response status line: " .. answer
    end
    return 1, nil, answer
end

function client.connect(self, uri, opts)
    local sock = self.sock
    if not sock then
        return nil, "not initialized"
    end
    local address, port, path, tls = parse(uri)
    if not address then
        return nil, "bad websocket uri"
    end
    opts = opts or {}
    local wrong = check(opts)
    if wrong then
        return nil, wrong
    end
    local pool = { pool = opts.pool, pool_size = opts.pool_size, backlog = opts.backlog }
    local ok, err
    if port then
        ok, err = sock:connect(address, port, pool)
    else
        ok, err = sock:connect(address, pool)
    end
    if not ok then
        return nil, "failed to connect: " .. err
    end
    local reused
    reused, err = sock:getreusedtimes()
    if not reused then
        return nil, "failed to get reused times: " .. tostring(err)
    elseif reused > 0 then
        return 1, nil, "connection reused"
    end
    if tls then
        ok, err = handshake_tls(sock, opts, address)
        if not ok then
            return nil, err
        end
    end
    return handshake(sock, head(opts, address, port, path))
end

local send_close = client.send_close

function client.send_close(self, code, message)
    if debug then
        log(DEBUG, "sending the close frame")
    end
    local bytes, err = send_close(self, code, message)
    if bytes or err ~= "bad status code" then
        self.closed = true
    end
    return bytes, err
end

function client.close(self)
    local sock = self.sock
    if self.fatal then
        return nil, "fatal error already happened"
    elseif not sock then
        return nil, "not initialized"
    end
    if not self.closed then
        local bytes, err = client.send_close(self)
        if not bytes then
            return nil, "failed to send close frame: " .. err
        end
    end
    return sock:close()
end

function client.set_keepalive(self, ...)
    local sock = self.sock
    if not sock then
        return nil, "not initialized"
    end
    return sock:setkeepalive(...)
end

return client
