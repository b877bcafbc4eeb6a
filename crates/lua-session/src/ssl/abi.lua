local b = ...
local C, cx, G = b.C, b.cx, b.G
local ffi = require "ffi"
local loaded = G.package.loaded
local ssl, hello, session, ocsp = loaded["ngx.ssl"], loaded["ngx.ssl.clienthello"], loaded["ngx.ssl.session"], loaded["ngx.ocsp"]
local toward, judge, proxyssl = loaded["ngx.ssl.proxysslcert"], loaded["ngx.ssl.proxysslverify"], loaded["ngx.proxyssl"]
local type, tonumber, min, getmetatable, rawset = type, tonumber, math.min, getmetatable, rawset
local cast, copy, str, new = ffi.cast, ffi.copy, ffi.string, ffi.new
local OK, ERROR, BUSY, DECLINED = 0, -1, -3, -5
local abi = getmetatable(b.ngx).abi
local say, point, bytes, is_this, define, keep = abi.say, abi.point, abi.bytes, abi.is_this, abi.define, abi.keep

local function done(err, ok, text)
    return ok and OK or say(err, text)
end

-- A function whose first argument is the request.
local function of_request(name, f)
    define(name, function(r, a1, a2, a3, a4, a5)
        if not is_this(r) then
            local err = a5 or a4 or a3 or a2 or a1
            return say(type(err) == "cdata" and err or nil, "bad request")
        end
        return f(a1, a2, a3, a4, a5)
    end)
end

-- A parsed object belongs to the caller, who frees it.
local function object(err, made, text)
    if not made then
        say(err, text)
        return nil
    end
    return ffi.gc(made, nil)
