local template = require "template"

local directory = ngx.config.prefix() .. "templates/"
local layout = template.file(directory .. "layout.html")
local list = template.file(directory .. "list.html")

local pages = {}

local function show(title, content)
    ngx.print(layout({ title = title, content = content }))
end

function pages.list()
    local notes = {}
    for i = 1, ngx.shared.notes:get("count") or 0 do
        notes[i] = ngx.shared.notes:get(i)
    end
    show("Notes", list({ notes = notes }))
end

function pages.add()
    if ngx.req.get_method() ~= "POST" then
        return ngx.exit(405)
    end
    ngx.req.read_body()
    local note = ngx.req.get_post_args().note
    if type(note) ~= "string" or note == "" then
        return ngx.exit(400)
    end
    ngx.shared.notes:set(ngx.shared.notes:incr("count", 1, 0), note)
    -- Who reloads the page then does not send the form again.
    return ngx.redirect("/", 303)
end

return pages
