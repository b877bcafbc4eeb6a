local b = ...
local R = b.R

b.G.package.loaded["ngx.upstream"] = {
    get_upstreams = R.upstream_names,
    get_servers = R.upstream_servers,
    get_primary_peers = R.upstream_primary,
    get_backup_peers = R.upstream_backup,
    set_peer_down = R.upstream_set_down,
    current_upstream_name = R.upstream_current,
}
