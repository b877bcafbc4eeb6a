-- Logs in at a MySQL server, for `resty.mysql`.
local ngx, pcall, require, error, tostring, ipairs = ngx, pcall, require, error, tostring, ipairs
local byte, char, rep, sub, floor, concat = string.byte, string.char, string.rep, string.sub, math.floor, table.concat
local bit, packet, sha256 = require "bit", require "resty.mysql.packet", require "resty.sha256"
local band, bor, bxor, lshift = bit.band, bit.bor, bit.bxor, bit.lshift
local sha1, send, receive, bytes = ngx.sha1_bin, packet.send, packet.receive, packet.bytes

local auth = {}

local PROTOCOL = 10
-- LONG_PASSWORD, FOUND_ROWS, LONG_FLAG, CONNECT_WITH_DB, ODBC, LOCAL_FILES, IGNORE_SPACE, PROTOCOL_41, INTERACTIVE, IGNORE_SIGPIPE,
-- TRANSACTIONS, RESERVED, SECURE_CONNECTION, MULTI_STATEMENTS, MULTI_RESULTS, PLUGIN_AUTH
local FLAGS, TLS, PLUGIN, LONG_ANSWER = 0xbf7cf, 0x800, 0x80000, 0x200000

-- The bytes of `a`, each combined with the byte of `b` at its place, `b` beginning again when it ends.
local function xor(a, b)
    local out, size = {}, #b
    for i = 1, #a do
        out[i] = char(bxor(byte(a, i), byte(b, (i - 1) % size + 1)))
    end
    return concat(out)
end

local function digest(...)
    local sum = sha256:new()
    for _, text in ipairs { ... } do
        sum:update(text)
    end
    return sum:final()
end

-- The hash of servers before 4.1: two numbers of 31 bits.
local function old_hash(text)
    local add, a, b = 7, 1345345333, 0x12345671
    for i = 1, #text do
        local c = byte(text, i)
        if c ~= 32 and c ~= 9 then
            a = bxor(a, (band(a, 63) + add) * c + lshift(a, 8))
            b = bxor(lshift(b, 8), a) + b
            add = add + c
        end
    end
    return band(a, 0x7FFFFFFF), band(b, 0x7FFFFFFF)
end

local function old_token(password, scramble)
    local most = 0x3FFFFFFF
    local a, b = old_hash(password)
    local c, d = old_hash(sub(scramble, 1, 8))
    local first, second = bxor(a, c) % most, bxor(b, d) % most
    local function random()
        first = (first * 3 + second) % most
        second = (first + second + 33) % most
        return floor(first * 31 / most)
    end
    local out = {}
    for i = 1, 8 do
        out[i] = char(random() + 64)
    end
    return xor(concat(out), char(random())) .. "\0"
end

local function encrypt(self, data, key)
    local there, rsa = pcall(require, "resty.rsa")
    if not there then
        error("auth plugin caching_sha2_password or sha256_password are not supported because resty.rsa is not installed", 2)
    end
    local public, err = rsa:new {
        public_key = key, key_type = rsa.KEY_TYPE.PKCS8, padding = rsa.PADDING.RSA_PKCS1_OAEP_PADDING, algorithm = "sha1",
    }
    if not public then
        return nil, "new rsa err: " .. err
    end
    local out
    out, err = public:encrypt(xor(self.password .. "\0", data))
    if not out then
        return nil, "encode password packet: " .. err
    end
    return out
end

-- What each plugin answers to the server's random bytes.
local answers = {}

function answers.mysql_native_password(self, data)
    local once = sha1(self.password)
    return xor(sha1(sub(data, 1, 20) .. sha1(once)), once)
end

function answers.caching_sha2_password(self, data)
    local once = digest(self.password)
    return xor(once, digest(digest(once), data))
end

function answers.mysql_old_password(self, data)
    return old_token(self.password, data)
end

function answers.mysql_clear_password(self)
    return self.password .. "\0"
end

function answers.sha256_password(self, data)
    if self.is_unix or self.use_ssl or self.password == "" then
        return self.password .. "\0"
    elseif self.public_key then
        return encrypt(self, data, self.public_key)
    end
    return "\1"
end

function answers.client_ed25519(self, data)
    local there, ed25519 = pcall(require, "resty.mysql.auth_ed25519")
    if not there then
        return nil, "auth plugin client_ed25519 is not supported because resty.mysql.auth_ed25519 is not available: " .. tostring(ed25519)
    end
    local signature, err = ed25519.sign(self.password, sub(data, 1, 32))
    if not signature then
        return nil, "failed to compute client_ed25519 signature: " .. err
    end
    return signature
end

local empty_without_password = { mysql_native_password = true, caching_sha2_password = true, mysql_old_password = true }

local function answer(self, data, plugin)
    local compute = answers[plugin]
    if not compute then
        return nil, "unknown plugin: " .. plugin
    elseif self.password == "" and empty_without_password[plugin] then
        return ""
    end
    return compute(self, data)
end

