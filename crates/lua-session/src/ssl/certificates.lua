local b = ...
local R, G = b.R, b.G
local getmetatable = getmetatable

local ssl = {
    version = "0.1.33",
    SSL3_VERSION = 0x0300, TLS1_VERSION = 0x0301, TLS1_1_VERSION = 0x0302, TLS1_2_VERSION = 0x0303, TLS1_3_VERSION = 0x0304,
}
G.package.loaded["ngx.ssl"] = ssl

ssl.clear_certs, ssl.set_der_cert, ssl.set_der_priv_key = R.ssl_clear_certs, R.ssl_set_der_cert, R.ssl_set_der_priv_key
ssl.cert_pem_to_der, ssl.priv_key_pem_to_der = R.ssl_cert_pem_to_der, R.ssl_priv_key_pem_to_der

local certificates = getmetatable(b.ngx).certificates
local wrap, own, number = certificates.wrap, certificates.own, certificates.number

local parse_pem_cert, parse_der_cert = R.ssl_parse_pem_cert, R.ssl_parse_der_cert
function ssl.parse_pem_cert(pem)
    return wrap("chain", parse_pem_cert(pem))
end
function ssl.parse_der_cert(der)
    return wrap("chain", parse_der_cert(der))
end

local parse_pem_key, parse_der_key = R.ssl_parse_pem_priv_key, R.ssl_parse_der_priv_key
function ssl.parse_pem_priv_key(pem, passphrase)
    return wrap("key", parse_pem_key(pem, passphrase))
end
function ssl.parse_der_priv_key(der)
    return wrap("key", parse_der_key(der))
end

local set_cert, set_priv_key, verify_client = R.ssl_set_cert, R.ssl_set_priv_key, R.ssl_verify_client
function ssl.set_cert(object)
    local chain = own("chain", object)
    return set_cert(number(chain))
end
function ssl.set_priv_key(object)
    local key = own("key", object)
    return set_priv_key(number(key))
end
function ssl.verify_client(shown, depth, trusted)
    local all, more = own("chain", shown), own("chain", trusted)
    return verify_client(number(all), depth, number(more))
end
