-- TLS on sockets; behind socket.lua in one chunk.
local ffi = require "ffi"
local handshake_row, session_row, session_free = R.sslhandshake, R.sslsession, C.session_free

-- Objects are pointers to scripts, as OpenResty's are; what they hold are numbers.
local void, word = ffi.typeof "void *", ffi.typeof "uintptr_t"
local function number_of(object)
    return tonumber(ffi.cast(word, object))
end

-- Numbers of sessions that could not be let go when their objects went.
local note_session, noted_sessions = b.finalized()
local function release(session)
    local id = number_of(session)
    if not session_free(cx, id) then
        note_session(id)
    end
end

-- In stream they are userdata: what their numbers are is kept here.
local is_stream, numbers = ngx.config.subsystem == "stream", setmetatable({}, { __mode = "k" })
local function proxy_of(id)
    local proxy = newproxy(true)
    getmetatable(proxy).__gc = function()
        if not session_free(cx, id) then
            note_session(id)
        end
    end
    numbers[proxy] = id
    return proxy
end

local function session_of(id)
    local left = noted_sessions()
    for i = 1, left and #left or 0 do
        session_free(cx, left[i])
    end
    if is_stream then
        return proxy_of(id)
    end
    return ffi.gc(ffi.cast(void, ffi.cast(word, id)), release)
end

local function session_number(session)
    return numbers[session] or ffi.istype(void, session) and number_of(session) or nil
end

function methods.sslhandshake(...)
    local n = select("#", ...)
    local self, reused, name, verify = ...
    if not self or n > 5 then
        error("ngx.socket sslhandshake: expecting 1 ~ 5 arguments (including the object), but seen " .. (self and n or 0), 2)
    end
    local session = reused
    if reused ~= false then
        session = reused ~= nil and session_number(reused) or nil
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

-- A store is OpenSSL's: its library is asked what is in it.
local library
local function declared()
    ffi.cdef [[
        void *lunette_store_certs(void *store) __asm__("X509_STORE_get1_all_certs");
        void *lunette_store_param(void *store) __asm__("X509_STORE_get0_param");
        unsigned long lunette_param_flags(void *param) __asm__("X509_VERIFY_PARAM_get_flags");
    ]]
    library = ffi.C
    return library.lunette_store_certs
end

-- The certificates of a store, one behind the other in DER.
local function certificates_of(store)
    if not certificates.is_loaded() or not library and not pcall(declared) then
        library = nil
        return nil, "libcrypto 3 is not there"
    end
    -- X509_V_FLAG_CRL_CHECK and X509_V_FLAG_CRL_CHECK_ALL
    if tonumber(library.lunette_param_flags(library.lunette_store_param(store))) % 16 >= 4 then
        return nil, "trusted stores that check CRLs are not supported"
    end
    local stack = library.lunette_store_certs(store)
    if stack == nil then
        return ""
    end
    local der = certificates.read(stack)
    certificates.release(stack)
    return der
end

local set_store = R.settrustedstore
function methods.settrustedstore(self, store)
    if store ~= nil and type(store) ~= "cdata" then
        return nil, "bad store arg: cdata expected, got " .. type(store)
    end
    local der, err
    if store ~= nil then
        der, err = certificates_of(ffi.cast(void, store))
        if not der then
            return nil, err
        end
    end
    return set_store(self, der)
end

-- The same by its name in C; the words of its errors have to stay.
local words = {}
rawset(ffi.C, "ngx_" .. ngx.config.subsystem .. "_lua_ffi_socket_tcp_settrustedstore", function(_, id, store, err)
    local ok, text = methods.settrustedstore({ id }, store)
    if ok then
        return 0
    end
    words[text] = words[text] or ffi.new("char [?]", #text + 1, text)
    err[0] = words[text]
    return -1
end)

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
    -- They live as long as the socket may show them.
    self[9], self[10] = certificates.own("chain", cert), certificates.own("key", key)
    self[7], self[8] = certificates.number(self[9]) or 0, certificates.number(self[10]) or 0
    return true
end
