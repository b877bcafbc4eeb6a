-- Asks name servers (README of lua-resty-dns).
local ngx, type, setmetatable, char, sub, gsub, floor = ngx, type, setmetatable, string.char, string.sub, string.gsub, math.floor
local concat, random = table.concat, math.random
local tcp, udp, log, DEBUG = ngx.socket.tcp, ngx.socket.udp, ngx.log, ngx.DEBUG
local answer, address = require "resty.dns.answer", require "resty.dns.address"

local resolver = {
    _VERSION = "0.23",
    TYPE_A = 1, TYPE_NS = 2, TYPE_CNAME = 5, TYPE_SOA = 6, TYPE_PTR = 12, TYPE_MX = 15, TYPE_TXT = 16, TYPE_AAAA = 28, TYPE_SRV = 33,
    TYPE_SPF = 99, CLASS_IN = 1, SECTION_AN = 1, SECTION_NS = 2, SECTION_AR = 3,
    compress_ipv6_addr = address.compress, expand_ipv6_addr = address.expand, arpa_str = address.arpa,
}
local meta = { __index = resolver }

-- A socket for one server; the list of servers gets pairs of host and port.
local function open(servers, i, timeout)
    local sock, err = udp()
    if not sock then
        return nil, "failed to create udp socket: " .. err
    end
    local server = servers[i]
    if type(server) ~= "table" then
        server = { server, 53 }
        servers[i] = server
    end
    local ok
    ok, err = sock:setpeername(server[1], server[2] or 53)
    if not ok then
        return nil, "failed to set peer name: " .. err
    end
    sock:settimeout(timeout)
    return sock
end

function resolver.new(_, opts)
    if not opts then
        return nil, "no options table specified"
    end
    local servers = opts.nameservers
    if not servers or #servers == 0 then
        return nil, "no nameservers specified"
    end
    local timeout, socks = opts.timeout or 2000, {}
    for i = 1, #servers do
        local sock, err = open(servers, i, timeout)
        if not sock then
            return nil, err
        end
        socks[i] = sock
    end
    local stream, err = tcp()
    if not stream then
        return nil, "failed to create tcp socket: " .. err
    end
    stream:settimeout(timeout)
    return setmetatable({
        cur = opts.no_random and 1 or random(1, #servers), socks = socks, tcp_sock = stream, servers = servers,
        retrans = opts.retrans or 5, no_recurse = opts.no_recurse,
    }, meta)
end

function resolver.destroy(self)
    for _, sock in ipairs(self.socks or {}) do
        sock:close()
    end
    if self.tcp_sock then
        self.tcp_sock:close()
    end
    self.socks, self.tcp_sock, self.cur, self.servers, self.retrans, self.no_recurse = nil, nil, nil, nil, nil, nil
end

function resolver.set_timeout(self, timeout)
    local socks, stream = self.socks, self.tcp_sock
    if not socks then
        return nil, "not initialized"
    end
    for i = 1, #socks do
        socks[i]:settimeout(timeout)
    end
    if not stream then
        return nil, "not initialized"
    end
    stream:settimeout(timeout)
end

-- The next server's turn: its socket.
local function turn(self)
    local i = self.cur
    self.cur = i == #self.socks and 1 or i + 1
    return self.socks[i]
end

-- An error with the server whose turn it was.
local function failed(self, what, err)
    local i = self.cur - 1
    local server = self.servers[i == 0 and #self.servers or i]
    return nil, "failed to " .. what .. " " .. concat(server, ":") .. ": " .. err
end

local function two(number)
    return char(floor(number / 256), number % 256)
end

local function build(self, name, opts)
    if sub(name, 1, 1) == "." then
        return nil, "bad name"
    end
    local id = self._id or random(0, 65535)
    local labels = gsub(name, "([^.]+)%.?", function(label)
        return char(#label) .. label
    end)
    local query = two(id) .. (self.no_recurse and "\0\0" or "\1\0") .. "\0\1\0\0\0\0\0\0" .. labels .. "\0"
        .. two(opts and opts.qtype or resolver.TYPE_A) .. "\0\1"
    return query, id
end

local function ask_stream(self, query, id, opts)
    local sock = self.tcp_sock
    if not sock then
        return nil, "not initialized"
    end
    log(DEBUG, "query the TCP server due to reply truncation")
    local i = self.cur - 1
    local server = self.servers[i == 0 and #self.servers or i]
    local ok, err = sock:connect(server[1], server[2] or 53)
    if not ok then
        return failed(self, "connect to TCP server", err)
    end
    ok, err = sock:send { two(#query), query }
    if not ok then
        return failed(self, "send query to TCP server", err)
    end
    local data
    data, err = sock:receive(2)
    if not data then
        return failed(self, "receive the reply length field from TCP server", err)
    end
    local high, low = data:byte(1, 2)
    data, err = sock:receive(high * 256 + low)
    if not data then
        return failed(self, "receive the reply message body from TCP server", err)
    end
    local answers
    answers, err = answer.parse(data, id, opts)
    if not answers then
        return failed(self, "parse the reply from the TCP server", err)
    end
    sock:close()
    return answers
end

function resolver.tcp_query(self, name, opts)
    if not self.socks then
        return nil, "not initialized"
    end
    turn(self)
    local query, id = build(self, name, opts)
    if not query then
        return nil, id
    end
    return ask_stream(self, query, id, opts)
end

-- How many answers to other questions one try bears.
local STRAY = 128

local function ask_once(self, query, id, opts)
    local sock = turn(self)
    local ok, err = sock:send(query)
    if not ok then
        return failed(self, "send request to UDP server", err)
    end
    for _ = 1, STRAY do
        local data
        data, err = sock:receive(4096)
        if err then
            return failed(self, "receive reply from UDP server", err)
        end
        local answers
        answers, err = answer.parse(data, id, opts)
        if err == "truncated" then
            answers, err = ask_stream(self, query, id, opts)
        end
        if answers or err ~= "id mismatch" then
            return answers, err
        end
    end
    return nil, err
end

function resolver.query(self, name, opts, tries)
    if not self.socks then
        return nil, "not initialized"
    end
    local query, id = build(self, name, opts)
    if not query then
        return nil, id
    end
    if tries then
        tries[1] = nil
    end
    local err
    for i = 1, self.retrans do
        local answers
        answers, err = ask_once(self, query, id, opts)
        if answers then
            return answers, nil, tries
        end
        if tries then
            tries[i], tries[i + 1] = err, nil
        end
    end
    return nil, err, tries
end

function resolver.reverse_query(self, addr)
    return self.query(self, self.arpa_str(addr), { qtype = self.TYPE_PTR })
end

return resolver
