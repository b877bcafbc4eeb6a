local b = ...
local R, G, ngx = b.R, b.G, b.ngx
local error, ipairs, unpack = error, ipairs, unpack
local byte = string.byte

local hello = { version = "0.1.33" }
G.package.loaded["ngx.ssl.clienthello"] = hello

local function check()
    if ngx.get_phase() ~= "ssl_client_hello" then
        error("API disabled in the current context", 3)
    end
end

local server_name, ext, present, ciphers, set = R.hello_server_name, R.hello_ext, R.hello_ext_present, R.hello_ciphers, R.hello_set_versions

function hello.get_client_hello_server_name()
    check()
    return server_name()
end

function hello.get_client_hello_ext(number)
    check()
    return ext(number)
end

function hello.get_client_hello_ext_present()
    check()
    return present()
end

function hello.get_client_hello_ciphers()
    check()
    return ciphers()
end

local numbers = {
    ["SSLv2"] = 0x0002, ["SSLv3"] = 0x0300, ["TLSv1"] = 0x0301, ["TLSv1.1"] = 0x0302, ["TLSv1.2"] = 0x0303, ["TLSv1.3"] = 0x0304,
}
local names = {}
for name, number in pairs(numbers) do
    names[number] = name
end

function hello.get_supported_versions()
    check()
    local content, err = ext(43)
    if not content then
        return nil, err
    end
    if #content == 0 or byte(content, 1) ~= #content - 1 then
        return nil
    end
    local list = {}
    for place = #content - 1, 2, -2 do
        local high, low = byte(content, place, place + 1)
        list[#list + 1] = names[high * 256 + low]
    end
    return list
end

function hello.set_protocols(protocols)
    check()
    local wanted = {}
    for place, name in ipairs(protocols) do
        wanted[place] = numbers[name]
        if not wanted[place] then
            return nil, "invalid protocols failed"
        end
    end
    return set(unpack(wanted))
end
