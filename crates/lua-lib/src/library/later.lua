-- Modules of OpenResty whose features this server does not have yet: they load, and each function says so.
local name = ...

local functions = {
    ["ngx.ssl.proxysslcert"] = "clear_certs set_cert set_der_cert set_der_priv_key set_priv_key",
    ["ngx.ssl.proxysslverify"] = "get_verify_cert get_verify_result set_verify_result",
}

local module = { version = "0.1.33" }
for method in string.gmatch(functions[name], "%S+") do
    module[method] = function()
        return nil, name .. "." .. method .. " is not supported yet"
    end
end

return module
