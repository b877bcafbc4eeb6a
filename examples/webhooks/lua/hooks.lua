-- A queue in a shared dictionary, and timers that empty it.
local cjson = require "cjson"

local HOST, PORT = "127.0.0.1", 8081
local TRIES, PAUSE = 5, 0.2

local queue = ngx.shared.hooks
local hooks = {}

-- True if the receiver answers with a status of 2xx.
local function deliver(body)
    local sock = ngx.socket.tcp()
    sock:settimeout(5000)
    local ok, err = sock:connect(HOST, PORT)
    if not ok then
        return nil, err
    end
    local head = "POST /hook HTTP/1.0\r\nHost: " .. HOST .. "\r\nContent-Type: application/json\r\nContent-Length: " .. #body .. "\r\n\r\n"
    local sent, err = sock:send({ head, body })
    local line, failure
    if sent then
        line, failure = sock:receive("*l")
    end
    sock:close()
    if not line then
        return nil, err or failure
    end
    if not line:find("^HTTP/1%.[01] 2%d%d") then
        return nil, line
    end
    return true
end

local put

local function try(event)
    local ok, err = deliver(event.body)
    if ok then
        queue:incr("delivered", 1, 0)
    elseif event.tries + 1 >= TRIES then
        queue:incr("given_up", 1, 0)
        ngx.log(ngx.ERR, "given up: ", event.body, ": ", err)
    else
        event.tries = event.tries + 1
        -- It waits in a timer: others go first meanwhile.
        local waits = ngx.timer.at(PAUSE * 2 ^ (event.tries - 1), function()
            put(event)
        end)
        if not waits then
            put(event)
        end
    end
end

put = function(event)
    local length, err = queue:rpush("queue", cjson.encode(event))
    if not length then
        ngx.log(ngx.ERR, "lost: ", event.body, ": ", err)
    end
    return length
end

-- Several events are under way at once, but not more than these.
local function empty(premature)
    while not premature do
        local batch = {}
        for i = 1, 10 do
            local text = queue:lpop("queue")
            if not text then
                break
            end
            batch[i] = ngx.thread.spawn(try, cjson.decode(text))
        end
        if #batch == 0 then
            return
        end
        for _, thread in ipairs(batch) do
            ngx.thread.wait(thread)
        end
    end
end

function hooks.start()
    assert(ngx.timer.every(0.1, empty))
end

function hooks.handle()
    if ngx.req.get_method() == "POST" then
        ngx.req.read_body()
        local body = ngx.req.get_body_data()
        if not body then
            return ngx.exit(ngx.HTTP_BAD_REQUEST)
        end
        if not put({ body = body, tries = 0 }) then
            return ngx.exit(ngx.HTTP_SERVICE_UNAVAILABLE)
        end
        ngx.status = 202
        return ngx.exit(202)
    end
    ngx.header["Content-Type"] = "application/json"
    ngx.say(string.format('{"delivered":%d,"given_up":%d,"waiting":%d}', queue:get("delivered") or 0, queue:get("given_up") or 0, queue:llen("queue")))
end

return hooks
