local b = ...
local R, G = b.R, b.G
local type, sub = type, string.sub
local ssl = G.package.loaded["ngx.ssl"]

ssl.server_name, ssl.server_port = R.ssl_server_name, R.ssl_server_port
ssl.raw_server_addr, ssl.raw_client_addr = R.ssl_raw_server_addr, R.ssl_raw_client_addr

local version, random, shared, untold = R.ssl_version, R.ssl_client_random, R.ssl_shared_ciphers, R.ssl_untold
ssl.get_tls1_version = version

local names = { [0x0301] = "TLSv1", [0x0302] = "TLSv1.1", [0x0303] = "TLSv1.2", [0x0304] = "TLSv1.3" }
function ssl.get_tls1_version_str()
    local number, err = version()
    if not number then
        return nil, err
    end
    local name = names[number]
    if not name then
        return nil, "unknown version"
    end
    return name
end

function ssl.get_client_random(outlen)
    local bytes, err = random()
    if not bytes then
        return nil, err
    end
    if outlen == 0 then
        return #bytes
    end
    return sub(bytes, 1, outlen or 32)
end

-- Those of GREASE never are the server's, so that there is nothing to filter.
function ssl.get_req_shared_ssl_ciphers()
    return shared()
end

ssl.get_server_random, ssl.get_session_master_key = untold, untold
ssl.export_keying_material, ssl.export_keying_material_early = R.ssl_export, untold
ssl.get_req_ssl_pointer, ssl.get_upstream_ssl_pointer = untold, untold

function ssl.ssl_session_reused(pointer)
    if type(pointer) ~= "cdata" then
        return nil, "bad ssl"
    end
    return untold()
end
