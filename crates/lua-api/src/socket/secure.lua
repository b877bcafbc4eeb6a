-- TLS on sockets; behind socket.lua in one chunk.
local ffi = require "ffi"
local handshake_row, session_row, session_free = R.sslhandshake, R.sslsession, C.session_free

-- Objects are pointers to scripts, as OpenResty's are; what they hold are numbers.
local void, word = ffi.typeof "void *", ffi.typeof "uintptr_t"
local function number_of(object)
    return tonumber(ffi.cast(word, object))
end

-- Numbers of sessions that could not be let go when their objects went.
local left, count = {}, 0
local function release(session)
    local id = number_of(session)
    if session_free(cx, id) == 0 then
        count = count + 1
        left[count] = id
    end
end

local function session_of(id)
    local list = left
    left, count = {}, 0
    for i = 1, #list do
        session_free(cx, list[i])
    end
    return ffi.gc(ffi.cast(void, ffi.cast(word, id)), release)
end

function methods.sslhandshake(...)
    local n = select("#", ...)
    local self, reused, name, verify = ...
    if not self or n > 5 then
        error("ngx.socket sslhandshake: expecting 1 ~ 5 arguments (including the object), but seen " .. (self and n or 0), 2)
    end
    local session = reused
    if reused ~= false then
        session = ffi.istype(void, reused) and number_of(reused) or nil
    end
    local id, err = handshake_row(self, session, name, verify, self[7], self[8])
    if not id then
        return nil, err
    end
    if reused == false then
        return true
    end
    return id == true and reused or session_of(id)
end

function methods.getsslsession(self)
    local id, err = session_row(self)
    if not id then
        return nil, err
    end
    return session_of(id)
end

function methods.setclientcert(self, cert, key)
    if not cert and not key then
        self[7], self[8] = nil, nil
        return true
    end
    if not cert or not key then
        return nil, "client certificate must be supplied with corresponding private key"
    end
    if type(cert) ~= "cdata" then
        return nil, "bad cert arg: cdata expected, got " .. type(cert)
    end
    if type(key) ~= "cdata" then
        return nil, "bad pkey arg: cdata expected, got " .. type(key)
    end
    self[7], self[8] = ffi.istype(void, cert) and number_of(cert) or 0, ffi.istype(void, key) and number_of(key) or 0
    -- They live as long as the socket may show them.
    self[9], self[10] = cert, key
    return true
end
