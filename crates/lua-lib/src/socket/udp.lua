-- Goes on where socket.lua ends.
do
    local methods = {
        setpeername = R.udp_setpeername, send = R.udp_send, receive = R.udp_receive, bind = R.udp_bind, close = R.udp_close,
    }
    local kind, check = { __index = methods }, R.udp

    function methods.settimeout(...)
        local n = select("#", ...)
        if n ~= 2 then
            error("ngx.socket settimeout: expecting at least 2 arguments (including the object) but seen " .. n, 2)
        end
        local self, value = ...
        self[5] = tonumber(value) or 0
    end

    if ngx.config.subsystem == "stream" then
        function methods.setoption(self, option, value)
            if option ~= "ip-transparent" then
                return nil, "unsupported option " .. tostring(option)
            end
            self[11] = value and value ~= 0
            return true
        end
    end

    function ngx.socket.udp(...)
        if select("#", ...) > 0 or not quick_allowed(cx) then
            return check(...)
        end
        return watch(setmetatable({ false }, kind))
    end
end
