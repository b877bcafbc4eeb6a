-- Asks the servers of an upstream group whether they are well (README of lua-resty-upstream-healthcheck). What workers know is in a
-- shared dictionary, by the names that lua-resty-upstream-healthcheck gives: `ok:` and `nok:` count, `d:` is a server that is down,
-- `v:` is the version of all that, `l:` the lock of the worker that asks.
local ngx, type, tonumber, tostring, pcall, ipairs = ngx, type, tonumber, tostring, pcall, ipairs
local select, concat, match, ceil, max = select, table.concat, string.match, math.ceil, math.max
local log, ERR, WARN, DEBUG = ngx.log, ngx.ERR, ngx.WARN, ngx.DEBUG
local upstream = require "ngx.upstream"

local healthcheck = { _VERSION = "0.08" }

-- How many checkers of this worker run, by group.
local running = {}

local function errlog(...)
    log(ERR, "healthcheck: ", ...)
end

local function debug(...)
    if ngx.config.debug then
        log(DEBUG, "healthcheck: ", ...)
    end
end

local function key_of(kind, name, is_backup, id)
    return kind .. name .. (is_backup and ":b" or ":p") .. id
end

local function publish(ctx, is_backup, id, down)
    local ok, err = upstream.set_peer_down(ctx.upstream, is_backup, id, down)
    if not ok then
        errlog("failed to set peer down: ", err)
    end
    ctx.changed = true
    ok, err = ctx.dict:set(key_of("d:", ctx.upstream, is_backup, id), down or nil)
    if not ok then
        errlog("failed to set peer down state: ", err)
    end
end

-- Counts one result; the first of a row ends the row of the other kind. The count, or nil if the dictionary fails.
local function count(ctx, kind, other, is_backup, id)
    local dict, key = ctx.dict, key_of(kind .. ":", ctx.upstream, is_backup, id)
    local number, err = dict:incr(key, 1, 0)
    if not number then
        errlog("failed to incr peer ", kind, " key: ", err)
        return nil
    end
    if number == 1 then
        local ok
        ok, err = dict:set(key_of(other .. ":", ctx.upstream, is_backup, id), 0)
        if not ok then
            errlog("failed to set peer ", other, " key: ", err)
        end
    end
    return number
end

local function failed(ctx, is_backup, id, peer, ...)
    if not peer.down and select("#", ...) > 0 then
        errlog(...)
    end
    debug("peer ", peer.name, " was checked to be not ok")
    local fails = count(ctx, "nok", "ok", is_backup, id)
    if fails and not peer.down and fails >= ctx.fall then
        log(WARN, "healthcheck: peer ", peer.name, " is turned down after ", fails, " failure(s)")
        peer.down = true
        publish(ctx, is_backup, id, true)
    end
end

local function succeeded(ctx, is_backup, id, peer)
    debug("peer ", peer.name, " was checked to be ok")
    local successes = count(ctx, "ok", "nok", is_backup, id)
    if successes and peer.down and successes >= ctx.rise then
        log(WARN, "healthcheck: peer ", peer.name, " is turned up after ", successes, " success(es)")
        peer.down = nil
        publish(ctx, is_backup, id, nil)
    end
end

-- Nothing if the server at the other end is well; else what is wrong, in pieces.
local function ask(ctx, sock, peer)
    local name, ok, err = peer.name, nil, nil
    if peer.host then
        ok, err = sock:connect(peer.host, peer.port)
    else
        ok, err = sock:connect(name)
    end
    if not ok then
        return "failed to connect to ", name, ": ", err
    end
    if ctx.type == "https" then
        ok, err = sock:sslhandshake(nil, ctx.host, ctx.ssl_verify)
        if not ok then
            return "failed to ssl handshake to ", name, ": ", err
        end
    end
    ok, err = sock:send(ctx.http_req)
    if not ok then
        return "failed to send request to ", name, ": ", err
    end
    local line
    line, err = sock:receive()
    if not line then
        return "failed to receive status line from ", name, ": ", err
    elseif ctx.statuses then
        local status = tonumber(match(line, "^[hH][tT][tT][pP]/%d+%.%d+%s+(%d+)"))
        if not status then
            return "bad status line from ", name, ": ", line
        elseif not ctx.statuses[status] then
            return "bad status code from ", name, ": ", status
        end
    end
end

