-- Where: "args" (values of the query and of forms), "path", or the name of a header field.
return {
    { name = "sql union", where = "args", regex = [[\bunion\b[\s(]+(?:all\s+)?select\b]] },
    { name = "sql tautology", where = "args", regex = [['\s*or\s+'?\d+'?\s*=\s*'?\d]] },
    { name = "script", where = "args", regex = [[<script\b]] },
    { name = "path traversal", where = "args", regex = [[(?:^|[/\\])\.\.(?:[/\\]|$)]] },
    { name = "hidden file", where = "path", regex = [[/\.(?!well-known/)]] },
    { name = "scanner", where = "user-agent", regex = [[\b(?:sqlmap|nikto|nmap|masscan)\b]] },
}