end
local function into(out, err, der, text)
    if not der then
        return say(err, text)
    end
    copy(out, der, #der)
    return #der
end

define("cert_pem_to_der", function(pem, length, out, err)
    return into(out, err, ssl.cert_pem_to_der(bytes(pem, length)))
end)
define("priv_key_pem_to_der", function(pem, length, passphrase, out, err)
    local word = passphrase ~= nil and (type(passphrase) == "string" and passphrase or str(passphrase)) or nil
    return into(out, err, ssl.priv_key_pem_to_der(bytes(pem, length), word))
end)
for _, kind in ipairs { "pem_cert", "der_cert", "pem_priv_key", "der_priv_key" } do
    local parse = ssl["parse_" .. kind]
    define("parse_" .. kind, function(data, length, err)
        return object(err, parse(bytes(data, length)))
    end)
end
local free = getmetatable(b.ngx).certificates.free
define("free_cert", free)
define("free_priv_key", free)

for prefix, module in pairs { ssl_ = ssl, proxy_ssl_ = toward } do
    of_request(prefix .. "clear_certs", function(err)
        return done(err, module.clear_certs())
    end)
    of_request(prefix .. "set_der_certificate", function(data, length, err)
        return done(err, module.set_der_cert(bytes(data, length)))
    end)
    of_request(prefix .. "set_der_private_key", function(data, length, err)
        return done(err, module.set_der_priv_key(bytes(data, length)))
    end)
    local plain = prefix == "ssl_" and "" or prefix
    of_request(plain .. "set_cert", function(chain, err)
        return done(err, module.set_cert(chain))
    end)
    of_request(plain .. "set_priv_key", function(key, err)
        return done(err, module.set_priv_key(key))
    end)
end
for name, get in pairs { ssl_get_tls1_version = ssl.get_tls1_version, proxy_ssl_get_tls1_version = proxyssl.get_tls1_version } do
    of_request(name, function(err)
        local version, text = get()
        return version or say(err, text)
    end)
end
of_request("proxy_ssl_set_verify_result", function(result, err)
    return done(err, judge.set_verify_result(result))
end)
of_request("proxy_ssl_get_verify_result", function(err)
    local result, text = judge.get_verify_result()
    return result or say(err, text)
end)
of_request("ssl_verify_client", function(client, trusted, depth, err)
    return done(err, ssl.verify_client(client, depth, trusted))
end)

local function name(get, to, length, err)
    local found, text = get()
    if text then
        return say(err, text)
    elseif not found then
        return DECLINED
    end
    point(to, length, found)
    return OK
end
of_request("ssl_server_name", function(to, length, err)
    return name(ssl.server_name, to, length, err)
end)
of_request("ssl_get_client_hello_server_name", function(to, length, err)
    return name(hello.get_client_hello_server_name, to, length, err)
end)
of_request("ssl_get_client_hello_ext", function(number, to, length, err)
    return name(function()
        return hello.get_client_hello_ext(number)
    end, to, length, err)
end)
of_request("ssl_get_client_hello_ext_present", function(to, length, err)
    local present, text = hello.get_client_hello_ext_present()
    if not present then
        return say(err, text)
    end
    to[0], length[0] = cast("int *", keep(new("int [?]", #present, present))), #present
    return OK
end)
-- NGX_SSL_TLSv1_2 and NGX_SSL_TLSv1_3; of the others none is spoken.
of_request("ssl_set_protocols", function(protocols, err)
    local names = {}
    for name, bit in pairs { ["TLSv1.2"] = 0x20, ["TLSv1.3"] = 0x40 } do
        if protocols % (2 * bit) >= bit then
            names[#names + 1] = name
        end
    end
    return done(err, hello.set_protocols(names))
end)
of_request("ssl_server_port", function(to, err)
    local port, text = ssl.server_port()
    if not port then
        return say(err, text)
    end
    to[0] = port
    return OK
end)
local kinds = { unix = 1, inet = 2, inet6 = 10 }
for _, which in ipairs { "raw_server_addr", "raw_client_addr" } do
    local get = ssl[which]
    of_request("ssl_" .. which, function(to, length, kind, err)
        local address, family, text = get()
        if not address then
            return say(err, text)
        end
        point(to, length, address)
        kind[0] = kinds[family]
        return OK
    end)
end

of_request("ssl_client_random", function(out, length, err)
    local random, text = ssl.get_client_random()
    if not random then
        return say(err, text)
    end
    local wanted = tonumber(length[0])
    length[0] = wanted == 0 and #random or min(wanted, #random)
    if wanted ~= 0 then
        copy(out, random, length[0])
    end
    return OK
end)
of_request("req_shared_ssl_ciphers", function(out, count, _, err)
    local suites, text = ssl.get_req_shared_ssl_ciphers()
    if suites and #suites > count[0] then
        suites, text = nil, "buffer too small"
        count[0] = 0
    end
    if not suites then
        return say(err, text)
    end
    for place = 1, #suites do
        out[place - 1] = suites[place]
    end
    count[0] = #suites
    return OK
end)

of_request("ssl_get_session_id_size", function(err)
    local id, text = session.get_session_id()
    return id and #id or say(err, text)
end)
of_request("ssl_get_session_id", function(out, err)
    local id, text = session.get_session_id()
    return id and (copy(out, id, #id) or OK) or say(err, text)
end)
of_request("ssl_get_serialized_session_size", function(err)
    local kept, text = session.get_serialized_session()
    return kept and #kept or say(err, text)
end)
of_request("ssl_get_serialized_session", function(out, err)
    local kept, text = session.get_serialized_session()
    return kept and (copy(out, kept, #kept) or OK) or say(err, text)
end)
of_request("ssl_set_serialized_session", function(data, length, err)
    return done(err, session.set_serialized_session(bytes(data, length)))
end)

-- An answer into a buffer whose size is at `size`.
local function fill(out, size, err, found, text)
    local room = tonumber(size[0])
    if not found then
        return text and say(err, text) or DECLINED
    end
    size[0] = min(#found, room)
    copy(out, found, size[0])
    return text == "truncated" and BUSY or OK
end
define("ssl_get_ocsp_responder_from_der_chain", function(chain, length, out, size, err)
    return fill(out, size, err, ocsp.get_ocsp_responder_from_der_chain(bytes(chain, length), tonumber(size[0])))
end)
define("ssl_create_ocsp_request", function(chain, length, out, size, err)
    local made, text = ocsp.create_ocsp_request(bytes(chain, length), 65536)
    if made and #made > size[0] then
        size[0] = #made
        return BUSY
    end
    return fill(out, size, err, made, text)
end)
define("ssl_validate_ocsp_response", function(answer, length, chain, chain_length, errbuf, size, valid)
    local ok, found = ocsp.validate_ocsp_response(bytes(answer, length), bytes(chain, chain_length), tonumber(size[0]))
    if ok then
        valid[0] = found or 0
        return OK
    end
    fill(errbuf, size, nil, found)
    return ERROR
end)
of_request("ssl_set_ocsp_status_resp", function(answer, length, err)
    local ok, text = ocsp.set_ocsp_status_resp(bytes(answer, length))
    return ok and text and DECLINED or done(err, ok, text)
end)

for c, get in pairs {
    ssl_server_random = ssl.get_server_random,
    ssl_session_master_key = ssl.get_session_master_key,
} do
    of_request(c, function(_, _, err)
        return done(err, get())
    end)
end
for _, pointer in ipairs { "get_req_ssl_pointer", "get_upstream_ssl_pointer" } do
    define(pointer, function(_, err)
        local _, text = ssl[pointer]()
        say(err, text)
        return nil
    end)
end
-- What lua-resty-openssl asks for its `SSL *` and `SSL_CTX *`; without them it would look into the request and the socket itself.
for _, whose in ipairs { "request_ssl", "request_ssl_ctx", "socket_ssl", "socket_ssl_ctx" } do
    rawset(ffi.C, "ngx_" .. b.ngx.config.subsystem .. "_lua_resty_openssl_aux_get_" .. whose, function()
        return ERROR
    end)
end
define("ssl_export_keying_material", function(r, out, size, label, length, context, context_length, use_context, err)
    if not is_this(r) then
        return say(err, "bad request")
    end
    local wanted = use_context ~= 0 and bytes(context, context_length) or nil
    local key, text = ssl.export_keying_material(tonumber(size), bytes(label, length), wanted)
    return key and (copy(out, key, #key) or OK) or say(err, text)
end)
define("ssl_export_keying_material_early", function(_, _, _, _, _, _, _, err)
    return done(err, ssl.export_keying_material_early())
end)
