local cjson = require "cjson"
local server = require "resty.websocket.server"

local live = {}

function live.events()
    local count = tonumber(ngx.var.arg_count) or math.huge
    local pause = tonumber(ngx.var.arg_pause) or 1
    ngx.header["Content-Type"] = "text/event-stream"
    ngx.header["Cache-Control"] = "no-cache"
    -- A browser that comes back says which event it has seen last.
    local n = tonumber(ngx.var.http_last_event_id) or 0
    local last = n + count
    while n < last do
        n = n + 1
        ngx.print("id: ", n, "\ndata: ", cjson.encode({ n = n }), "\n\n")
        local ok = ngx.flush(true)
        if not ok then
            return
        end
        ngx.sleep(pause)
    end
end

function live.echo()
    local socket, err = server:new({ timeout = 60000, max_payload_len = 65535 })
    if not socket then
        ngx.log(ngx.INFO, "no WebSocket: ", err)
        return ngx.exit(ngx.HTTP_BAD_REQUEST)
    end
    while true do
        local data, kind, err = socket:recv_frame()
        if not data and not socket.fatal and (err or ""):find("timeout", 1, true) then
            socket:send_ping()
        elseif not data or kind == "close" then
            socket:send_close()
            return
        elseif kind == "ping" then
            socket:send_pong(data)
        elseif kind == "text" then
            socket:send_text("you said: " .. data)
        end
    end
end

return live
