-- Modules of OpenResty whose features this server does not have yet: they load, and each function says so.
local name = ...

local functions = {
    ["ngx.ocsp"] = "create_ocsp_request get_ocsp_responder_from_der_chain set_ocsp_status_resp validate_ocsp_response",
    ["ngx.ssl"] = "cert_pem_to_der clear_certs export_keying_material export_keying_material_early get_client_random get_req_ssl_pointer "
        .. "get_server_random get_session_master_key get_tls1_version get_tls1_version_str get_upstream_ssl_pointer parse_der_cert "
        .. "parse_der_priv_key parse_pem_cert parse_pem_priv_key priv_key_pem_to_der raw_client_addr raw_server_addr server_name "
        .. "server_port set_cert set_der_cert set_der_priv_key set_priv_key ssl_session_reused verify_client",
    ["ngx.ssl.clienthello"] = "get_client_hello_ciphers get_client_hello_ext get_client_hello_ext_present get_client_hello_server_name "
        .. "get_supported_versions set_protocols",
    ["ngx.ssl.session"] = "get_serialized_session get_session_id set_serialized_session",
    ["ngx.ssl.proxysslcert"] = "clear_certs set_cert set_der_cert set_der_priv_key set_priv_key",
    ["ngx.ssl.proxysslverify"] = "get_verify_cert get_verify_result set_verify_result",
}

local module = { version = "0.1.33" }
if name == "ngx.ssl" then
    module.SSL3_VERSION, module.TLS1_VERSION, module.TLS1_1_VERSION = 0x0300, 0x0301, 0x0302
    module.TLS1_2_VERSION, module.TLS1_3_VERSION = 0x0303, 0x0304
end
for method in string.gmatch(functions[name], "%S+") do
    module[method] = function()
        return nil, name .. "." .. method .. " is not supported yet"
    end
end

return module
