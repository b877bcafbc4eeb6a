local b = ...
local C, R, cx, G = b.C, b.R, b.cx, b.G
local ffi = require "ffi"
local type = type
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
    dead[gone] = object.id
end
local chain, key = ffi.typeof("struct { double id; }"), ffi.typeof("struct { double id; }")

local function wrap(kind, id, err)
    if not id then
        return nil, err
    end
    for i = gone, 1, -1 do
        free(cx, dead[i])
        dead[i] = nil
    end
    gone = 0
    local object = kind()
    object.id = id
    return ffi.gc(object, finalize)
end

local function number(kind, object)
    return type(object) == "cdata" and ffi.istype(kind, object) and object.id or nil
end

local parse_pem_cert, parse_der_cert = R.ssl_parse_pem_cert, R.ssl_parse_der_cert
function ssl.parse_pem_cert(pem)
    return wrap(chain, parse_pem_cert(pem))
end
function ssl.parse_der_cert(der)
    return wrap(chain, parse_der_cert(der))
end

local parse_pem_key, parse_der_key = R.ssl_parse_pem_priv_key, R.ssl_parse_der_priv_key
function ssl.parse_pem_priv_key(pem, passphrase)
    return wrap(key, parse_pem_key(pem, passphrase))
end
function ssl.parse_der_priv_key(der)
    return wrap(key, parse_der_key(der))
end

local set_cert, set_priv_key, verify_client = R.ssl_set_cert, R.ssl_set_priv_key, R.ssl_verify_client
function ssl.set_cert(object)
    return set_cert(number(chain, object))
end
function ssl.set_priv_key(object)
    return set_priv_key(number(key, object))
end
function ssl.verify_client(shown, depth, trusted)
    return verify_client(number(chain, shown), depth, number(chain, trusted))
end
