local b = ...
local R, G, ngx = b.R, b.G, b.ngx
local ffi = require "ffi"
local type, tonumber, error, pcall, cast, istype = type, tonumber, error, pcall, ffi.cast, ffi.istype
local loaded = G.package.loaded

local proxyssl = {
    version = "0.1.33",
    SSL3_VERSION = 0x0300, TLS1_VERSION = 0x0301, TLS1_1_VERSION = 0x0302, TLS1_2_VERSION = 0x0303, TLS1_3_VERSION = 0x0304,
    get_tls1_version = R.toward_version,
}
loaded["ngx.proxyssl"] = proxyssl

local version, names = R.toward_version, { [0x0303] = "TLSv1.2", [0x0304] = "TLSv1.3" }
function proxyssl.get_tls1_version_str()
    local number, err = version()
    if not number then
        return nil, err
    end
    return names[number]
end

local set_cert, set_priv_key = R.toward_set_cert, R.toward_set_priv_key
local certificates = getmetatable(b.ngx).certificates
local own, number = certificates.own, certificates.number
local cert = {
    version = "0.1.33",
    clear_certs = R.toward_clear_certs, set_der_cert = R.toward_set_der_cert, set_der_priv_key = R.toward_set_der_priv_key,
}
loaded["ngx.ssl.proxysslcert"] = cert

function cert.set_cert(object)
    local chain = own("chain", object)
    return set_cert(number(chain))
end
function cert.set_priv_key(object)
    local key = own("key", object)
    return set_priv_key(number(key))
end

local verify = { version = "0.1.33" }
loaded["ngx.ssl.proxysslverify"] = verify

local function check()
    if ngx.get_phase() ~= "proxy_ssl_verify" then
        error("API disabled in the current context", 3)
    end
end

local set_verdict, verdict, shown = R.toward_set_verdict, R.toward_verdict, R.toward_cert
function verify.set_verify_result(code)
    check()
    return set_verdict(code)
end
function verify.get_verify_result()
    check()
    return verdict()
end

-- What callers do with it is OpenSSL's: its library makes it, once it is declared.
local function declared()
    ffi.cdef [[
        struct x509_st *lunette_d2i_X509(struct x509_st **a, const unsigned char **in, long length) __asm__("d2i_X509");
        void lunette_X509_free(struct x509_st *a) __asm__("X509_free");
    ]]
    return ffi.C.lunette_d2i_X509, ffi.C.lunette_X509_free
end
local make, free
function verify.get_verify_cert()
    check()
    local der, err = shown()
    if not der then
        return nil, err
    end
    if not make then
        local ok
        ok, make, free = pcall(declared)
        if not ok then
            make = nil
            return nil, "libcrypto is not there"
        end
    end
    local from = ffi.new("const unsigned char *[1]", { ffi.cast("const unsigned char *", der) })
    local object = make(nil, from, #der)
    if object == nil then
        return nil, "get verify result failed"
    end
    return ffi.gc(object, free)
end
