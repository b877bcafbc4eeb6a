local b = ...
local C, R, cx, text = b.C, b.R, b.cx, b.text
local type, error = type, error
local new_tab = require "table.new"
local missing = 'directive "lua_capture_error_log" is not set'

b.G.package.loaded["ngx.errlog"] = {
    version = "0.1.33",
    set_filter_level = function(level)
        if not level then
            return nil, 'missing "level" argument'
        end
        if C.filter_level(cx, level) < 0 then
            return nil, text()
        end
        return true
    end,
    get_logs = function(max, logs)
        max = max or 10
        if not C.is_captured(cx) then
            return nil, missing
        end
        logs = logs or new_tab(max * 3 + 1, 0)
        local count = 0
        for _ = 1, max do
            local level, time, message = R.captured_line()
            if not level then
                break
            end
            logs[count + 1], logs[count + 2], logs[count + 3] = level, time, message
            count = count + 3
        end
        logs[count + 1] = nil
        return logs
    end,
    get_sys_filter_level = function()
        return C.log_level(cx)
    end,
    raw_log = function(level, message)
        if type(level) ~= "number" then
            error("bad argument #1 to 'raw_log' (must be a number)", 2)
        end
        if type(message) ~= "string" then
            error("bad argument #2 to 'raw_log' (must be a string)", 2)
        end
        if C.raw_log(cx, level, message, #message) < 0 then
            error(text(), 2)
        end
    end,
}
