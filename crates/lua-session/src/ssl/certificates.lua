local b = ...
local C, R, cx, G = b.C, b.R, b.cx, b.G
local ffi = require "ffi"
local type, tonumber, cast, istype = type, tonumber, ffi.cast, ffi.istype
local free = C.ssl_free

local ssl = {
    version = "0.1.33",
    SSL3_VERSION = 0x0300, TLS1_VERSION = 0x0301, TLS1_1_VERSION = 0x0302, TLS1_2_VERSION = 0x0303, TLS1_3_VERSION = 0x0304,
}
G.package.loaded["ngx.ssl"] = ssl

ssl.clear_certs, ssl.set_der_cert, ssl.set_der_priv_key = R.ssl_clear_certs, R.ssl_set_der_cert, R.ssl_set_der_priv_key
ssl.cert_pem_to_der, ssl.priv_key_pem_to_der = R.ssl_cert_pem_to_der, R.ssl_priv_key_pem_to_der

-- Numbers of objects that are gone; a finalizer must not call into the machine.
local dead, gone = {}, 0
local function finalize(object)
    gone = gone + 1
    dead[gone] = tonumber(cast("uintptr_t", object))
end
-- Pointers as in OpenResty, but they only are numbers by which objects are found.
local pointer = ffi.typeof("void *")

local function wrap(id, err)
    if not id then
        return nil, err
    end
    for i = gone, 1, -1 do
        free(cx, dead[i])
        dead[i] = nil
    end
    gone = 0
    return ffi.gc(cast(pointer, cast("uintptr_t", id)), finalize)
end

local function number(object)
    return type(object) == "cdata" and istype(pointer, object) and tonumber(cast("uintptr_t", object)) or nil
end

local parse_pem_cert, parse_der_cert = R.ssl_parse_pem_cert, R.ssl_parse_der_cert
function ssl.parse_pem_cert(pem)
    return wrap(parse_pem_cert(pem))
end
function ssl.parse_der_cert(der)
    return wrap(parse_der_cert(der))
end

local parse_pem_key, parse_der_key = R.ssl_parse_pem_priv_key, R.ssl_parse_der_priv_key
function ssl.parse_pem_priv_key(pem, passphrase)
    return wrap(parse_pem_key(pem, passphrase))
end
function ssl.parse_der_priv_key(der)
    return wrap(parse_der_key(der))
end

local set_cert, set_priv_key, verify_client = R.ssl_set_cert, R.ssl_set_priv_key, R.ssl_verify_client
function ssl.set_cert(object)
    return set_cert(number(object))
end
function ssl.set_priv_key(object)
    return set_priv_key(number(object))
end
function ssl.verify_client(shown, depth, trusted)
    return verify_client(number(shown), depth, number(trusted))
end
