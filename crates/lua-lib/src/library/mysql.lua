-- The client of MySQL and MariaDB (README of lua-resty-mysql).
local ngx, setmetatable, band = ngx, setmetatable, require "bit".band
local auth, packet = require "resty.mysql.auth", require "resty.mysql.packet"
local tcp, send, receive = ngx.socket.tcp, packet.send, packet.receive

local mysql = { _VERSION = "0.29" }
local meta = { __index = mysql }

-- What set_keepalive and send_query ask for; messages show the numbers.
local CONNECTED, SENT = 1, 2
local COM_QUIT, COM_QUERY = "\1", "\3"
local MORE_RESULTS = 8

-- Each character set's own collation (information_schema.collations).
local charsets = {
    _default = 0, big5 = 1, dec8 = 3, cp850 = 4, hp8 = 6, koi8r = 7, latin1 = 8, latin2 = 9, swe7 = 10, ascii = 11, ujis = 12, sjis = 13,
    hebrew = 16, tis620 = 18, euckr = 19, koi8u = 22, gb2312 = 24, greek = 25, cp1250 = 26, gbk = 28, latin5 = 30, armscii8 = 32,
    utf8 = 33, ucs2 = 35, cp866 = 36, keybcs2 = 37, macce = 38, macroman = 39, cp852 = 40, latin7 = 41, utf8mb4 = 45, cp1251 = 51,
    utf16 = 54, utf16le = 56, cp1256 = 57, cp1257 = 59, utf32 = 60, binary = 63, geostd8 = 92, cp932 = 95, eucjpms = 97, gb18030 = 248,
}

function mysql.new()
    local sock, err = tcp()
    if not sock then
        return nil, err
    end
    return setmetatable({ sock = sock }, meta)
end

function mysql.set_timeout(self, timeout)
    local sock = self.sock
    if not sock then
        return nil, "not initialized"
    end
    return sock:settimeout(timeout)
end

local function open(self, opts)
    local host, path = opts.host, opts.path
    local whose = self.user .. ":" .. self.database .. ":"
    local pool = { pool = opts.pool, pool_size = opts.pool_size, backlog = opts.backlog }
    if host then
        local port = opts.port or 3306
        pool.pool = pool.pool or whose .. host .. ":" .. port
        return self.sock:connect(host, port, pool)
    end
    pool.pool = pool.pool or whose .. path
    self.is_unix = true
    return self.sock:connect("unix:" .. path, pool)
end

function mysql.connect(self, opts)
    local sock = self.sock
    if not sock then
        return nil, "not initialized"
    end
    self._max_packet_size, self.compact = opts.max_packet_size or 1024 * 1024, opts.compact_arrays
    self.database, self.user, self.password = opts.database or "", opts.user or "", opts.password or ""
    self.ssl_verify, self.use_ssl = opts.ssl_verify, opts.ssl or opts.ssl_verify
    self.charset = charsets[opts.charset or "_default"]
    if not self.charset then
        return nil, "charset '" .. opts.charset .. "' is not supported"
    elseif not opts.host and not opts.path then
        return nil, 'neither "host" nor "path" options are specified'
    end
    local ok, err, errno, sqlstate = open(self, opts)
    if not ok then
        return nil, "failed to connect: " .. err
    end
    if (sock:getreusedtimes() or 0) == 0 then
        ok, err, errno, sqlstate = auth.log_in(self)
        if not ok then
            return nil, err, errno, sqlstate
        end
    end
    self.state = CONNECTED
    return 1
end

function mysql.set_keepalive(self, ...)
    local sock, state = self.sock, self.state
    if not sock then
        return nil, "not initialized"
    elseif state ~= CONNECTED then
        return nil, "cannot be reused in the current connection state: " .. (state or "nil")
    end
    self.state = nil
    return sock:setkeepalive(...)
end

function mysql.get_reused_times(self)
    local sock = self.sock
    if not sock then
        return nil, "not initialized"
    end
    return sock:getreusedtimes()
end

function mysql.close(self)
    local sock = self.sock
    if not sock then
        return nil, "not initialized"
    end
    self.state = nil
    local bytes, err = send(self, COM_QUIT)
    if not bytes then
        return nil, err
    end
    return sock:close()
end

function mysql.server_ver(self)
    return self._server_ver
end

function mysql.set_compact_arrays(self, value)
    self.compact = value
end

function mysql.send_query(self, query)
    local state = self.state
    if state ~= CONNECTED then
        return nil, "cannot send query in the current context: " .. (state or "nil")
    elseif not self.sock then
        return nil, "not initialized"
    end
    self.packet_no = -1
    local bytes, err = send(self, COM_QUERY .. query)
    if not bytes then
        return nil, err
    end
    self.state = SENT
    return bytes
end

local function read_columns(self, count)
    local columns = {}
    for i = 1, count do
        local data, kind, err = receive(self)
        if not data then
            return nil, err
        elseif kind == "ERR" then
            return nil, packet.error(data)
        elseif kind ~= "DATA" then
            return nil, "bad field packet type: " .. kind
        end
        columns[i] = packet.column(data)
    end
    local data, kind, err = receive(self)
    if not data then
        return nil, err
    elseif kind ~= "EOF" then
        return nil, "unexpected packet type " .. kind .. " while eof packet is expected"
    end
    return columns
end

-- The answer if more follow it, or the connection is ready again.
local function result(self, value, status)
    if band(status, MORE_RESULTS) ~= 0 then
        return value, "again"
    end
    self.state = CONNECTED
    return value
end

local function read_rows(self, columns, expected)
    local rows, count, compact = packet.new_tab(expected or 4, 0), 0, self.compact
    while true do
        local data, kind, err = receive(self)
        if not data then
            return nil, err
        elseif kind == "EOF" then
            return result(self, rows, packet.eof_status(data))
        elseif kind == "ERR" then
            self.state = CONNECTED
            return nil, packet.error(data)
        end
        count = count + 1
        rows[count] = packet.row(data, columns, compact)
    end
end

function mysql.read_result(self, expected)
    local state = self.state
    if state ~= SENT then
        return nil, "cannot read result in the current context: " .. (state or "nil")
    elseif not self.sock then
        return nil, "not initialized"
    end
    local data, kind, err = receive(self)
    if not data then
        return nil, err
    elseif kind == "ERR" then
        self.state = CONNECTED
        return nil, packet.error(data)
    elseif kind == "OK" then
        local done = packet.ok(data)
        return result(self, done, done.server_status)
    elseif kind == "LOCALINFILE" then
        self.state = CONNECTED
        return nil, "packet type " .. kind .. " not supported"
    end
    local columns, errno, sqlstate
    columns, err, errno, sqlstate = read_columns(self, (packet.length(data, 1)))
    if not columns then
        return nil, err, errno, sqlstate
    end
    return read_rows(self, columns, expected)
end

function mysql.query(self, query, expected)
    local bytes, err = mysql.send_query(self, query)
    if not bytes then
        return nil, "failed to send query: " .. err
    end
    return mysql.read_result(self, expected)
end

return mysql