-- The server's greeting: its random bytes and its plugin, or nil, nil and an error with number and state.
local function read_greeting(self)
    local data, kind, err = receive(self)
    if not data then
        return nil, nil, err
    elseif kind == "ERR" then
        return nil, nil, packet.error(data)
    end
    local version = byte(data)
    if version < PROTOCOL then
        return nil, nil, "unsupported protocol version " .. version .. ", version " .. PROTOCOL .. " or higher is required"
    end
    local name, at = packet.text(data, 2)
    if not name then
        return nil, nil, "bad handshake initialization packet: bad server version"
    end
    self.protocol_ver, self._server_ver = version, name
    -- The connection's number, 8 random bytes, a zero; capabilities, character set, status, capabilities; 11 bytes; 12 random bytes, a zero.
    local scramble = sub(data, at + 4, at + 11) .. sub(data, at + 31, at + 42)
    self._server_lang, self._server_status = byte(data, at + 15), packet.integer(data, at + 16, 2)
    self.capabilities = packet.integer(data, at + 13, 2) + packet.integer(data, at + 18, 2) * 65536
    local plugin = "mysql_native_password"
    if band(self.capabilities, PLUGIN) ~= 0 then
        plugin = packet.text(data, at + 44) or sub(data, at + 44)
    end
    return scramble, plugin
end

local function start_tls(self, head)
    if band(self.capabilities, TLS) == 0 then
        return nil, "ssl disabled on server"
    end
    local ok, err = send(self, bytes(bor(FLAGS, TLS), 4) .. head)
    if not ok then
        return nil, "failed to send client authentication packet: " .. err
    end
    ok, err = self.sock:sslhandshake(false, nil, self.ssl_verify)
    if not ok then
        return nil, "failed to do ssl handshake: " .. (err or "")
    end
    return true
end

local function send_login(self, response, plugin)
    local flags, size = FLAGS, #response
    local before = char(size % 256)
    if size > 250 then
        flags, before = bor(FLAGS, LONG_ANSWER), "\252" .. bytes(size, 2)
    end
    local head = bytes(self._max_packet_size, 4) .. char(self.charset) .. rep("\0", 23)
    if self.use_ssl then
        local ok, err = start_tls(self, head)
        if not ok then
            return nil, err
        end
    end
    local ok, err = send(self, bytes(flags, 4) .. head .. self.user .. "\0" .. before .. response .. self.database .. "\0" .. plugin .. "\0")
    if not ok then
        return nil, "failed to send client authentication packet: " .. err
    end
    return true
end

-- `true` when it is done; else more data, and the plugin if the server wants another one; or nil and an error.
local function read_answer(self)
    local data, kind, err = receive(self)
    if not data then
        return nil, "failed to receive the result packet: " .. err
    elseif kind == "OK" then
        return true
    elseif kind == "AUTHMOREDATA" then
        return sub(data, 2)
    elseif kind == "ERR" then
        return nil, packet.error(data)
    elseif kind ~= "EOF" then
        return nil, "bad packet type: " .. kind
    elseif #data == 1 then
        return "", "mysql_old_password"
    end
    local plugin, at = packet.text(data, 2)
    if not plugin then
        return nil, "malformed packet"
    end
    return sub(data, at), plugin
end

local function read_ok(self)
    local data, kind, err = receive(self)
    if not data then
        return nil, "failed to receive the result packet: " .. err
    elseif kind == "ERR" then
        return nil, packet.error(data)
    elseif kind ~= "OK" then
        return nil, "bad packet type: " .. kind
    end
    return true
end

local function send_encrypted(self, data, key)
    local out, err = encrypt(self, data, key)
    if not out then
        return nil, err
    end
    local ok
    ok, err = send(self, out)
    if not ok then
        return nil, "failed to send encode password packet: " .. err
    end
    return read_ok(self)
end

-- The server does not know the password's sum: it gets the password, in the open only where nobody listens.
local function full_sha2(self, data)
    local ok, err
    if self.is_unix or self.use_ssl then
        ok, err = send(self, self.password .. "\0")
        if not ok then
            return nil, "failed to send cleartext auth packet: " .. err
        end
        return read_ok(self)
    end
    if not self.public_key then
        ok, err = send(self, "\2")
        if not ok then
            return nil, "failed to send password request packet: " .. err
        end
        local key, _
        key, _, err = receive(self)
        if not key then
            return nil, "failed to receive the result packet: " .. err
        end
        self.public_key = sub(key, 2)
    end
    return send_encrypted(self, data, self.public_key)
end

local function go_on(self, more, data, plugin)
    if plugin == "caching_sha2_password" and more ~= "" then
        if more == "\3" then
            return read_ok(self)
        elseif more == "\4" then
            return full_sha2(self, data)
        end
        return nil, "malformed packet"
    elseif plugin == "sha256_password" and more ~= "" then
        return send_encrypted(self, data, more)
    end
    return true
end

-- The server may ask once for another plugin.
local function switch(self, more, data, plugin)
    if more ~= "" then
        data = more
    end
    local response, err = answer(self, data, plugin)
    if not response then
        return nil, err
    end
    local ok
    ok, err = send(self, response)
    if not ok then
        return nil, "failed to send client authentication packet: " .. err
    end
    local errno, sqlstate
    more, err, errno, sqlstate = read_answer(self)
    if not more then
        return nil, err, errno, sqlstate
    elseif more == true then
        return true
    elseif err then
        return nil, "malformed packet"
    end
    return go_on(self, more, data, plugin)
end

function auth.log_in(self)
    local data, plugin, err, errno, sqlstate = read_greeting(self)
    if not data then
        return nil, err, errno, sqlstate
    end
    local response
    response, err = answer(self, data, plugin)
    if not response then
        return nil, err
    end
    local ok
    ok, err = send_login(self, response, plugin)
    if not ok then
        return nil, err
    end
    local more, other
    more, other, errno, sqlstate = read_answer(self)
    if not more then
        return nil, other, errno, sqlstate
    elseif more == true then
        return true
    elseif other then
        return switch(self, more, data, other)
    end
    return go_on(self, more, data, plugin)
end

return auth
