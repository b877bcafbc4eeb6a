local b = ...
local C, cx, ngx = b.C, b.cx, b.ngx

local worker = {}
ngx.worker = worker

function worker.id()
    local id = C.worker_id(cx)
    if id < 0 then
        return nil
    end
    return id
end

function worker.count()
    return C.worker_count(cx)
end

function worker.pid()
    return C.worker_pid(cx)
end

function worker.exiting()
    return (C.worker_exiting(cx))
end

function worker.pids()
    local phase = ngx.get_phase()
    if phase == "init" or phase == "init_worker" then
        return nil, "API disabled in the current context"
    end
    return (b.R.worker_pids())
end

b.G.package.loaded["resty.core.worker"] = { _VERSION = "0.1.33" }
