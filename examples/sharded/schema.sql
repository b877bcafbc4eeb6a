CREATE SEQUENCE IF NOT EXISTS versions;

CREATE TABLE IF NOT EXISTS orders (
    customer text NOT NULL,
    id text NOT NULL,
    version bigint NOT NULL DEFAULT nextval('versions'),
    body text NOT NULL,
    PRIMARY KEY (customer, id)
);

-- Orders that Redis may not have yet.
CREATE TABLE IF NOT EXISTS outbox (
    version bigint PRIMARY KEY,
    customer text NOT NULL,
    id text NOT NULL
);

-- Which server is the primary of each shard. Whoever changes a row counts its epoch up.
CREATE TABLE IF NOT EXISTS shards (
    name text PRIMARY KEY,
    primary_at text NOT NULL,
    replica_at text NOT NULL,
    epoch bigint NOT NULL DEFAULT 1
);
