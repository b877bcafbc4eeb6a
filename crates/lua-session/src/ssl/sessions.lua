local b = ...
local R = b.R
local id, value, offer = R.session_id, R.session_value, R.session_offer

local session = { version = "0.1.33" }
b.G.package.loaded["ngx.ssl.session"] = session

function session.get_session_id()
    return id()
end

function session.get_serialized_session()
    local bytes, err = value()
    if bytes and #bytes > 4096 then
        return nil, "session too big to serialize"
    end
    return bytes, err
end

function session.set_serialized_session(bytes)
    return offer(bytes)
end
