-- Where everything is at first; after that the table "shards" says it.
return {
    postgres = { host = "127.0.0.1", port = 5432, user = "postgres", database = "postgres" },
    shards = {
        one = { primary = "127.0.0.1:6381", replica = "127.0.0.1:6391" },
        two = { primary = "127.0.0.1:6382", replica = "127.0.0.1:6392" },
    },
}
