local b = ...
local R = b.R
local sub = string.sub
local responder, request, validate, staple = R.ocsp_responder, R.ocsp_request, R.ocsp_validate, R.ocsp_staple

local ocsp = { version = "0.1.33" }
b.G.package.loaded["ngx.ocsp"] = ocsp

-- What OpenResty's buffer holds when no other size is asked for.
local usual = 4096

function ocsp.get_ocsp_responder_from_der_chain(chain, max)
    local url, err = responder(chain)
    if url and #url > (max or usual) then
        return sub(url, 1, max or usual), "truncated"
    end
    return url, err
end

function ocsp.create_ocsp_request(chain, max)
    max = max or usual
    local made, err = request(chain)
    if made and #made > max then
        return nil, "output buffer too small: " .. #made .. " > " .. max
    end
    return made, err
end

function ocsp.validate_ocsp_response(answer, chain, max)
    local ok, found = validate(answer, chain)
    if not ok then
        return nil, sub(found, 1, max or usual)
    end
    return ok, found
end

function ocsp.set_ocsp_status_resp(answer)
    return staple(answer)
end