local function check_peer(ctx, id, peer, is_backup)
    local sock, err = ngx.socket.tcp()
    if not sock then
        errlog("failed to create stream socket: ", err)
        return
    end
    sock:settimeout(ctx.timeout)
    local what, name, colon, detail = ask(ctx, sock, peer)
    sock:close()
    if what then
        return failed(ctx, is_backup, id, peer, what, name, colon, detail)
    end
    succeeded(ctx, is_backup, id, peer)
end

local function check_range(ctx, from, to, peers, is_backup)
    for i = from, to do
        check_peer(ctx, i - 1, peers[i], is_backup)
    end
end

-- In groups of neighbours, each by a light thread of its own but the last.
local function check_peers(ctx, peers, is_backup)
    local total, kind = #peers, is_backup and "backup" or "primary"
    local size = ceil(total / max(ctx.concurrency, 1))
    local threads, from = {}, 1
    while from + size <= total do
        local to = from + size - 1
        if size == 1 then
            debug("spawn a thread checking ", kind, " peer ", from - 1)
        else
            debug("spawn a thread checking ", kind, " peers ", from - 1, " to ", to - 1)
        end
        threads[#threads + 1] = ngx.thread.spawn(check_range, ctx, from, to, peers, is_backup)
        from = to + 1
    end
    if ctx.concurrency > 1 and total > 0 then
        if from == total then
            debug("check ", kind, " peer ", from - 1)
        else
            debug("check ", kind, " peers ", from - 1, " to ", total - 1)
        end
    end
    check_range(ctx, from, total, peers, is_backup)
    for _, thread in ipairs(threads) do
        ngx.thread.wait(thread)
    end
end

local function take_over(ctx, peers, is_backup)
    for i, peer in ipairs(peers) do
        local found, err = ctx.dict:get(key_of("d:", ctx.upstream, is_backup, i - 1))
        if found == nil and err then
            errlog("failed to get peer down state: ", err)
        end
        local down = found and true or false
        if down ~= (peer.down and true or false) then
            local ok
            ok, err = upstream.set_peer_down(ctx.upstream, is_backup, i - 1, down)
            if ok then
                peer.down = down
            else
                errlog("failed to set peer down: ", err)
            end
        end
    end
end

-- Learns what another worker found out.
local function update(ctx)
    local version, err = ctx.dict:get("v:" .. ctx.upstream)
    if not version then
        if err then
            errlog("failed to get peers version: ", err)
        elseif ctx.version > 0 then
            ctx.changed = true
        end
    elseif ctx.version < version then
        debug("upgrading peers version to ", version)
        take_over(ctx, ctx.primary_peers, false)
        take_over(ctx, ctx.backup_peers, true)
        ctx.version = version
    end
end

-- One worker asks in each interval. The lock ends a millisecond before, so that the next timer finds it gone.
local function lock(ctx)
    local key = "l:" .. ctx.upstream
    local ok, err = ctx.dict:add(key, true, ctx.interval - 0.001)
    if not ok and err ~= "exists" then
        errlog('failed to add key "', key, '": ', err)
    end
    return ok
end

local function cycle(ctx)
    debug("healthcheck: run a check cycle")
    update(ctx)
    if lock(ctx) then
        check_peers(ctx, ctx.primary_peers, false)
        check_peers(ctx, ctx.backup_peers, true)
    end
    if ctx.changed then
        debug("publishing peers version ", ctx.version + 1)
        local version, err = ctx.dict:incr("v:" .. ctx.upstream, 1, 0)
        if not version then
            errlog("failed to publish new peers version: ", err)
        end
        ctx.version, ctx.changed = version or ctx.version, nil
    end
end

local function check(premature, ctx)
    if premature then
        return
    end
    local ok, err = pcall(cycle, ctx)
    if not ok then
        errlog("failed to run healthcheck cycle: ", err)
    end
    ok, err = ngx.timer.at(ctx.interval, check, ctx)
    if not ok then
        if err ~= "process exiting" then
            errlog("failed to create timer: ", err)
        end
        running[ctx.upstream] = (running[ctx.upstream] or 0) - 1
    end
end

local function with_address(peers, port)
    for _, peer in ipairs(peers) do
        local host, own = match(peer.name or "", "^(.*):(%d+)$")
        if host then
            peer.host, peer.port = host, port or tonumber(own)
        end
    end
    return peers
end

local function options(opts)
    if not opts.type then
        return nil, '"type" option required'
    elseif opts.type ~= "http" and opts.type ~= "https" then
        return nil, 'only "http" and "https" type are supported right now'
    elseif not opts.http_req then
        return nil, '"http_req" option required'
    elseif not opts.shm then
        return nil, '"shm" option required'
    end
    local dict, statuses = ngx.shared[opts.shm], nil
    if not dict then
        return nil, 'shm "' .. tostring(opts.shm) .. '" not found'
    elseif not opts.upstream then
        return nil, "no upstream specified"
    end
    if opts.valid_statuses then
        statuses = {}
        for _, status in ipairs(opts.valid_statuses) do
            statuses[status] = true
        end
    end
    return {
        type = opts.type, http_req = opts.http_req, dict = dict, upstream = opts.upstream, statuses = statuses, host = opts.host,
        ssl_verify = opts.ssl_verify == nil or opts.ssl_verify, timeout = opts.timeout or 1000, fall = opts.fall or 5,
        interval = max((opts.interval or 1000) / 1000, 0.002), concurrency = opts.concurrency or 1, rise = opts.rise or 2, version = 0,
    }
end

function healthcheck.spawn_checker(opts)
    local ctx, err = options(opts)
    if not ctx then
        return nil, err
    end
    local primary, backup
    primary, err = upstream.get_primary_peers(ctx.upstream)
    if not primary then
        return nil, "failed to get primary peers: " .. err
    end
    backup, err = upstream.get_backup_peers(ctx.upstream)
    if not backup then
        return nil, "failed to get backup peers: " .. err
    end
    ctx.primary_peers, ctx.backup_peers = with_address(primary, opts.port), with_address(backup, opts.port)
    if ngx.config.debug and opts.no_timer then
        check(nil, ctx)
    else
        local ok
        ok, err = ngx.timer.at(0, check, ctx)
        if not ok then
            return nil, "failed to create timer: " .. err
        end
    end
    running[ctx.upstream] = (running[ctx.upstream] or 0) + 1
    return true
end

local function has_checker(name)
    return (running[name] or 0) ~= 0
end

local function list(out, peers)
    for _, peer in ipairs(peers) do
        out[#out + 1] = "        " .. peer.name .. (peer.down and " DOWN\n" or " UP\n")
    end
end

function healthcheck.status_page()
    local names, err = upstream.get_upstreams()
    if not names then
        return "failed to get upstream names: " .. err
    end
    local out = {}
    for i, name in ipairs(names) do
        out[#out + 1] = (i > 1 and "\n" or "") .. "Upstream " .. name .. (has_checker(name) and "" or " (NO checkers)") .. "\n    Primary Peers\n"
        local peers
        peers, err = upstream.get_primary_peers(name)
        if not peers then
            return "failed to get primary peers in upstream " .. name .. ": " .. err
        end
        list(out, peers)
        out[#out + 1] = "    Backup Peers\n"
        peers, err = upstream.get_backup_peers(name)
        if not peers then
            return "failed to get backup peers in upstream " .. name .. ": " .. err
        end
        list(out, peers)
    end
    return concat(out)
end

local METRIC = "nginx_upstream_status_info"

-- One line for each peer and state; whether one of them is up.
local function measure_peers(out, name, peers, role)
    local up = false
    for _, peer in ipairs(peers or {}) do
        for _, state in ipairs { "UP", "DOWN" } do
            local holds = (peer.down ~= nil and peer.down ~= false) == (state == "DOWN")
            out[#out + 1] = METRIC .. '{name="' .. name .. '",endpoint="' .. peer.name .. '",status="' .. state .. '",role="' .. role
                .. '"} ' .. (holds and 1 or 0) .. "\n"
        end
        up = up or not peer.down
    end
    return up
end

function healthcheck.prometheus_status_page()
    local names, err = upstream.get_upstreams()
    if not names then
        return nil, "failed to get upstream names: " .. err
    end
    local out = { "# HELP " .. METRIC .. " The running status of nginx upstream\n# TYPE " .. METRIC .. " gauge\n" }
    for _, name in ipairs(names) do
        local state = "UNKNOWN"
        if has_checker(name) then
            local up = measure_peers(out, name, (upstream.get_primary_peers(name)), "PRIMARY")
            up = measure_peers(out, name, (upstream.get_backup_peers(name)), "BACKUP") or up
            state = up and "UP" or "DOWN"
        end
        for _, each in ipairs { "UP", "DOWN", "UNKNOWN" } do
            out[#out + 1] = METRIC .. '{name="' .. name .. '",status="' .. each .. '"} ' .. (each == state and 1 or 0) .. "\n"
        end
    end
    return concat(out)
end

return healthcheck
