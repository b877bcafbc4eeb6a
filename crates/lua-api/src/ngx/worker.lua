local b = ...
local C, cx, ngx = b.C, b.cx, b.ngx
local error = error

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
    return C.worker_exiting(cx) ~= 0
end

function worker.pids()
    local phase = ngx.get_phase()
    if phase == "init" or phase == "init_worker" then
        return nil, "API disabled in the current context"
    end
    if C.worker_count(cx) == 1 then
        return { C.worker_pid(cx) }
    end
    error("ngx.worker.pids is not supported yet with several workers", 2)
end

b.G.package.loaded["resty.core.worker"] = { _VERSION = "0.1.33" }
